"""Image files into arrays, for code that has no dataset."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from resnet_jax.images.inputs import check_several
from resnet_jax.types import Preprocess


def read_images(files: Iterable[str | Path], preprocess: Preprocess) -> np.ndarray:
    """Image files as `resnet-jax predict` reads them: uint8 [N, H, W, C], resized and cropped for `preprocess`.

    `preprocess(images)` then normalises them for the net; `preprocess.batch(files)` does both.

    Args:
      files: paths of images in any format that training reads.
      preprocess: of `load_pretrained` or `load_checkpoint`; its mean has one value per channel.

    Raises:
      ValueError: no files, or `preprocess` has no mean and deviation.
      OSError: a file cannot be opened.
      UnreadableImage: a file is not a valid image.
    """
    check_several(files)
    if not preprocess.mean:
        raise ValueError("expected a Preprocess with a mean and a deviation per channel, got one without")
    images = [preprocess.image(file) for file in files]
    if not images:
        raise ValueError("expected at least one image file, got none")
    return np.stack(images)
