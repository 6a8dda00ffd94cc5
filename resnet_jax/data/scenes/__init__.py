"""Composed scenes: the shipped digits, enlarged, on coloured backgrounds, with exact boxes and masks.

The digits are real handwriting; their colours, places and backgrounds are random numbers of a fixed seed. The scenes are
composed when they are first used (about a second) and are the same everywhere.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from resnet_jax.data.digits import open_digits
from resnet_jax.data.scenes.compose import Scene, compose
from resnet_jax.data.scenes.truths import SceneTruths
from resnet_jax.data.sources.annotations import DenseKind
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.dense import DenseSource
from resnet_jax.data.sources.stored import LazySplit, StoredDataset

SCENES = {"train": 1440, "test": 360}  # in proportion to the digits of the splits


def open_scenes(label_kind: DenseKind = "boxes") -> StoredDataset:
    """1,440 training and 360 test scenes, uint8 [96, 96, 3], with one to five digits each.

    Labels are the objects with their boxes and masks, of the ten classes "0" to "9" ("boxes"), or label maps of eleven
    classes, "background" first ("pixels"). Training scenes have digits of the digits' training split alone, and test
    scenes of the test split.
    """
    digits = tuple(map(str, range(10)))
    classes = digits if label_kind == "boxes" else ("background", *digits)

    def compose_split(split: str) -> DenseSource:
        scenes, labels = scenes_of(split)
        images = np.stack([scene.image for scene in scenes])
        unused = np.zeros(len(images), np.int32)
        owners = np.stack([scene.owner for scene in scenes])
        truths = SceneTruths(owners, tuple(labels[scene.digits] for scene in scenes), label_kind)
        return DenseSource(ArraySource(images, unused, classes, f"scenes (composed), {split}"), truths, classes, label_kind)

    splits = {split: LazySplit(count, partial(compose_split, split)) for split, count in SCENES.items()}
    note = "the scenes are composed: shipped digits at random places of random backgrounds"
    return StoredDataset("scenes", splits, (note,), fixed=True)


def scenes_of(split: str) -> tuple[list[Scene], np.ndarray]:
    """The scenes of a split, and the values of the digits of that split, int [n], which their objects are."""
    digits = open_digits().examples(split)
    ink = digits.images[..., 0] / 255
    seed = list(SCENES).index(split)
    return [compose(ink, np.random.default_rng([seed, i])) for i in range(SCENES[split])], digits.labels
