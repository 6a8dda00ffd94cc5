"""Pictures, and what the evaluation transforms of timm and torchvision make of them; as a script, writes their file.

PYTHONPATH=tests/helpers:. python tests/helpers/evaluation_crops.py, with timm and torchvision.
"""

import math
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from resnet_jax import Preprocess
from resnet_jax.models.spec import IMAGENET

FILE = Path(__file__).parents[1] / "golden" / "evaluation_crops.npz"
SIZE = 24
SHAPES = ((60, 90), (91, 60), (33, 47), (7, 96), (17, 20), (24, 24), (1, 40), (40, 1))  # height, width
TIMM = (
    *product((0.875, 0.95, 1.0), (("center", "bilinear"), ("center", "bicubic"), ("squash", "bicubic"))),
    *product((0.875, 0.95, 1.0), (("border", "bicubic"),)),
    (0.875, ("center", "lanczos")),
    (0.95, ("squash", "bilinear")),
)
TORCHVISION = tuple(product((24, 25, 27), ("bilinear", "bicubic")))  # shorter side before the crop


def picture(height, width):
    """Waves, edges and noise in three channels."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    rng = np.random.default_rng((height, width))
    waves = np.stack([np.sin(9 * x + 3 * y), np.cos(7 * y * y), np.sign(np.sin(20 * (x + y)))], -1)
    return Image.fromarray(np.clip(128 + 60 * waves + rng.normal(0, 40, waves.shape), 0, 255).astype(np.uint8))


def preprocesses():
    """By the name in the file."""
    for crop_pct, (mode, interpolation) in TIMM:
        resize = math.floor(SIZE / crop_pct)
        yield (
            f"timm_{mode}_{interpolation}_{crop_pct}",
            Preprocess(SIZE, resize, *IMAGENET, interpolation, crop_mode=mode),
        )
    for resize, interpolation in TORCHVISION:
        yield f"torchvision_{resize}_{interpolation}", Preprocess(SIZE, resize, *IMAGENET, interpolation)


def library_crops():
    """Crops that the libraries make, by name: uint8 [pictures, SIZE, SIZE, 3]."""
    from timm.data import create_transform
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms._presets import ImageClassification

    transforms = {}
    for crop_pct, (mode, interpolation) in TIMM:
        options = {"interpolation": interpolation, "crop_pct": crop_pct, "crop_mode": mode, "normalize": False}
        transforms[f"timm_{mode}_{interpolation}_{crop_pct}"] = create_transform(SIZE, **options)
    for resize, interpolation in TORCHVISION:
        options = {"crop_size": SIZE, "resize_size": resize, "interpolation": InterpolationMode(interpolation)}
        transforms[f"torchvision_{resize}_{interpolation}"] = ImageClassification(**options, mean=[0] * 3, std=[1] * 3)

    def pixels(tensor):
        array = tensor.numpy().transpose(1, 2, 0)
        return array if array.dtype == np.uint8 else np.round(array * 255).astype(np.uint8)

    return {name: np.stack([pixels(make(picture(*s))) for s in SHAPES]) for name, make in transforms.items()}


if __name__ == "__main__":
    np.savez_compressed(FILE, **library_crops())
