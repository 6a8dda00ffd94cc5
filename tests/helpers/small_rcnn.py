"""Our nets of `rcnn_reference`, with torchvision's weights, and its scene as a batch."""

from __future__ import annotations

import json
from functools import cache

import jax.numpy as jnp
import numpy as np
import rcnn_reference as reference
import recipe

from resnet_jax.models import create_model, get_spec
from resnet_jax.models.decoders.detector import Targets
from resnet_jax.weights.convert import to_variables
from resnet_jax.weights.names import Names

OPTIONS = {
    "num_classes": reference.CLASSES,
    "fpn_features": reference.FEATURES,
    **{f"rpn_{place}_nms_top_n_{phase}": n for place, n in (("pre", 60), ("post", 20)) for phase in ("train", "test")},
    **{f"{part}_batch_size_per_image": reference.ALL for part in ("rpn", "box")},
    **{f"{part}_positive_fraction": 1.0 for part in ("rpn", "box")},
    "box_score_thresh": 0.1,
    "box_detections_per_img": 30,
    "mask_convs": (12, 12),
    "mask_features": 10,
}
VERSIONS = {
    "maskrcnn": {"levels": ("stage2", "stage3", "pool"), "box_dense": (24, 24), "frozen_norms": "all"},
    "maskrcnn_v2": {"has_norms": True, "rpn_depth": 2, "box_convs": (8,) * 4, "box_dense": (24,)},
}
CANVAS = (96, 96)


def model(name: str, dtype=jnp.float64, **options):
    stages = 4 if name.endswith("v2") else 3
    backbone = recipe.small("resnet18", 1, stages, dtype=dtype, param_dtype=dtype)
    sizes = {"anchor_sizes": reference.ANCHORS[name]}
    return create_model("maskrcnn", backbone=backbone, **{**OPTIONS, **VERSIONS[name], **sizes, **options})


@cache
def names(name: str) -> Names:
    row = "maskrcnn_resnet50_fpn_v2" if name.endswith("v2") else "maskrcnn_resnet50_fpn"
    return Names("torchvision", get_spec(row).name_tables["torchvision"])


def variables(name: str):
    """torchvision's weights."""
    keys = json.loads((reference.GOLDEN / "rcnn.keys.json").read_text())[name]
    return to_variables(reference.state(keys), model(name), names(name))


def numbers(name: str) -> dict[str, np.ndarray]:
    """What torchvision computes."""
    with np.load(reference.GOLDEN / "rcnn.npz") as file:
        return {key.removeprefix(f"{name}/"): file[key] for key in file if key.startswith(f"{name}/")}


def scene(boxes: int = 3, examples: int = 2) -> tuple[jnp.ndarray, jnp.ndarray, Targets]:
    """Images, their sizes and the targets; more than 3 boxes and 2 examples are padding, with numbers of no meaning."""
    rng = np.random.default_rng(1)
    images = rng.standard_normal((examples, *CANVAS, 3))
    sizes = np.full((examples, 2), 96, np.int32)
    corners = rng.uniform(0, 96, (examples, boxes, 2, 2))
    corners.sort(axis=2)
    true_boxes = corners.reshape(examples, boxes, 4)
    valid = np.zeros((examples, boxes), bool)
    labels = rng.integers(1, reference.CLASSES, (examples, boxes))
    masks = rng.integers(0, 2, (examples, boxes, *CANVAS)).astype(np.uint8)
    for i, image in enumerate(reference.images()):
        _, height, width = image.shape
        images[i], sizes[i] = 0, (height, width)
        images[i, :height, :width] = image.transpose(1, 2, 0)
    true_boxes[0, :3], labels[0, :3], valid[0, :3], valid[2:] = reference.BOXES, reference.LABELS, True, True
    masks[0, :3] = 0
    masks[0, :3, :72, :64] = reference.masks()
    mask = np.arange(examples) < 2
    values = (true_boxes, labels.astype(np.int32), valid, mask.astype(np.float64), masks)
    return jnp.asarray(images), jnp.asarray(sizes), Targets(*map(jnp.asarray, values))
