"""RetinaNet and FCOS on a ResNet-50 against torchvision's, in float64."""

import detection_reference as scene
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from resnet_jax.models import create_model
from resnet_jax.models.decoders.fcos import FCOSHead
from resnet_jax.models.decoders.fpn import FeaturePyramid
from resnet_jax.models.decoders.retinanet import RetinaNetHead

OPTIONS = {"score_thresh": 0.0, "topk_candidates": 100, "dtype": jnp.float64, "param_dtype": jnp.float64}
LEVELS = {"0": "stage2", "1": "stage3", "2": "stage4", "p6": "p6", "p7": "p7"}
OUTPUTS = {"cls_logits": "cls_logits", "bbox_regression": "bbox_reg", "bbox_ctrness": "bbox_ctrness"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["retinanet_resnet50_fpn", "fcos_resnet50_fpn"])
def test_all_numbers_equal_torchvisions(x64, name):
    model = create_model(name, **OPTIONS)
    numbers, names, variables = scene.reference(model)
    images, sizes, targets = scene.images(), jnp.asarray(scene.SIZES), scene.targets()

    def is_part(module, method):
        return isinstance(module, (FeaturePyramid, RetinaNetHead, FCOSHead)) and method == "__call__"

    detect = jax.jit(lambda v: model.apply(v, images, sizes, capture_intermediates=is_part))
    detections, captured = detect(variables)
    check_parts({part: value["__call__"][0] for part, value in captured["intermediates"].items()}, numbers)
    for i, scale in enumerate(scene.scales()):
        count = int(detections.valid[i].sum())
        assert count == numbers[f"det{i}/count"]
        boxes, scores, labels = (x[i, : min(count, 50)] for x in detections[:3])
        np.testing.assert_allclose(np.asarray(boxes) * scale, numbers[f"det{i}/boxes"], rtol=0, atol=1e-8)
        np.testing.assert_allclose(scores, numbers[f"det{i}/scores"], rtol=1e-8)
        np.testing.assert_array_equal(labels, numbers[f"det{i}/labels"])

    def loss(params):
        outputs, _ = model.apply(
            {**variables, "params": params}, images, sizes, train=True, targets=targets, mutable=["batch_stats"]
        )
        losses = scene.mean_losses(outputs.losses)
        return sum(losses.values()), losses

    gradient, losses = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    assert {f"loss/{key}" for key in losses} == {key for key in numbers if key.startswith("loss/")}
    for key, value in losses.items():
        np.testing.assert_allclose(value, numbers[f"loss/{key}"], rtol=1e-8)
    norms = {names.entry(("params", *path))[0]: jnp.linalg.norm(x) for path, x in flatten_dict(gradient).items()}
    expected = dict(zip(numbers["grad_norm_names"].tolist(), numbers["grad_norms"], strict=True))
    assert norms.keys() == expected.keys()
    median = np.median(list(expected.values()))
    for key, norm in expected.items():
        np.testing.assert_allclose(norms[key], norm, rtol=0, atol=1e-8 * max(norm, median), err_msg=key)


def check_parts(parts, numbers):
    for level, name in LEVELS.items():
        x = parts["fpn"][name]
        assert list(x.transpose(0, 3, 1, 2).shape) == numbers[f"fpn/{level}/shape"].tolist()
        np.testing.assert_allclose(x[:, 0, 0], numbers[f"fpn/{level}/corner"], rtol=0, atol=1e-8)
        np.testing.assert_allclose(jnp.linalg.norm(x), numbers[f"fpn/{level}/norm"], rtol=1e-10)
    for theirs, ours in OUTPUTS.items():
        if f"head/{theirs}" in numbers:
            x = jnp.concatenate(parts["head"][ours], axis=1)
            np.testing.assert_allclose(x[:, ::97], numbers[f"head/{theirs}"], rtol=0, atol=1e-8)
            np.testing.assert_allclose(jnp.linalg.norm(x), numbers[f"head/{theirs}/norm"], rtol=1e-10)
