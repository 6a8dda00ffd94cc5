"""Training steps of dense nets: in bfloat16, and on eight devices as on one."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import recipe

from resnet_jax.distributed.devices import Parallel
from resnet_jax.metrics.typed import results
from resnet_jax.models import create_model
from resnet_jax.tasks.detection import Detection
from resnet_jax.tasks.segmentation import Segmentation
from resnet_jax.training.core import training_pass
from resnet_jax.training.state import TrainState
from resnet_jax.training.step import make_step

SIDE, CLASSES = 32, ("cat", "dog")
RCNN = {
    **{"box_dense": (8,), "rpn_post_nms_top_n_train": 8, "rpn_pre_nms_top_n_train": 16, "box_batch_size_per_image": 4},
    **{"rpn_batch_size_per_image": 8, "anchor_sizes": ((8,), (16,)), "fpn_features": 8, "levels": ("stage2", "pool")},
}
ONE_STAGE = {"head_depth": 1, "head_groups": 2, "fpn_features": 8, "levels": ("stage2", "p6")}
NETS = {
    "retinanet": ONE_STAGE,
    "fcos": ONE_STAGE,
    "fasterrcnn": RCNN,
    "maskrcnn": {**RCNN, "mask_convs": (4,), "mask_features": 4},
    "fcn": {},
}


def net(kind, dtype):
    backbone = recipe.small("cifar_resnet8", 1, 3 if kind == "fcn" else 2, dtype=dtype, param_dtype=jnp.float32)
    classes = len(CLASSES) + (kind != "fcn")
    return create_model(kind, backbone=backbone, num_classes=classes, frozen_norms="all", **NETS[kind])


@cache
def state_of(kind):
    model = net(kind, jnp.float32)
    return TrainState.from_variables(recipe.variables(model), optax.sgd(0.01), jax.random.key(0))


def batch(kind, examples=8):
    rng = np.random.default_rng(0)
    result = {
        "image": rng.standard_normal((examples, SIDE, SIDE, 3)).astype(np.float32),
        "size": np.full((examples, 2), SIDE, np.int32),
        "mask": np.ones(examples, np.float32),
    }
    if kind == "fcn":
        return result | {"label": rng.integers(0, len(CLASSES), (examples, SIDE, SIDE)).astype(np.uint8)}
    corners = np.sort(rng.uniform(0, SIDE, (examples, 2, 2, 2)), axis=2)
    return result | {
        "label": rng.integers(-1, len(CLASSES), (examples, 2)).astype(np.int32),
        "boxes": corners.reshape(examples, 2, 4).astype(np.float32),
        "crowd": np.zeros((examples, 2), bool),
        "masks": rng.integers(0, 2, (examples, 2, SIDE, SIDE)).astype(np.uint8),
    }


def task(kind):
    return Segmentation(classes=CLASSES) if kind == "fcn" else Detection(classes=CLASSES)


def losses(kind, parallel, dtype=jnp.float32):
    """The metrics of a step and the parameters after it."""
    step = parallel.map(make_step(net(kind, dtype), optax.sgd(0.01), task(kind).objective))
    new, metrics = step(parallel.replicate(state_of(kind)), parallel.shard(batch(kind)))
    return results(metrics), jax.device_get(new.params)


DEVICES = [pytest.param(kind, marks=[] if kind == "fcn" else pytest.mark.slow) for kind in NETS]


@pytest.mark.parametrize("kind", DEVICES)
def test_eight_devices_have_the_losses_of_one(kind):
    """R-CNN samples the same anchors and proposals."""
    expected, params = losses(kind, Parallel("pmap", jax.devices()[:1]))
    assert all(np.isfinite(value) for value in expected.values()) and expected["loss"] > 0
    for mode in ("pmap", "shard_map"):
        metrics, others = losses(kind, Parallel(mode))
        assert metrics == pytest.approx(expected, rel=1e-4)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4), others, params)


@pytest.mark.parametrize("kind", NETS)
def test_losses_and_boxes_are_float32_in_bfloat16_nets(kind):
    model, state = net(kind, jnp.bfloat16), state_of(kind)
    small = {name: jnp.asarray(x) for name, x in (batch(kind, 2) | {"index": np.arange(2)}).items()}
    rngs = {name: jax.random.key(1) for name in ("dropout", "sampling")}

    @jax.jit
    def run(params):
        outputs, _ = training_pass(model, params, state.batch_stats, small, rngs)
        terms, _ = task(kind).objective(outputs, small, None)
        return {name: term.total for name, term in terms.items()}

    totals = run(state.params)
    assert {x.dtype.name for x in totals.values()} == {"float32"}
    assert all(np.isfinite(x) for x in totals.values())
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    outputs = jax.eval_shape(lambda v: model.apply(v, small["image"], train=False), variables)
    floats = [outputs.logits] if kind == "fcn" else [outputs.boxes, outputs.scores]
    assert {x.dtype.name for x in floats} == {"float32"}
