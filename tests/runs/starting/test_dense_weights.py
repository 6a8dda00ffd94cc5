"""First weights of dense nets: of a net with other classes, and of a classifier for the backbone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax import create_model, save_torch_state
from resnet_jax.models import shapes
from resnet_jax.models.layers import BatchNorm
from resnet_jax.models.partials import Partial
from resnet_jax.runs.starting.dense_weights import SIDE, fit_dense, note_epsilon
from resnet_jax.runs.starting.warm_start import warm_start
from resnet_jax.tasks import get_task
from resnet_jax.types import Preprocess, Pretrained

SMALL = {"backbone": "resnet18", "fpn_features": 8}


def loaded(name, **options):
    model = create_model(name, **options)
    arrays = {at: np.zeros(x.shape, jnp.float32) for at, x in flatten_dict(shapes(model, SIDE).variables).items()}
    return Pretrained(model, unflatten_dict(arrays), Preprocess(64, 64, (0.5,), (0.5,)), name)


def test_a_classifier_gives_the_backbone_alone():
    weights, model = loaded("resnet18", num_classes=7), create_model("retinanet", num_classes=4, **SMALL)
    start = fit_dense(weights, model, "FILE", keeps_head=False)
    assert {name: set(tree) for name, tree in start.items()} == {"params": {"backbone"}, "batch_stats": {"backbone"}}
    assert "head" not in start["params"]["backbone"] and "stem" in start["params"]["backbone"]


def test_layers_with_an_output_for_each_class_are_new():
    model = create_model("retinanet", num_classes=4, **SMALL)
    start = flatten_dict(fit_dense(loaded("retinanet", num_classes=9, **SMALL), model, "FILE", keeps_head=False))
    missing = flatten_dict(shapes(model, SIDE).variables).keys() - start.keys()
    assert {at[-1] for at in missing} == {"kernel", "bias"} and len(missing) == 2
    whole = fit_dense(loaded("retinanet", num_classes=4, **SMALL), model, "FILE", keeps_head=True)
    assert flatten_dict(whole).keys() == start.keys() | missing


def test_a_file_of_a_detector_with_options_fits_one_with_them(tmp_path):
    """No registered net with its default options has its arrays."""
    options = {"backbone": "cifar_resnet8", "levels": ("stage2", "stage3"), "fpn_features": 8}
    saved, model = (create_model("retinanet", num_classes=count, **options) for count in (3, 5))
    variables = recipe.variables(saved)
    save_torch_state(variables, saved, path := tmp_path / "a.safetensors", "torchvision", classes=("cat", "dog"))
    start = warm_start(path, model, tuple("abcd"), task=get_task("detection"))
    assert "retinanet, 2 classes; " in start.message
    stem = variables["params"]["backbone"]["stem"]["conv"]["kernel"]
    np.testing.assert_array_equal(start.variables["params"]["backbone"]["stem"]["conv"]["kernel"], stem)
    assert set(start.variables["params"]) == {"backbone", "fpn", "head"}


def test_another_epsilon_of_the_norms_is_noted():
    weights, model = loaded("resnet18"), create_model("retinanet", num_classes=4, **SMALL)
    assert note_epsilon(weights, model) == []
    frozen = weights._replace(model=weights.model.clone(norm=Partial(BatchNorm, epsilon=0.0)))
    (note,) = note_epsilon(frozen, model)
    assert note == "the weights were trained with norms of epsilon 0; those of this backbone have 1e-05"


def test_scales_of_frozen_norms_are_adapted_to_another_epsilon():
    options = {"backbone": "cifar_resnet8", "levels": ("stage2", "stage3"), "fpn_features": 8, "frozen_norms": "all"}
    model = create_model("retinanet", num_classes=4, **options)
    theirs = model.clone(backbone=model.backbone.clone(norm=Partial(BatchNorm, epsilon=0.0)))
    variables = recipe.variables(model)
    variables["batch_stats"] = jax.tree.map(lambda x: x * 1e-5, variables["batch_stats"])
    weights = Pretrained(theirs, variables, Preprocess(64, 64, (0.5,), (0.5,)), "retinanet")
    assert note_epsilon(weights, model) == ["the scales of the backbone's norms are adapted from epsilon 0 to 1e-05"]
    start = fit_dense(weights, model, "FILE", keeps_head=True)

    def maps(net, arrays):
        inside = {name: tree["backbone"] for name, tree in arrays.items()}
        return net.backbone.apply(inside, jnp.ones((1, 32, 32, 3)), train=False).features["stage3"]

    expected = maps(theirs, variables)
    np.testing.assert_allclose(maps(model, start), expected, rtol=1e-4, atol=1e-4 * float(jnp.abs(expected).max()))
    assert not np.allclose(maps(model, variables), expected, rtol=0.1)


def test_other_nets_are_refused():
    model = create_model("retinanet", num_classes=4, **SMALL)
    with pytest.raises(ValueError, match="the weights of FILE .resnet34. do not fit the model: .*got"):
        fit_dense(loaded("resnet34"), model, "FILE", keeps_head=False)
    other = model.clone(backbone=model.backbone.clone(stem=create_model("resnet18", stem="halving").stem))
    weights = loaded("retinanet", num_classes=4, **SMALL)._replace(model=other)
    with pytest.raises(ValueError, match="of a backbone with another stem"):
        fit_dense(weights, model, "FILE", keeps_head=True)
