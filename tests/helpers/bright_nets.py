"""Nets that find what is bright in an image, without training."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from PIL import Image

from resnet_jax.models.decoders.dense import SegmentationOutputs
from resnet_jax.models.decoders.detector import Detections
from resnet_jax.types import Preprocess, Pretrained

CLASSES = ("dark", "bright")
PREPROCESS = Preprocess(64, 64, (0.5,) * 3, (0.5,) * 3, crop_mode="pad")
BOX = (20, 40, 120, 140)  # of what is bright in `photo`: x0, y0, x1, y1
SIZE = (160, 200)  # of the photo: height, width
NO_UPDATE = optax.identity()


class BrightDetector(nn.Module):
    """The box of the bright pixels, with a mask, as class "bright" (label 2); and a doubtful one of the whole image."""

    num_classes: int = 3

    @nn.compact
    def __call__(self, images, sizes=None, train=False, targets=None, example_index=None):
        scale = self.param("scale", nn.initializers.ones, ())
        bright = images.mean(-1) > 0
        boxes = jax.vmap(_box)(bright)[:, None] * scale
        whole = jnp.concatenate([jnp.zeros_like(sizes), sizes[:, ::-1]], -1)[:, None].astype(boxes.dtype)
        n = len(images)
        return Detections(
            boxes=jnp.concatenate([boxes, whole, 0 * boxes], 1),
            scores=jnp.tile(jnp.array([[0.9, 0.2, 0]]), (n, 1)),
            labels=jnp.tile(jnp.array([[2, 1, 0]]), (n, 1)),
            masks=jnp.ones((n, 3, 14, 14)),
            valid=jnp.tile(jnp.array([[True, True, False]]), (n, 1)),
        )

    @nn.nowrap
    def batch_inputs(self, batch, train):
        return {"sizes": batch["size"]}


class BrightSegmenter(nn.Module):
    """Each pixel as "dark" or "bright"."""

    num_classes: int = 2

    @nn.compact
    def __call__(self, images, train=False, example_index=None):
        light = self.param("scale", nn.initializers.ones, ()) * images.mean(-1)
        return SegmentationOutputs(jnp.stack([-light, light], -1), None, {})


def _box(bright):
    rows, columns = bright.any(1), bright.any(0)
    length = len(rows)
    ends = [(jnp.argmax(x), length - jnp.argmax(x[::-1])) for x in (columns, rows)]
    return jnp.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]]).astype(jnp.float32)


def net(model):
    images = jnp.zeros((1, 64, 64, 3))
    inputs = {"sizes": jnp.full((1, 2), 64)} if isinstance(model, BrightDetector) else {}
    variables = jax.tree.map(np.asarray, model.init(jax.random.key(0), images, **inputs))
    return Pretrained(model, variables, PREPROCESS, "bright", CLASSES)


def photo(file):
    """Writes an image with a bright rectangle at `BOX`; returns the file."""
    pixels = np.full((*SIZE, 3), 30, np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 240
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)
    return file
