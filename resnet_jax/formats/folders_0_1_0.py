"""Folders of images as version 0.1.0 read them, for its runs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from resnet_jax.data.sources.class_names import join_names
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.formats.file_kinds import IMAGE_FILES
from resnet_jax.formats.folders import refuse_flat
from resnet_jax.formats.listing import IMAGES, image_files_as_0_1_0

SPLITS_0_1_0 = ("train", "test", "validation", "val", "valid")


def open_folders_as_0_1_0(path: Path) -> StoredDataset:
    """The same images, in the same order and under the same labels, as version 0.1.0 read from a folder.

    It knew a split by these names alone and an image by its extension, followed links, and had classes in the order of
    their letters.

    Raises:
      ValueError: a folder that it could not read.
    """

    def listed(folder: Path) -> list[str]:
        return sorted(
            entry.name for entry in os.scandir(folder) if os.path.isdir(entry) and not entry.name.startswith(".")
        )

    def opened(folder: Path, classes: list[str], every: bool) -> ImageFileSource:
        images = [sorted(image_files_as_0_1_0(folder / name)) for name in classes]
        if not all(images) if every else not any(images):
            raise ValueError(f"{folder} has a class folder without images ({', '.join(sorted(IMAGES))})")
        labels = np.repeat(np.arange(len(classes), dtype=np.int32), [len(paths) for paths in images])
        return ImageFileSource([image for paths in images for image in paths], labels, tuple(classes), str(path))

    folders = listed(path)
    splits = [name for name in SPLITS_0_1_0 if name in folders]
    if not any(listed(path / name) for name in splits):
        if not folders:
            refuse_flat(path, IMAGE_FILES)
        return StoredDataset(str(path), {"train": opened(path, folders, every=True)})
    if "train" not in splits or len(splits) < len(folders):
        raise ValueError(f"{path} has the folders {join_names(folders)}; expected train and {SPLITS_0_1_0[1:]} alone")
    classes = listed(path / "train")
    if strange := {name for split in splits for name in listed(path / split)} - set(classes):
        raise ValueError(f"{path} has classes that {path / 'train'} has not: {join_names(sorted(strange))}")
    return StoredDataset(str(path), {split: opened(path / split, classes, split == "train") for split in splits})
