"""torchvision's detectors on a ResNet-50 in float64: the scene of tests/golden/dense/dense-NAME.npz, and their weights.

Two images of 160 x 192 and 128 x 160 pixels; the second is resized to 160 x 200, and both lie in a canvas of 160 x 224.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import recipe

from resnet_jax.models import get_spec
from resnet_jax.models.decoders.detector import Targets
from resnet_jax.models.spec import IMAGENET
from resnet_jax.ops.resize import resize
from resnet_jax.weights.convert import to_variables
from resnet_jax.weights.names import Names

GOLDEN = Path(__file__).parents[1] / "golden" / "dense"
CANVAS, SIZES = (160, 224), ((160, 192), (160, 200))
ORIGINALS = ((160, 192), (128, 160))
BOXES = (((10, 20, 90, 100), (60, 40, 180, 150), (5, 5, 25, 30)), ((30, 10, 120, 110),))
LABELS = ((3, 17, 44), (17,))
# The last layers of the heads: a fifth of the recipe's, so that boxes and scores stay ordinary.
SCALED = ("cls_logits", "bbox_reg", "bbox_pred", "cls_score", "bbox_ctrness", "mask_fcn_logits")


class Reference(NamedTuple):
    numbers: dict[str, np.ndarray]
    names: Names
    variables: dict


def reference(model) -> Reference:
    """The numbers of torchvision's net, our names in it, and its weights for `model`."""
    name = model.registry_name
    numbers = dict(np.load(GOLDEN / f"dense-{name}.npz"))
    keys = json.loads((GOLDEN / f"dense-{name}.keys.json").read_text())
    names = Names("torchvision", get_spec(name).name_tables["torchvision"])
    return Reference(numbers, names, to_variables(state(keys), model, names))


def state(keys: list[tuple[str, list[int]]]) -> dict[str, np.ndarray]:
    """The state dict of a net with arrays of these names and shapes."""
    arrays = {name: np.asarray(recipe.array(name, tuple(shape))) for name, shape in keys if "num_batches" not in name}
    return {name: 0.2 * x if any(part in name for part in SCALED) else x for name, x in arrays.items()}


def images() -> jnp.ndarray:
    """The canvases [2, 160, 224, 3], float64."""
    rng = np.random.default_rng(0)
    mean, std = (np.asarray(values) for values in IMAGENET)
    canvases = []
    for original, (height, width) in zip(ORIGINALS, SIZES, strict=True):
        image = (rng.random((3, *original)).transpose(1, 2, 0) - mean) / std
        resized = resize(jnp.asarray(image)[None], (height, width))[0]
        canvases.append(jnp.pad(resized, ((0, CANVAS[0] - height), (0, CANVAS[1] - width), (0, 0))))
    return jnp.stack(canvases)


def targets(most: int = 3) -> Targets:
    """The true boxes and masks in the canvases, `most` boxes per image."""
    boxes, labels = np.zeros((2, most, 4)), np.zeros((2, most), np.int32)
    masks = np.zeros((2, most, *CANVAS), np.uint8)
    for i, (original, (height, width)) in enumerate(zip(ORIGINALS, SIZES, strict=True)):
        labels[i, : len(LABELS[i])] = LABELS[i]
        for j, box in enumerate(BOXES[i]):
            boxes[i, j] = np.asarray(box) * (height / original[0])
            x0, y0, x1, y1 = box
            mask = np.zeros(original)
            mask[y0:y1, x0:x1] = 1
            mask[y0 : (y0 + y1) // 2, x0 : (x0 + x1) // 2] = 0
            masks[i, j, :height, :width] = resize(jnp.asarray(mask)[None, ..., None], (height, width), "nearest")[
                0, ..., 0
            ]
    valid = jnp.asarray(labels > 0)
    return Targets(jnp.asarray(boxes), jnp.asarray(labels), valid, jnp.ones(2), jnp.asarray(masks))


def scales() -> np.ndarray:
    """Original pixels per pixel of each canvas, [2, 4]; torchvision rounds them to float32."""
    ratios = np.asarray(ORIGINALS, np.float32) / np.asarray(SIZES, np.float32)
    return ratios[:, [1, 0, 1, 0]].astype(np.float64)


def mean_losses(losses, examples: int = 2) -> dict:
    """Losses of a batch on one device."""
    weights = {name: examples if loss.weight is None else loss.weight for name, loss in losses.items()}
    return {name: loss.total / jnp.maximum(weights[name], loss.least_weight) for name, loss in losses.items()}
