"""Segmenters on a small net in float64, against numbers of torchvision and segmentation_models_pytorch."""

import pickle
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
import segmentation
from flax.traverse_util import flatten_dict

from resnet_jax.models import create_model, feature_info, get_spec, list_models, registered_name, shapes

GOLDEN = np.load(recipe.GOLDEN / "dense" / "segmenters.npz")
NAMES = ("fcn", "deeplabv3", "deeplabv3plus", "pspnet", "upernet", "unet")
WITH_DROPOUT = NAMES[:4]
CLASSES = 3


def small(name, **options):
    """The net on a ResNet-18 with one block a stage, without output stride in torchvision's nets, without dropout."""
    body = create_model("resnet18", dtype="float64", param_dtype="float64")
    body = body.clone(stages=tuple(replace(stage, depth=1) for stage in body.stages))
    if name == "deeplabv3plus":
        body = body.clone(**get_spec(name).backbone_options)
    options = ({"dropout_rate": 0.0} if name in WITH_DROPOUT else {}) | options
    return create_model(name, backbone=body, num_classes=CLASSES, **options)


def check_logits(logits, name):
    for key, x in logits.items():
        golden = GOLDEN[f"{name}/{key}"]
        np.testing.assert_allclose(x[:, :, ::7, ::7], golden, rtol=0, atol=1e-8 * np.abs(golden).max())
        assert abs(np.linalg.norm(x) / GOLDEN[f"{name}/{key}_norm"] - 1) < 1e-8


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_the_librarys(x64, name):
    model = small(name)
    images, _ = segmentation.example((64, 64), CLASSES)
    run = jax.jit(lambda variables, images: model.apply(variables, images, train=False))
    outputs = run(segmentation.recipe_variables(model, name), jnp.asarray(images.transpose(0, 2, 3, 1)))
    maps = {"out": outputs.logits, "aux": outputs.auxiliary}
    check_logits({key: np.asarray(x).transpose(0, 3, 1, 2) for key, x in maps.items() if x is not None}, name)
    assert (outputs.auxiliary is None) == (name not in NAMES[:2])
    assert set(outputs.features) == {"stem", "stage1", "stage2", "stage3", "stage4"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_losses_and_gradients_are_the_librarys(x64, name):
    logits, loss, norms, _ = segmentation.numbers(small(name), name, (64, 64), CLASSES)
    check_logits(logits, name)
    assert abs(loss / GOLDEN[f"{name}/loss"] - 1) < 1e-8
    segmentation.check_gradients(norms, GOLDEN[f"{name}/gradients"], GOLDEN[f"{name}/norms"])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fcn", {"dropout_rate": 1.0}, r"dropout_rate: expected a rate in \[0, 1\), got 1.0"),
        ("deeplabv3", {"has_auxiliary": "no"}, "has_auxiliary: expected False or True, got 'no'"),
        ("deeplabv3plus", {"rates": 12}, "rates: expected a sequence of whole numbers, .*, got 12"),
        ("pspnet", {"decoder_features": 0}, "decoder_features: expected a whole number, at least 1, got 0"),
        ("unet", {"decoder_features": (256, -1)}, "decoder_features: expected a whole number, at least 1, got -1"),
    ],
)
def test_options_of_other_types_are_named(name, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        create_model(name, **options)


CLASSIFIERS = [name for name in list_models() if not get_spec(name).is_dense]
FAMILIES = sorted({get_spec(name).family: name for name in reversed(CLASSIFIERS)}.values())  # the first of each
EVERY = [(name, backbone) for name in NAMES for backbone in FAMILIES]
SOME = [(NAMES[i % len(NAMES)], backbone) for i, backbone in enumerate(FAMILIES)]


@pytest.mark.parametrize(
    ("name", "backbone"), [pytest.param(*pair, marks=() if pair in SOME else pytest.mark.slow) for pair in EVERY]
)
def test_any_backbone_has_logits_of_the_images_size(name, backbone):
    model = create_model(name, backbone=backbone, num_classes=5, in_channels=1, dtype="bfloat16")
    outputs, variables, *_ = shapes(model, (65, 96))
    assert outputs.logits.shape == (1, 65, 96, 5) and outputs.logits.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert set(variables["params"]) == {"backbone", *model.parts}
    assert "head" not in variables["params"]["backbone"]


def test_options_of_the_net_and_of_its_backbone():
    options = {"backbone": "resnet18d", "num_classes": 5, "bn_axis": "data"}
    model = create_model("deeplabv3", **options, frozen_norms=["stage1"])
    body = model.backbone
    assert (body.registry_name, body.output_stride, body.num_classes) == ("resnet18d", 8, 0)
    assert model.bn_axis == body.bn_axis == model.context("decoder", True).make_norm.axis_name == "data"
    assert body.frozen_norms == ("stage1",)
    assert model == create_model("deeplabv3", **options, frozen_norms="stage1")
    again = pickle.loads(pickle.dumps(model))
    assert again == model and hash(again) == hash(model) and get_spec(again).name == "deeplabv3"
    assert create_model("deeplabv3_resnet50") == create_model("deeplabv3", backbone=create_model("deeplabv3").backbone)
    assert registered_name(create_model("deeplabv3_resnet50").clone(stages=model.stages)) is None
    assert feature_info("deeplabv3_resnet50")["stage4"] == (2048, 8)
    assert create_model("deeplabv3", backbone="cifar_resnet20").backbone.output_stride is None


def test_frozen_norms_keep_their_statistics(x64):
    model = small("fcn", frozen_norms=["stem", "auxiliary"])
    variables = segmentation.recipe_variables(model, "fcn")
    images = jnp.asarray(segmentation.example((32, 32), CLASSES)[0].transpose(0, 2, 3, 1))
    _, updated = jax.jit(lambda v: model.apply(v, images, train=True, mutable=["batch_stats"]))(variables)
    old, new = (flatten_dict(dict(stats), sep="/") for stats in (variables["batch_stats"], updated["batch_stats"]))
    frozen = {path for path in old if np.array_equal(old[path], new[path])}
    assert frozen == {path for path in old if path.startswith(("backbone/stem/", "auxiliary/"))}


def test_dropout_depends_on_the_examples_index_alone():
    model = create_model("fcn", backbone="cifar_resnet8", num_classes=CLASSES, dropout_rate=0.5, frozen_norms="all")
    images = jnp.asarray(segmentation.example((8, 8), CLASSES)[0].transpose(0, 2, 3, 1), jnp.float32)

    @jax.jit
    def run(images, index):
        variables = model.init(jax.random.key(1), images, train=False)
        rngs = {"dropout": jax.random.key(0)}
        return model.apply(variables, images, train=True, example_index=index, rngs=rngs).logits

    both = run(images, jnp.array([5, 9]))
    np.testing.assert_allclose(run(images[::-1], jnp.array([9, 5])), both[::-1], rtol=0, atol=1e-5)
    assert np.abs(run(images, jnp.array([5, 5]))[1] - both[1]).max() > 1e-3


def test_stages_that_pspnet_does_not_use_are_not_run():
    assert create_model("pspnet").backbone.frozen_norms == ("stage3", "stage4")
    assert create_model("pspnet", frozen_norms=["stem"]).backbone.frozen_norms == ("stem", "stage3", "stage4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bckbone": "resnet18"}, "deeplabv3 has no option 'bckbone'; did you mean backbone"),
        ({"has_auxilary": False}, "deeplabv3 has no option 'has_auxilary'; did you mean has_auxiliary"),
        ({"backbone": "resnet5o"}, "no model named 'resnet5o'; did you mean resnet50"),
        ({"backbone": "deeplabv3"}, "backbone: expected a net with one output per image, got DeepLabV3"),
        ({"backbone": 50}, "expected backbone to be a model name"),
        ({"frozen_norms": ["decodr"]}, "frozen_norms: expected all, stem, .* or auxiliary, got 'decodr'"),
        ({"num_classes": -1}, "num_classes: expected a whole number, at least 0, got -1"),
    ],
)
def test_mistaken_options_get_the_nearest(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        create_model("deeplabv3", **options)
    with pytest.raises(TypeError, match=r"no option 'backbone'; create_model\(\"deeplabv3\", backbone=...\) takes one"):
        create_model("deeplabv3_resnet50", backbone="resnet18")


def test_images_of_another_rank_are_refused():
    with pytest.raises(ValueError, match=r"expected images float \[N, H, W, 3\], got float32 \[1, 64, 3\]"):
        shapes(create_model("fcn"), (64,))
