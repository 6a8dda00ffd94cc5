"""Faster and Mask R-CNN on a ResNet-50 against torchvision's, in float64."""

import detection_reference as scene
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from resnet_jax.models import create_model
from resnet_jax.models.decoders.fpn import FeaturePyramid
from resnet_jax.models.decoders.roi_heads import BoxPredictor
from resnet_jax.models.decoders.rpn import RPNHead
from resnet_jax.ops.boxes import paste_masks

OPTIONS = {
    **{f"rpn_{place}_nms_top_n_{phase}": n for place, n in (("pre", 200), ("post", 50)) for phase in ("train", "test")},
    **{
        f"{part}_{name}": n
        for part in ("rpn", "box")
        for name, n in (("batch_size_per_image", 10**6), ("positive_fraction", 1.0))
    },
    "box_score_thresh": 0.0,
    "dtype": jnp.float64,
    "param_dtype": jnp.float64,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn"])
def test_all_numbers_equal_torchvisions(x64, name):
    model = create_model(name, **OPTIONS)
    numbers, names, variables = scene.reference(model)
    images, sizes, targets = scene.images(), jnp.asarray(scene.SIZES), scene.targets()

    def is_part(module, method):
        return isinstance(module, (FeaturePyramid, RPNHead, BoxPredictor)) and method == "__call__"

    detect = jax.jit(lambda v: model.apply(v, images, sizes, capture_intermediates=is_part))
    detections, captured = detect(variables)
    parts = {part: value["__call__"][0] for part, value in captured["intermediates"].items()}
    check_parts(parts, numbers)
    check_detections(detections, numbers)

    def loss(params):
        outputs, _ = model.apply(
            {**variables, "params": params}, images, sizes, train=True, targets=targets, mutable=["batch_stats"]
        )
        losses = scene.mean_losses(outputs.losses)
        return sum(losses.values()), losses

    gradient, losses = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    assert {f"loss/{key}" for key in losses} == {key for key in numbers if key.startswith("loss/")}
    for key, value in losses.items():
        # torchvision keeps the labels of anchors in float32, and so the objectness loss.
        np.testing.assert_allclose(value, numbers[f"loss/{key}"], rtol=1e-6 if key == "loss_objectness" else 1e-8)
    norms = {names.entry(("params", *path))[0]: jnp.linalg.norm(x) for path, x in flatten_dict(gradient).items()}
    expected = dict(zip(numbers["grad_norm_names"].tolist(), numbers["grad_norms"], strict=True))
    assert norms.keys() >= expected.keys()
    median = np.median(list(expected.values()))
    for key, norm in expected.items():
        np.testing.assert_allclose(norms[key], norm, rtol=0, atol=1e-8 * max(norm, median), err_msg=key)


def check_parts(parts, numbers):
    for level, name in (("0", "stage1"), ("1", "stage2"), ("2", "stage3"), ("3", "stage4"), ("pool", "pool")):
        x = parts["fpn"][name]
        assert list(x.transpose(0, 3, 1, 2).shape) == numbers[f"fpn/{level}/shape"].tolist()
        np.testing.assert_allclose(x[:, 0, 0], numbers[f"fpn/{level}/corner"], rtol=0, atol=1e-8)
        np.testing.assert_allclose(jnp.linalg.norm(x), numbers[f"fpn/{level}/norm"], rtol=1e-10)
    for key, values in zip(("objectness", "deltas"), parts["rpn"], strict=True):
        np.testing.assert_allclose([jnp.linalg.norm(x) for x in values], numbers[f"rpn/{key}/norms"], rtol=1e-10)
    for key, x in zip(("scores", "deltas"), parts["box_predictor"], strict=True):
        np.testing.assert_allclose(jnp.linalg.norm(x), numbers[f"box/{key}_norm"], rtol=1e-10)


def check_detections(detections, numbers):
    for i, scale in enumerate(scene.scales()):
        count = int(detections.valid[i].sum())
        assert count == numbers[f"det{i}/count"]
        boxes = detections.boxes[i] * scale[None]
        shown = len(numbers[f"det{i}/scores"])
        np.testing.assert_array_equal(detections.labels[i, :shown], numbers[f"det{i}/labels"])
        np.testing.assert_allclose(detections.scores[i, :shown], numbers[f"det{i}/scores"], rtol=1e-8)
        np.testing.assert_allclose(boxes[:shown], numbers[f"det{i}/boxes"], rtol=0, atol=1e-8)
        if detections.masks is not None:
            pasted = paste_masks(detections.masks[i, :shown], boxes[:shown], scene.ORIGINALS[i])
            np.testing.assert_allclose(pasted.sum((1, 2)), numbers[f"det{i}/mask_sums"], rtol=1e-8)
