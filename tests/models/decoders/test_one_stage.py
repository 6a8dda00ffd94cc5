"""RetinaNet and FCOS: small nets against torchvision's; padding and masked examples; parameters that are frozen."""

import json

import detection_reference
import jax
import jax.numpy as jnp
import numpy as np
import one_stage_reference as reference
import pytest
import recipe
import small_rcnn

from resnet_jax.models import create_model, get_spec, shapes
from resnet_jax.models.decoders.detector import Targets
from resnet_jax.models.decoders.fcos import FCOSHead
from resnet_jax.models.decoders.retinanet import RetinaNetHead
from resnet_jax.weights.convert import to_variables
from resnet_jax.weights.names import Names

SMALL = {"num_classes": 5, "fpn_features": 8, "head_depth": 1, "levels": ("stage2", "p6"), "frozen_norms": "all"}
COUNTS = {
    "retinanet_resnet50_fpn": 34_014_999,
    "retinanet_resnet50_fpn_v2": 38_198_935,
    "fcos_resnet50_fpn": 32_269_600,
}
OPTIONS = {
    "retinanet": {"frozen_norms": "all"},
    "retinanet_v2": {"p6_from": "c5", "head_groups": 32, "box_loss": "giou"},
    "fcos": {"frozen_norms": "all"},
}
OUTPUTS = {"cls_logits": "cls_logits", "bbox_regression": "bbox_reg", "bbox_ctrness": "bbox_ctrness"}


def is_head(module, method):
    return isinstance(module, (RetinaNetHead, FCOSHead)) and method == "__call__"


@pytest.mark.parametrize("name", ["retinanet", "fcos", pytest.param("retinanet_v2", marks=pytest.mark.slow)])
def test_outputs_detections_losses_and_gradients_equal_torchvisions(x64, name):
    """One image has three boxes, the other none; both have padding, and with frozen norms a masked example follows."""
    kind, options = name.removesuffix("_v2"), OPTIONS[name]
    backbone = recipe.small("resnet18", 1, 3, dtype=jnp.float64, param_dtype=jnp.float64)
    sizes = {"levels": ("stage2", "stage3", "p6", "p7"), "anchor_sizes": reference.ANCHORS[name]}
    sizes |= {"num_classes": reference.CLASSES, "fpn_features": reference.FEATURES}
    net = create_model(kind, backbone=backbone, **sizes, **reference.THRESHOLDS, **options)
    with np.load(small_rcnn.reference.GOLDEN / "one_stage.npz") as file:
        numbers = {key.removeprefix(f"{name}/"): file[key] for key in file if key.startswith(f"{name}/")}
    keys = json.loads((small_rcnn.reference.GOLDEN / "one_stage.keys.json").read_text())[name]
    names = Names("torchvision", get_spec(kind).name_tables["torchvision"])
    variables = to_variables(small_rcnn.reference.state(keys), net, names)
    parts = small_rcnn.check_detections(net, variables, numbers, is_head)
    (outputs,) = parts["head"]["__call__"]
    for key in [key for key in OUTPUTS if f"head/{key}" in numbers]:
        output = jnp.concatenate(outputs[OUTPUTS[key]], axis=1)[:, ::29]
        np.testing.assert_allclose(output, numbers[f"head/{key}"], rtol=0, atol=1e-10)
    examples = 3 if "frozen_norms" in options else 2
    small_rcnn.check_losses(net, variables, numbers, names, small_rcnn.scene(5, examples))


def targets(numbers, places, examples):
    """Targets of the first two of so many images; boxes of padding and of the masked others are NaN."""
    rng = np.random.default_rng(len(numbers) + places)
    boxes, labels = rng.uniform(0, 32, (examples, places, 4)), rng.integers(1, 5, (examples, places))
    valid = np.arange(places)[None] < np.asarray([*numbers, *[places] * (examples - 2)])[:, None]
    for i, number in enumerate(numbers):
        boxes[i, :number], labels[i, :number] = BOXES[:number], np.arange(1, number + 1)
    mask, masks = np.arange(examples) < 2, rng.integers(0, 2, (examples, places, 32, 32))
    masks[:2, :3] = 1
    boxes[~(valid & mask[:, None])] = np.nan
    return Targets(*map(jnp.asarray, (boxes, labels, valid, mask.astype(float), masks.astype(np.uint8))))


BOXES = np.array([[4, 4, 20, 25], [10, 5, 30, 30], [1, 15, 10, 31]])


@pytest.mark.parametrize("kind", ["retinanet", "fcos"])
def test_padding_and_masked_examples_change_nothing(x64, kind):
    backbone = recipe.small("cifar_resnet8", 1, 2, dtype=jnp.float64, param_dtype=jnp.float64)
    net = create_model(kind, backbone=backbone, **SMALL, head_groups=2)
    images = jnp.asarray(np.random.default_rng(0).standard_normal((3, 32, 32, 3)))
    variables = recipe.variables(net, np.float64)

    @jax.jit
    def run(images, targets):
        def loss(params):
            out, _ = net.apply(
                {**variables, "params": params}, images, train=True, targets=targets, mutable=["batch_stats"]
            )
            losses = detection_reference.mean_losses(out.losses)
            return sum(losses.values()), losses

        return jax.grad(loss, has_aux=True)(variables["params"])

    for numbers in ((3, 1), (0, 0), (0, 2)):
        few, many = run(images[:2], targets(numbers, 3, 2)), run(images, targets(numbers, 9, 3))
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12), few, many)
        assert few[1]["classification"] > 0 and all(np.isfinite(x).all() for x in jax.tree.leaves(few))


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_the_published_ones(name):
    net = create_model(name, frozen_norms=() if name.endswith("v2") else ("all",))
    params = shapes(net, 64).variables["params"]
    flat = {"/".join(key.key for key in path): x.size for path, x in jax.tree_util.tree_leaves_with_path(params)}
    assert sum(size for path, size in flat.items() if not net.is_frozen(path)) == COUNTS[name]


def test_layers_before_the_trained_ones_are_frozen():
    net = create_model("retinanet", backbone="resnet18", trainable_layers=3)
    paths = ("stem/conv/kernel", "stage1_block0/branch/conv1/kernel", "stage2_block0/branch/norm1/scale")
    assert [net.is_frozen(f"backbone/{path}") for path in paths] == [True, True, False]
    assert not net.is_frozen("fpn/p6/kernel")
    with pytest.raises(ValueError, match="trainable_layers: expected None, 0, 1, 2, 3, 4 or 5, got 6"):
        create_model("retinanet", trainable_layers=6)
    no_room = Targets(*(jnp.zeros(shape) for shape in ((2, 0, 4), (2, 0), (2, 0), (2,))))
    with pytest.raises(ValueError, match=r"expected room for at least one box, valid or not, got boxes \[2, 0, 4\]"):
        net.init(jax.random.key(0), jnp.zeros((2, 32, 32, 3)), train=True, targets=no_room)
    with pytest.raises(ValueError, match="levels: expected p"):
        create_model("retinanet", levels=("stage2", "pool", "p6"))


def test_sizes_of_anchors_may_be_lists_or_numbers():
    backbone = create_model("resnet18", num_classes=0)
    net = create_model("fcos", backbone=backbone, levels=["stage2", "p6"], anchor_sizes=[8, 16])
    assert net.sizes_by_level() == ((8,), (16,))
    with pytest.raises(ValueError, match="anchor_sizes: expected sizes for each of the 2 levels, got "):
        create_model("fcos", backbone=backbone, levels=["stage2", "p6"], anchor_sizes=[8])
    with pytest.raises(ValueError, match="anchor_sizes: expected one size for each level"):
        create_model("fcos", backbone=backbone, levels=["stage2"], anchor_sizes=[[8, 16]])
    with pytest.raises(ValueError, match="anchor_sizes: expected more than 1 pixel, got "):
        create_model("fcos", backbone="cifar_resnet8", levels=["stage1"])
