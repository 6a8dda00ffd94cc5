"""Faster and Mask R-CNN: small nets against torchvision's; padding, types, random samples, options."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_rcnn
from flax.traverse_util import flatten_dict
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from resnet_jax.models import create_model, shapes
from resnet_jax.models.decoders.rcnn import FasterRCNN

VERSIONS = ["maskrcnn", pytest.param("maskrcnn_v2", marks=pytest.mark.slow)]


@pytest.mark.parametrize("name", VERSIONS)
def test_detections_equal_torchvisions(x64, name):
    small_rcnn.check_detections(small_rcnn.model(name), small_rcnn.variables(name), small_rcnn.numbers(name))


@pytest.mark.parametrize("name", VERSIONS)
def test_losses_and_gradients_equal_torchvisions_whatever_the_padding(x64, name):
    """One image has three boxes, the other none; both have padding, and with frozen norms a masked example follows."""
    examples = 3 if name == "maskrcnn" else 2
    net, variables, numbers = small_rcnn.model(name), small_rcnn.variables(name), small_rcnn.numbers(name)
    small_rcnn.check_losses(net, variables, numbers, small_rcnn.names(name), small_rcnn.scene(5, examples))


def random_net(**options):
    """A net that samples few of its anchors and proposals."""
    few = {"rpn_batch_size_per_image": 16, "rpn_positive_fraction": 0.5, "box_positive_fraction": 0.25}
    return small_rcnn.model("maskrcnn", **{"dtype": jnp.float32, "box_batch_size_per_image": 8, **few, **options})


def test_losses_are_float32_in_a_bfloat16_net_and_so_are_detections():
    net = random_net(dtype=jnp.bfloat16)
    images, sizes, targets = small_rcnn.scene()
    images, targets = images.astype(jnp.float32), jax.tree.map(lambda x: x.astype(jnp.float32), targets)
    targets = targets._replace(
        labels=targets.labels.astype(jnp.int32),
        valid=targets.valid.astype(bool),
        masks=targets.masks.astype(jnp.uint8),
    )
    variables = jax.eval_shape(lambda: net.init(jax.random.key(0), images))
    run = partial(net.apply, mutable=["batch_stats"], rngs={"sampling": jax.random.key(0)})
    outputs, _ = jax.eval_shape(lambda v: run(v, images, sizes, train=True, targets=targets), variables)
    assert {x.dtype for x in jax.tree.leaves(outputs)} == {jnp.dtype(jnp.float32)}
    detections, _ = jax.eval_shape(lambda v: run(v, images, sizes), variables)
    assert [x.dtype.name for x in detections] == ["float32", "float32", "int32", "float32", "bool"]
    assert detections.masks.shape == (2, 30, 28, 28)


@pytest.mark.slow
def test_two_devices_sample_as_one():
    net = random_net()
    images, sizes, targets = small_rcnn.scene()
    variables = net.init(jax.random.key(0), images[:, :64, :64])
    mesh = Mesh(np.array(jax.devices()[:2]), ("data",))

    def sums(images, sizes, targets, index):
        rngs = {"sampling": jax.random.key(1)}
        outputs = net.apply(variables, images, sizes, True, targets, index, rngs=rngs, mutable=["batch_stats"])[
            0
        ].losses
        return {name: jnp.stack([loss.total, loss.weight]) for name, loss in outputs.items()}

    def shard(*values):
        return jax.tree.map(lambda x: jax.lax.psum(x, "data"), sums(*values))

    values = (images, sizes, targets, jnp.array([5, 3]))
    whole = jax.jit(sums)(*values)
    shards = jax.jit(jax.shard_map(shard, mesh=mesh, in_specs=P("data"), out_specs=P(), check_vma=False))(*values)
    mapped = jax.pmap(shard, "data")(*jax.tree.map(lambda x: x[:, None], values))
    for name, expected in whole.items():
        np.testing.assert_allclose(shards[name], expected, rtol=2e-5)
        np.testing.assert_allclose(mapped[name][0], expected, rtol=2e-5)
    assert whole["loss_objectness"][1] == 32
    others = jax.jit(sums)(*values[:3], jnp.array([6, 3]))
    assert others["loss_objectness"][0] != whole["loss_objectness"][0]


@pytest.mark.parametrize(
    ("name", "count", "frozen"),
    [
        ("fasterrcnn_resnet50_fpn", 41_755_286, 53_120),
        ("fasterrcnn_resnet50_fpn_v2", 43_712_278, 0),
        ("maskrcnn_resnet50_fpn", 44_401_393, 53_120),
        ("maskrcnn_resnet50_fpn_v2", 46_359_409, 0),
    ],
)
def test_parameters_are_as_many_as_published(name, count, frozen):
    """The published counts of version 1 are without scales and biases of the backbone's norms."""
    params = flatten_dict(shapes(create_model(name), 64).variables["params"])
    norms = [x.size for path, x in params.items() if path[0] == "backbone" and "norm" in path[-2]]
    assert sum(norms) == 53_120
    assert sum(x.size for x in params.values()) - frozen == count


def test_wrong_options_are_named():
    backbone = create_model("resnet18", num_classes=0)
    with pytest.raises(ValueError, match="anchor_sizes: expected as many sizes for each of the 5 levels"):
        FasterRCNN(backbone=backbone, anchor_sizes=((8,), (16,)))
    with pytest.raises(ValueError, match="rpn_nms_thresh: expected a number from 0 to 1, got 7"):
        FasterRCNN(backbone=backbone, rpn_nms_thresh=7)
    net = random_net()
    images, sizes, targets = small_rcnn.scene()
    with pytest.raises(ValueError, match="expected targets with masks"):
        net.init(jax.random.key(0), images, sizes, train=True, targets=targets._replace(masks=None))
    assert FasterRCNN(backbone=backbone).sizes_by_level() == ((32,), (64,), (128,), (256,), (512,))
