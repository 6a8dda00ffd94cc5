"""Our nets of `rcnn_reference`, with torchvision's weights, and its scene as a batch."""

from __future__ import annotations

import json
from functools import cache, partial

import detection_reference
import jax
import jax.numpy as jnp
import numpy as np
import rcnn_reference as reference
import recipe
from flax.traverse_util import flatten_dict

from resnet_jax.models import create_model, get_spec
from resnet_jax.models.decoders.detector import Targets
from resnet_jax.ops.boxes import paste_masks
from resnet_jax.weights.convert import to_variables
from resnet_jax.weights.names import Names

OPTIONS = {
    "num_classes": reference.CLASSES,
    "fpn_features": reference.FEATURES,
    **{option: value for option, value in reference.OPTIONS.items() if option.startswith(("rpn", "box"))},
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
    """Images, their sizes and the targets; more than 3 boxes and 2 examples are padding, with boxes of NaN."""
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
    true_boxes[~(valid & mask[:, None])] = np.nan
    values = (true_boxes, labels.astype(np.int32), valid, mask.astype(np.float64), masks)
    return jnp.asarray(images), jnp.asarray(sizes), Targets(*map(jnp.asarray, values))


def check_detections(net, variables, numbers, is_part=False):
    """The detections of the scene are torchvision's. Returns outputs of the modules that the filter `is_part` names."""
    images, sizes, _ = scene()
    run = jax.jit(partial(net.apply, capture_intermediates=is_part, mutable=["intermediates"]))
    detections, captured = run(variables, images, sizes)
    for i, size in enumerate(reference.SIZES):
        count = int(detections.valid[i].sum())
        boxes, scores, labels, valid = (detections._asdict()[key][i] for key in ("boxes", "scores", "labels", "valid"))
        assert valid[:count].all() and not any(x[count:].any() for x in (boxes, scores, labels))
        np.testing.assert_array_equal(labels[:count], numbers[f"{i}/labels"])
        np.testing.assert_allclose(scores[:count], numbers[f"{i}/scores"], rtol=1e-10)
        np.testing.assert_allclose(boxes[:count], numbers[f"{i}/boxes"], rtol=0, atol=1e-10)
        if detections.masks is None:
            assert f"{i}/mask_sums" not in numbers
        else:
            pasted = paste_masks(detections.masks[i, :count], boxes[:count], size)
            np.testing.assert_allclose(pasted.sum((1, 2)), numbers[f"{i}/mask_sums"], rtol=1e-10)
            assert not detections.masks[i, count:].any()
    return captured.get("intermediates", {})


def check_losses(net, variables, numbers, names, batch):
    """The losses of a batch, the norms of their gradients and the running means afterwards are torchvision's."""
    images, sizes, targets = batch

    def loss(params):
        outputs, updated = net.apply(
            {**variables, "params": params}, images, sizes, train=True, targets=targets, mutable=["batch_stats"]
        )
        losses = detection_reference.mean_losses(outputs.losses)
        return sum(losses.values()), (losses, updated["batch_stats"])

    gradient, (losses, statistics) = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    assert {f"loss/{key}" for key in losses} == {key for key in numbers if key.startswith("loss/")}
    for key, value in losses.items():
        np.testing.assert_allclose(value, numbers[f"loss/{key}"], rtol=1e-10)
    norms = {names.entry(("params", *path))[0]: jnp.linalg.norm(x) for path, x in flatten_dict(gradient).items()}
    expected = dict(zip(np.asarray(numbers["gradient_names"]).tolist(), numbers["gradient_norms"], strict=True))
    median = np.median(list(expected.values()))
    for key, norm in expected.items():
        np.testing.assert_allclose(norms[key], norm, rtol=0, atol=1e-9 * max(norm, median), err_msg=key)
    for path, x in flatten_dict(statistics).items():
        key = f"after/{names.entry(('batch_stats', *path))[0]}"
        if key in numbers and key.endswith("running_mean"):
            np.testing.assert_allclose(x, numbers[key], rtol=0, atol=1e-10, err_msg=key)
