"""Feature maps and components of a net, without computing anything."""

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from resnet_jax.models import components, create_model, differing_arrays, feature_info, feature_names, shapes
from resnet_jax.models.blocks import PreActResidual, Residual
from resnet_jax.models.branches import Bottleneck
from resnet_jax.models.layers import BatchNorm, Conv, GroupNorm
from resnet_jax.models.stems import DeepStem, MaxPool


def test_feature_strides():
    imagenet = {"stem": (64, 2), "stage1": (256, 4), "stage2": (512, 8), "stage3": (1024, 16), "stage4": (2048, 32)}
    cifar = {"stem": (16, 1), "stage1": (16, 1), "stage2": (32, 2), "stage3": (64, 4)}
    assert feature_info(create_model("resnet50")) == feature_info("resnet50") == imagenet
    with pytest.raises(ValueError, match="no model named 'resnet5o'; did you mean resnet50"):
        feature_info("resnet5o")
    assert list(feature_info(create_model("resnet50"))) == list(imagenet)
    assert feature_info(create_model("cifar_resnet20")) == cifar
    assert feature_info(create_model("resnet50"), 225) == imagenet  # whatever the size


def test_components_are_the_classes_of_the_modules_that_are_called():
    assert {DeepStem, MaxPool, Residual, Bottleneck, Conv, BatchNorm} <= components(create_model("resnet50c"))
    assert not {PreActResidual, GroupNorm} & components(create_model("resnet50c"))
    assert GroupNorm in components(create_model("resnet18", norm=GroupNorm))


def test_shapes_of_one_image():
    model = create_model("cifar_resnet8", num_classes=3, in_channels=1)
    outputs, variables, macs, other_macs = shapes(model, 16)
    assert outputs.logits.shape == (1, 3) and outputs.features["stage3"].shape == (1, 4, 4, 64)
    assert feature_names(model) == ("stem", "stage1", "stage2", "stage3")
    assert macs["stem/conv"] == 16 * 16 * 9 * 16 and not other_macs
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(variables))
    with pytest.raises(ValueError, match="image_size: expected a whole number, at least 1, got 0"):
        shapes(model, 0)


def test_a_resnet18_of_series_has_one_row_of_each_kernel():
    images, series = create_model("resnet18"), shapes(create_model("resnet18"), (256,))
    rows = {"/".join(at): leaf.shape for at, leaf in flatten_dict(shapes(images, 64).variables).items()}
    rows = {at: shape[1:] if len(shape) == 4 else shape for at, shape in rows.items()}
    assert {"/".join(at): leaf.shape for at, leaf in flatten_dict(series.variables).items()} == rows
    assert series.outputs.features["stage4"].shape == (1, 8, 512) and series.outputs.logits.shape == (1, 1000)
    assert series.macs["stem/conv"] == 128 * 7 * 3 * 64
    assert series.macs["stage2_block1/branch"] == 32 * 2 * 3 * 128 * 128


@pytest.mark.parametrize("size", [(100,), [40, 50], np.int64(64), (8, 16, 24)], ids=str)
def test_strides_are_the_same_for_inputs_of_any_rank(size):
    net = create_model("cifar_resnet8")
    assert feature_info(net, size) == feature_info(net) and list(shapes(net, size).variables["params"])


@pytest.mark.parametrize("size", [(), (1, 2, 3, 4), (8, 0), "64", 1.5], ids=str)
def test_a_size_that_no_input_can_have_is_refused(size):
    with pytest.raises(ValueError, match="image_size: expected "):
        shapes(create_model("cifar_resnet8"), size)


def test_differing_arrays_are_missing_others_and_of_another_shape():
    model = create_model("cifar_resnet8", num_classes=3, param_dtype="float64")
    variables = shapes(create_model("cifar_resnet8", num_classes=5), 16).variables
    head = ["params/head/dense/bias", "params/head/dense/kernel"]
    assert differing_arrays(model, variables) == head and not differing_arrays(model.clone(num_classes=5), variables)
    without_statistics = {"params": variables["params"] | {"other": variables["params"]["stem"]}}
    differing = differing_arrays(model, without_statistics)
    assert {"params/other/conv/kernel", "batch_stats/stem/norm/mean", *head} < set(differing)
