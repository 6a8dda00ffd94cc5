"""Weights of nets of images and texts, to start a run from: both towers, and the tokens of the captions."""

from __future__ import annotations

from collections.abc import Sequence

TEXT_COMPONENTS = ("text_act", "text_heads")  # in others the same arrays mean another net


def check_pairs(source: str, theirs: Sequence[str], ours: Sequence[str], head: str | None) -> None:
    """Raises ValueError for a new head, or for captions with other tokens; (): CLIP's byte pairs."""
    if head == "new":
        raise ValueError(
            "--init.head new: expected a net with classes, got one of images and texts, whose heads are kept"
        )
    if tuple(theirs) == tuple(ours):
        return
    if not theirs:
        raise ValueError(f"{source} has no words of captions; did you mean --data.captions.tokens clip?")
    got = f"{len(ours)} other tokens" if ours else "CLIP's byte pairs"
    raise ValueError(f"{source}: expected captions with the {len(theirs)} words that it was trained on, got {got}")
