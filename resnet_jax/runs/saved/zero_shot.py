"""CLIP nets of runs and of other weights as classifiers of classes that texts name."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from resnet_jax.errors import listed
from resnet_jax.evaluation.retrieval import image_tower
from resnet_jax.evaluation.zero_shot import Tokenize, zero_shot_classifier
from resnet_jax.files import expanded
from resnet_jax.inputs import captions
from resnet_jax.inputs.captions import WordCaptions
from resnet_jax.models import get_spec
from resnet_jax.models.inspect import has_texts
from resnet_jax.runs.files.directory import is_run
from resnet_jax.runs.saved.nets import TrainedNet, open_net
from resnet_jax.tasks import Classification
from resnet_jax.texts.clip.prompts import IMAGENET, TEMPLATE, check_different, read_names
from resnet_jax.texts.vocabulary import SPECIAL
from resnet_jax.weights.labels import label_set
from resnet_jax.weights.pretrained import net_with_texts
from resnet_jax.weights.sources.tags import find_published, is_published_name

SYNSET = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class ZeroShot:
    """How the classes of a dataset become texts."""

    templates: tuple[str, ...] | None = None  # None: as `classifier_of`
    names: tuple[str, ...] | None = None  # a text for each class, in the dataset's order; None: from the classes' names

    def texts(self, classes: Sequence[str]) -> tuple[str, ...]:
        """A text for each class: `names`, CLIP's names of synsets of ImageNet-1k, or the names with spaces for "_".

        Raises:
          ValueError: another number of `names`, synsets that ImageNet-1k does not have, or folders with equal texts.
        """
        if self.names is not None:
            if len(self.names) != len(classes):
                expected = f"a label for each of the {len(classes)} classes"
                raise ValueError(
                    f"--labels-file: expected {expected} of the data, in their order, got {len(self.names)}"
                )
            return self.names
        if all(map(SYNSET.fullmatch, classes)):
            numbers, words = label_set("imagenet-1k").match(classes), read_names(IMAGENET)
            return tuple(words[numbers[name]] for name in classes)
        texts = tuple(name.replace("_", " ") for name in classes)
        check_different(texts, "the names of the classes, with spaces for '_': ")
        return texts


def open_clip(source: str, *, step: str = "latest", ema: bool = False, model: str | None = None) -> TrainedNet:
    """`open_net` of a net that takes images and texts: of a file with both towers, both.

    Raises:
      ValueError, OSError: as `open_net` and `check_takes_texts`.
    """
    if model is None and not is_run(source):
        _check_published(source)
        model = net_with_texts(source, ema=ema or None)
    trained = open_net(source, step=step, ema=ema, model=model)
    check_takes_texts(trained)
    return trained


def _check_published(source: str) -> None:
    """Raises ValueError for published weights of a net that takes no texts: before they are downloaded."""
    if not is_published_name(source) or expanded(source).exists():
        return
    net = find_published(source).model
    if get_spec(net).image_tower is None:
        expected = "expected a net of images and texts, such as open_clip/clip_resnet50.yfcc15m"
        raise ValueError(f"{source}: {expected}, got {net}")


def classifier_of(
    trained: TrainedNet, names: Sequence[str], templates: Sequence[str] | None, classes: Sequence[str] | None = None
) -> tuple[TrainedNet, tuple[str, ...]]:
    """A classifier of images by classes with these names in their prompts, and the templates.

    Args:
      templates: None: CLIP's "a photo of a {}.", or the names alone for a net with words of its own.
      classes: the names in results; None: the same.

    Raises:
      ValueError: as `tokenizer_of` and `zero_shot_classifier`; labels whose words the net does not know.
    """
    tokenizer = tokenizer_of(trained)
    _check_labels(tokenizer, names)
    if templates is None:
        templates = ("{}",) if isinstance(tokenizer, WordCaptions) else (TEMPLATE,)
    warn_of_unknown(tokenizer, [template.replace("{}", name) for name in names for template in templates])
    net = zero_shot_classifier(trained.net, tokenizer, names, templates)
    shown = tuple(names if classes is None else classes)
    task = Classification(classes=shown)
    return replace(trained, net=net._replace(classes=shown), task=task, classes=shown), tuple(templates)


def tower_of(trained: TrainedNet) -> TrainedNet:
    """The image tower alone. Raises ValueError as `check_takes_texts`."""
    check_takes_texts(trained)
    return replace(trained, net=image_tower(trained.net))


def tokenizer_of(trained: TrainedNet) -> Tokenize:
    """The tokenizer of a net's texts: the words of its run, or CLIP's byte pairs.

    Raises:
      MissingExtra, ValueError: as `inputs.captions.tokenizer_of`.
    """
    try:
        return captions.tokenizer_of(trained.net)
    except ValueError as error:
        raise ValueError(f"{trained.source}: {error}") from None


def warn_of_unknown(tokenizer: Tokenize, texts: Sequence[str]) -> None:
    """Warns of words that a net with a vocabulary of its own does not know."""
    if isinstance(tokenizer, WordCaptions) and (words := tokenizer.unknown(texts)):
        problem = "not in the net's vocabulary, where unknown words are one token"
        warnings.warn(f"{problem}: {listed(map(repr, words))}", stacklevel=3)


def check_known(tokenizer: Tokenize, text: str) -> None:
    """Raises ValueError for a text without a word that a net with a vocabulary of its own knows."""
    if isinstance(tokenizer, WordCaptions) and not _known(tokenizer, [text])[0]:
        got = f"got {text!r}; it knows {_words(tokenizer)}"
        raise ValueError(f"expected a text with words of the net's captions, {got}")


def _check_labels(tokenizer: Tokenize, names: Sequence[str]) -> None:
    """Raises ValueError for labels of equal tokens, since a net with a vocabulary of its own knows no word of them."""
    if not isinstance(tokenizer, WordCaptions):
        return
    unknown = [name for name, is_known in zip(names, _known(tokenizer, names), strict=True) if not is_known]
    if len(np.unique(tokenizer(unknown), axis=0)) < len(unknown):
        got = f"got {listed(map(repr, unknown))}; it knows {_words(tokenizer)}"
        raise ValueError(f"expected labels with words of the net's captions, {got}")


def _known(tokenizer: WordCaptions, texts: Sequence[str]) -> list[bool]:
    """Whether each text has a word of the vocabulary."""
    ids = tokenizer(texts)
    is_word = (ids >= len(SPECIAL)) & (ids < len(tokenizer.vocabulary))
    return [bool(row.any()) for row in is_word]


def _words(tokenizer: WordCaptions) -> str:
    return listed(tokenizer.tokens[len(SPECIAL) :])


def check_takes_texts(trained: TrainedNet) -> None:
    """Raises ValueError for a net that takes no texts beside images."""
    if not has_texts(trained.net.model):
        expected = "expected a net of images and texts, such as clip_resnet50"
        raise ValueError(f"{trained.source}: {expected}, got {trained.net.name}")
