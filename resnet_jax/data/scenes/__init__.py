"""Composed scenes: the shipped digits, enlarged, on coloured backgrounds, with exact boxes and masks.

The digits are real handwriting; their colours, places and backgrounds are random numbers of a fixed seed. A split is
composed when it is first used, in one or two seconds.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from resnet_jax.data.digits import open_digits
from resnet_jax.data.scenes.captions import open_caption_scenes
from resnet_jax.data.scenes.compose import Scene, compose
from resnet_jax.data.scenes.truths import SceneTruths
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.dense import DenseSource
from resnet_jax.data.sources.stored import LazySplit, StoredDataset
from resnet_jax.types import LabelKind

SCENES = {"train": 2880, "test": 360}


def open_scenes(label_kind: LabelKind = "boxes") -> StoredDataset:
    """2,880 training and 360 test scenes, uint8 [96, 96, 3], with one to four digits each.

    Labels are the objects with their boxes and masks, of the ten classes "0" to "9" ("boxes"), or label maps of eleven
    classes, "background" first ("pixels"). On the edge of a stroke ink and background mix: a mask has the pixels with
    two fifths of ink, and a label map has no class (255) for those with one fifth to a half, as Pascal VOC's. Training
    scenes have digits of the digits' training split alone, and test scenes of the test split. With captions
    ("caption") they are others; see `scenes.captions`.

    Raises:
      ValueError: another kind of label.
    """
    if label_kind == "caption":
        return open_caption_scenes()
    if label_kind not in ("boxes", "pixels"):
        expected = "label_kind='boxes', 'pixels' or 'caption'"
        raise ValueError(f"scenes has objects; expected {expected}, got {label_kind!r}")
    digits = tuple(map(str, range(10)))
    classes = digits if label_kind == "boxes" else ("background", *digits)

    def compose_split(split: str) -> DenseSource:
        scenes, labels = scenes_of(split)
        images = np.stack([scene.image for scene in scenes])
        unused = np.zeros(len(images), np.int32)
        owners = np.stack([scene.owner for scene in scenes])
        edges = np.stack([scene.edge for scene in scenes])
        truths = SceneTruths(owners, edges, tuple(labels[scene.digits] for scene in scenes), label_kind)
        return DenseSource(
            ArraySource(images, unused, classes, f"scenes (composed), {split}"), truths, classes, label_kind
        )

    splits = {split: LazySplit(count, partial(compose_split, split)) for split, count in SCENES.items()}
    note = "the scenes are composed: shipped digits at random places of random backgrounds"
    return StoredDataset("scenes", splits, (note,), fixed=True)


def scenes_of(split: str) -> tuple[list[Scene], np.ndarray]:
    """The scenes of a split, and the values of the digits of that split, int [n], which their objects are."""
    source = open_digits().examples(split)
    examples = [source[i] for i in range(len(source))]
    ink = np.stack([np.asarray(image)[..., 0] / 255 for image, _ in examples])
    labels = np.array([label for _, label in examples], np.int64)
    seed = list(SCENES).index(split)
    return [compose(ink, np.random.default_rng([seed, i])) for i in range(SCENES[split])], labels
