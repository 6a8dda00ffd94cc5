"""RetinaNet and FCOS: padding and masked examples change no loss and no gradient; parameters that are frozen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.models import create_model, shapes
from resnet_jax.models.decoders.detector import Targets

SMALL = {"backbone": "resnet18", "num_classes": 5, "fpn_features": 32, "head_depth": 1, "levels": ("stage3", "p6")}
BOXES = np.array([[4, 4, 40, 50], [20, 10, 60, 60], [2, 30, 20, 62]], np.float32)
COUNTS = {
    "retinanet_resnet50_fpn": 34_014_999,
    "retinanet_resnet50_fpn_v2": 38_198_935,
    "fcos_resnet50_fpn": 32_269_600,
}


def targets(numbers, padding, mask=(1.0, 1.0)):
    """Targets of two images with this many boxes and `padding` more places, of arbitrary values."""
    size = max(numbers) + padding
    boxes, labels = np.full((2, size, 4), 7.0, np.float32), np.full((2, size), 3, np.int32)
    valid = np.arange(size)[None] < np.asarray(numbers)[:, None]
    for i, number in enumerate(numbers):
        boxes[i, :number], labels[i, :number] = BOXES[:number], np.arange(1, number + 1)
    return Targets(*map(jnp.asarray, (boxes, labels, valid, np.asarray(mask, np.float32))))


def gradients(net):
    """A function of targets and images: losses, and their gradient by the parameters."""
    images = jnp.asarray(np.random.default_rng(0).standard_normal((2, 64, 64, 3)), jnp.float32)
    variables = jax.jit(net.init)(jax.random.key(0), images)

    @jax.jit
    def run(targets, images=images):
        def loss(params):
            out, _ = net.apply(
                {**variables, "params": params}, images, train=True, targets=targets, mutable=["batch_stats"]
            )
            return sum(x.total for x in out.losses.values()), {name: x[:2] for name, x in out.losses.items()}

        return jax.grad(loss, has_aux=True)(variables["params"])

    return run, images


@pytest.mark.slow  # a program for each number of boxes
@pytest.mark.parametrize("kind", ["retinanet", "fcos"])
def test_padding_and_masked_examples_change_nothing(kind):
    run, images = gradients(create_model(kind, **SMALL, frozen_norms=("all",)))

    def check(one, other):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), one, other)

    for numbers in ((3, 1), (0, 0)):
        check(run(targets(numbers, 0 if max(numbers) else 1)), run(targets(numbers, 4 if max(numbers) else 7)))
    masked = run(targets((3, 1), 1, (1.0, 0.0)))
    check(masked, run(targets((3, 3), 1, (1.0, 0.0)), images.at[1].multiply(-3)))
    assert any(jnp.any(x != 0) for x in jax.tree.leaves(masked))


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_the_published_ones(name):
    net = create_model(name, frozen_norms=() if name.endswith("v2") else ("all",))
    params = shapes(net, 64).variables["params"]
    flat = {"/".join(key.key for key in path): x.size for path, x in jax.tree_util.tree_leaves_with_path(params)}
    assert sum(size for path, size in flat.items() if not net.is_frozen(path)) == COUNTS[name]


def test_layers_before_the_trained_ones_are_frozen():
    net = create_model("retinanet", **SMALL, trainable_layers=3)
    paths = ("stem/conv/kernel", "stage1_block0/branch/conv1/kernel", "stage2_block0/branch/norm1/scale")
    assert [net.is_frozen(f"backbone/{path}") for path in paths] == [True, True, False]
    assert not net.is_frozen("fpn/p6/kernel")
    with pytest.raises(ValueError, match="trainable_layers: expected None, 0, 1, 2, 3, 4 or 5, got 6"):
        create_model("retinanet", trainable_layers=6)
    with pytest.raises(ValueError, match="levels: expected p"):
        create_model("retinanet", levels=("stage2", "pool", "p6"))
