"""The digits as a TFDS dataset. Its images are PNG bytes, so preparing ArrayRecord files needs no TensorFlow."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib import resources
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


class Digits(tfds.core.GeneratorBasedBuilder):
    """1,437 training and 360 test images of 8 x 8 grey pixels, ten classes."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = None  # there are no TFDS metadata files beside this one

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(8, 8, 1), encoding_format="png")
        features = tfds.features.FeaturesDict({"image": image, "label": tfds.features.ClassLabel(num_classes=10)})
        return tfds.core.DatasetInfo(
            builder=self,
            description="Hand-written digits (Alpaydin and Kaynak 1998), the 1,797 images scikit-learn distributes.",
            features=features,
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {"train": self._generate_examples(False), "test": self._generate_examples(True)}

    def _generate_examples(self, test: bool) -> Iterator[tuple[int, dict[str, Any]]]:
        with (resources.files(__package__) / "digits.npz").open("rb") as file:
            data = np.load(file)
            images, labels, is_test = data["image"], data["label"], data["test"]
        for i in np.flatnonzero(is_test == test):
            yield int(i), {"image": _png(np.round(images[i] * (255 / 16)).astype(np.uint8)), "label": int(labels[i])}


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()
