"""Weights of nets of images and texts, to start a run from: both towers, and the tokens of the captions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from resnet_jax.errors import listed
from resnet_jax.files import expanded
from resnet_jax.inputs.captions import CLIP_VOCABULARY
from resnet_jax.models.inspect import has_texts
from resnet_jax.runs.files.directory import is_run
from resnet_jax.runs.starting.opening import open_run
from resnet_jax.tasks import Contrastive, task_name
from resnet_jax.texts.vocabulary import SPECIAL
from resnet_jax.types import Pretrained
from resnet_jax.weights.pretrained import words_of

TEXT_COMPONENTS = ("text_act", "text_heads")  # in others the same arrays mean another net
# In a message on a file's arrays, with the number of tokens of its captions.
POSITIONS = re.compile(r"(?<![\w.])(?:params/text_tower/)?positional_embedding \(as \[(?P<length>\d+),")


def tokens_of(source: str, step: str | int) -> tuple[str, ...]:
    """The tokens of captions of a run of pairs or of a file that was written of one; (): it has none.

    Raises:
      ValueError, OSError: as `open_run` and `load_pretrained`.
    """
    if not is_run(source):
        return words_of(source)
    metadata = open_run(expanded(source), step).checkpoint.metadata
    return tuple(metadata["classes"]) if task_name(metadata) == Contrastive.name else ()


def check_pairs(source: str, loaded: Pretrained, theirs: Sequence[str], ours: Sequence[str], head: str | None) -> None:
    """Raises ValueError for a net without texts, a new head, or captions with other tokens; (): CLIP's byte pairs.

    Args:
      theirs: the tokens of the source, whose net is `loaded`.
    """
    if not has_texts(loaded.model):
        raise ValueError(f"{source}: expected a net of images and texts, got {loaded.name}")
    if head == "new":
        raise ValueError(
            "--init.head new: expected a net with classes, got one of images and texts, whose heads are kept"
        )
    if tuple(theirs) == tuple(ours):
        return
    if not theirs:
        model: Any = loaded.model
        if model.vocabulary_size == CLIP_VOCABULARY:
            raise ValueError(f"{source} has no words of captions; did you mean --data.captions.tokens clip?")
        has = f"{source} has {model.vocabulary_size:,} tokens of captions, whose words are not known"
        raise ValueError(f"{has}; expected its run, or a file that resnet-jax convert wrote of it")
    words = f"the {len(theirs) - len(SPECIAL):,} words that it was trained on"
    if not ours:
        got = "CLIP's byte pairs; did you mean --data.captions.tokens words?"
    elif others := [word for word in ours if word not in theirs]:
        got = f"others, too: {listed(others)}"
    else:
        got = "these words in another order" if len(ours) == len(theirs) else f"{len(ours) - len(SPECIAL):,} of them"
    raise ValueError(f"{source}: expected captions with {words}, got {got}")


def length_hint(theirs: int | None, ours: Any) -> str:
    """The end of a message on weights whose captions have another number of tokens than the net `ours`; "": the same.

    Args:
      theirs: the number of tokens; None: not known.
    """
    if not has_texts(ours) or theirs in (None, ours.context_length):
        return ""
    return f"; did you mean --data.captions.length {theirs}?"


def hint_of_message(message: str, ours: Any) -> str:
    """`length_hint` for a message on the arrays of a file."""
    match = POSITIONS.search(message)
    return length_hint(None if match is None else int(match["length"]), ours)
