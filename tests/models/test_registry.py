"""The exam of every registered net: values with two blocks a stage, shapes and names of the whole net.

Parameter names are public: checkpoints have them. To accept new ones:
`PYTHONPATH=tests/helpers python tests/models/test_registry.py`.
"""

import copy
import hashlib
import json
import pickle
import re
import sys
from functools import cache

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict

from resnet_jax import models, summary
from resnet_jax.models import (
    components,
    create_model,
    feature_info,
    get_spec,
    list_models,
    natural_key,
    registered_name,
    shapes,
)
from resnet_jax.models.blocks import InvertedResidual, PreActResidual
from resnet_jax.models.combine import HighwayGate
from resnet_jax.models.layers import BatchNorm, StandardizedConv
from resnet_jax.models.phases import Gated
from resnet_jax.models.resnet import ResNet
from resnet_jax.models.shortcuts import Zero
from resnet_jax.models.spec import INPUT_KINDS, ModelSpec
from resnet_jax.weights import recognition
from resnet_jax.weights.names import Names, depths_of
from resnet_jax.weights.recognition import signature_for

HUGE = re.compile("1202|1001")
NAMES = [name for name in list_models() if not get_spec(name).is_dense]  # tests/models/decoders has the others
# The huge nets take long to trace.
WHOLE = [pytest.param(name, marks=pytest.mark.parity if HUGE.search(name) else ()) for name in NAMES]
GOLDEN = recipe.GOLDEN / "names.json"
COUNTS = json.loads((recipe.GOLDEN / "counts.json").read_text())
SIGNATURES = json.loads(recognition.FILE.read_text())
RECOGNISED = {name for layouts in SIGNATURES.values() for names in layouts.values() for name in names}
READABLE = ("cifar_resnet20", "cifar_resnet20_c", "cifar_plain20", "resnet18", "resnet50", "resnet50_v1")


def covering(names):
    """Few nets that together have all components: the one that adds most comes next, the first of equals."""
    uncovered = {name: recipe.atoms_of_net(create_model(name)) for name in names}
    while any(uncovered.values()):
        best = max(uncovered, key=lambda name: len(uncovered[name]))
        yield best
        covered = uncovered[best]
        uncovered = {name: atoms - covered for name, atoms in uncovered.items()}


SMALL = sorted(covering(NAMES))
SIZE = 17  # odd on purpose


def images(model, n=2):
    x = np.random.default_rng(0).standard_normal((n, SIZE, SIZE + 2, model.in_channels))
    return jnp.asarray(x, model.dtype)


def traced(model):
    size = -(-model.image_size // 32) * 32  # the size of feature_info, so that the net is traced once
    return size, shapes(model, size)


def describe(name, variables):
    """Path and shape of every array: in full for some nets, as a digest for the others."""
    lines = sorted(f"{'/'.join(path)} {list(x.shape)}" for path, x in flatten_dict(variables).items())
    if name in READABLE:
        return lines
    return {"arrays": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


@pytest.mark.parametrize("name", WHOLE)
def test_shapes_and_names(name):
    model = create_model(name)
    size, (outputs, variables, *_) = traced(model)
    accepted = json.loads(GOLDEN.read_text())
    assert name in accepted, (
        "a new net; to accept its names: PYTHONPATH=tests/helpers python tests/models/test_registry.py"
    )
    assert describe(name, variables) == accepted[name]
    assert get_spec(name).is_gated == isinstance(model, Gated)
    assert outputs.logits.shape == (1, model.num_classes)
    assert outputs.logits.dtype == jnp.float32
    assert outputs.features["pool"].shape == (1, variables["params"]["head"]["dense"]["kernel"].shape[0])
    strides = model.stem.total_strides
    for stage, feature in zip(model.stages, list(feature_info(model, size).values())[1:], strict=True):
        strides *= stage.strides
        assert feature == (stage.features, strides)
    assert set(variables) == {"params"} | ({"batch_stats"} if BatchNorm in components(model) else set())


@pytest.mark.parametrize("name", [param for param in WHOLE if param.values[0] in COUNTS])
def test_counts_equal_the_published_ones(name):
    published = dict(COUNTS[name])
    counts = summary(name, published.pop("at", None) if "macs" in str(published) else traced(create_model(name))[0])
    for unit, digits, key in ((1e9, 3, "gmacs"), (1e6, 2, "mmacs")):
        if key in published:
            assert f"{counts.macs / unit:.{digits}f}" == f"{published.pop(key):.{digits}f}"
    assert {key: getattr(counts, key) for key in published} == published


@pytest.mark.parametrize("name", [param for param in WHOLE if param.values[0] in RECOGNISED])
def test_other_libraries_have_a_distinct_name_for_every_array(name):
    model = create_model(name)
    paths = list(flatten_dict(traced(model)[1].variables))
    tables = get_spec(name).name_tables
    assert tables, "a net whose files are recognised has a table of names"
    for layout, table in tables.items():
        names = Names(layout, table, depths_of(model))
        stored = [path for path in paths if names.is_stored(path)]
        assert len({names.entry(path)[0] for path in stored}) == len(stored)
        known = SIGNATURES[signature_for(traced(model)[1].variables, names)]
        assert name in known[layout]


@cache
def program(name):
    """A small net, and a compiled function of its variables: logits at inference and in training, updated statistics,
    gradient."""
    model = recipe.small(name, stages=2, dtype="float64", param_dtype="float64")
    x = images(model)

    @jax.jit
    def passes(variables):
        def loss(params):
            both = {**variables, "params": params}
            outputs, updated = model.apply(both, x, train=True, mutable=["batch_stats"])
            return -jax.nn.log_softmax(outputs.logits)[:, 1].mean(), (outputs.logits, updated.get("batch_stats", {}))

        gradient, (logits, updated) = jax.grad(loss, has_aux=True)(variables["params"])
        return model.apply(variables, x, train=False).logits, logits, updated, gradient

    return model, passes


@cache
def recipe_pass(name):
    model, passes = program(name)
    variables = recipe.variables(model, np.float64)
    for part in variables["params"].values():
        if "gate" in part:  # open, so that every branch is run
            part["gate"]["dense"]["bias"] = part["gate"]["dense"]["bias"] + 2
    return variables, passes(variables)


@pytest.mark.parametrize("name", SMALL)
def test_logits_depend_on_the_image_and_train_differs_from_eval_by_the_statistics_alone(x64, name):
    variables, (logits, train_logits, updated, _) = recipe_pass(name)
    assert np.isfinite(logits).all()
    assert np.abs(logits[0] - logits[1]).max() > 1e-4
    if "batch_stats" not in variables:
        np.testing.assert_allclose(train_logits, logits, rtol=0, atol=1e-9 * np.abs(logits).max())
        return
    assert np.abs(train_logits - logits).max() > 1e-3
    # With a decay of 0 the running statistics become the batch's, and evaluation repeats the training pass.
    decay = 0.9
    batch = jax.tree.map(lambda new, old: (new - decay * old) / (1 - decay), updated, variables["batch_stats"])
    again, *_ = program(name)[1](variables | {"batch_stats": batch})
    np.testing.assert_allclose(again, train_logits, rtol=0, atol=1e-9 * np.abs(again).max())


@pytest.mark.parametrize("name", SMALL)
def test_gradients_are_finite_and_none_is_dead(x64, name):
    gradient = recipe_pass(name)[1][3]
    for path, g in flatten_dict(gradient).items():
        assert np.isfinite(g).all(), path
        assert np.abs(g).max() > 0, path


@pytest.mark.parametrize("name", SMALL)
def test_a_fresh_net_carries_the_signal(x64, name):
    """Branches start at zero, so that a block starts as its shortcut, except where the shortcut loses the signal."""
    model, passes = program(name)
    variables = jax.jit(lambda key: model.init(key, images(model), train=False))(jax.random.key(0))
    logits = passes(variables)[1]
    assert np.abs(logits[0] - logits[1]).max() > 1e-3
    branch, classes = variables["params"]["stage1_block1"]["branch"], components(model)
    kind = "conv" if PreActResidual in classes else "norm"
    last = max((leaf for leaf in branch if leaf.startswith(kind)), key=natural_key)
    (kind,) = {"kernel", "scale"} & set(branch[last])
    if StandardizedConv in classes:  # a kernel of zeros cannot be standardised
        assert np.abs(branch[last][kind]).max() > 0
    else:
        np.testing.assert_array_equal(branch[last][kind], 1 if classes & {Zero, HighwayGate, InvertedResidual} else 0)


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_changes_the_arithmetic_alone(name):
    outputs, variables, *_ = shapes(recipe.small(name, 1, stages=2, dtype="bfloat16"), 64)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert outputs.features["stage2"].dtype == jnp.bfloat16
    assert outputs.logits.dtype == outputs.features["pool"].dtype == jnp.float32


def test_equal_arguments_give_equal_modules():
    assert create_model("resnet50", num_classes=10) == create_model("resnet50", num_classes=10)
    assert hash(create_model("resnet50")) == hash(create_model("resnet50", dtype="float32"))
    assert create_model("resnet50") != create_model("resnet50_v1")
    assert create_model("cifar_resnet20") == create_model("cifar_resnet20_a")


def test_the_row_of_a_net_is_found_by_name_and_by_module():
    spec, net = get_spec("resnetv2_50"), create_model("resnetv2_50", num_classes=3, dtype="bfloat16")
    assert (spec.family, spec.image_size, list(spec.name_tables)) == ("resnetv2", 224, ["timm"])
    for module in (net, net.clone(norm=BatchNorm), pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert get_spec(module) is spec and registered_name(module) == "resnetv2_50"
    assert spec.build() == create_model("resnetv2_50")
    assert registered_name(create_model("resnet18_b")) == "resnet18_b"  # equal to resnet18
    other = net.clone(stages=net.stages[:2])
    assert registered_name(other) is None
    with pytest.raises(ValueError, match="^ResNet is not a registered net; expected a net of create_model$"):
        get_spec(other)
    with pytest.raises(ValueError, match="no model named 'resnet5o'; did you mean resnet50"):
        get_spec("resnet5o")


def test_rows_are_found_inside_a_compact_method():
    class Wrapper(nn.Module):
        @nn.compact
        def __call__(self, x):
            net = create_model("cifar_resnet8", name="net")
            assert registered_name(net) == "cifar_resnet8"
            return net(x, train=False).logits

    variables = jax.eval_shape(Wrapper().init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    assert list(variables["params"]) == ["net"]


def test_names_of_0_1_0_work_with_a_warning():
    for old, new in (("in_order", "sort_components"), ("natural", "natural_key"), ("pieces", "components")):
        with pytest.warns(DeprecationWarning, match=rf"resnet_jax.models.{old} is now resnet_jax.models.\w+.{new}"):
            assert getattr(models, old) is getattr(models, new)


def test_names_are_listed_in_numeric_order():
    assert list_models("resnet*_v1") == ["resnet50_v1", "resnet101_v1", "resnet152_v1"]
    assert list_models("nothing") == []
    assert len(NAMES) == 155


def test_nets_are_listed_by_what_they_take():
    names = list_models(input_kind="any")
    assert {name for name in names if get_spec(name).input_kind == "images"} == set(list_models())
    for kind in INPUT_KINDS:
        assert list_models(input_kind=kind) == [name for name in names if get_spec(name).input_kind == kind]
    message = "^input_kind: expected images, series, waveform, spectrogram, tokens, image-text or any, got 'sound'$"
    with pytest.raises(ValueError, match=message):
        list_models(input_kind="sound")
    message = "^input_kind: expected images, series, waveform, spectrogram, tokens or image-text, got "
    with pytest.raises(ValueError, match=message):
        ModelSpec(ResNet, "resnet", input_kind="sound")


def test_the_model_name_as_a_keyword_works_with_a_warning():
    with pytest.warns(FutureWarning, match=r'create_model\(name="resnet18"\) is now create_model\("resnet18"\)'):
        assert create_model(name="resnet18", num_classes=3) == create_model("resnet18", num_classes=3)
    assert create_model("resnet18", name="backbone").name == "backbone"
    with (
        pytest.warns(FutureWarning),
        pytest.raises(ValueError, match="no model named 'resnet5o'; did you mean resnet50"),
    ):
        create_model(name="resnet5o")
    with pytest.raises(TypeError, match="expected a model name"):
        create_model(num_classes=3)


def write_signatures():
    """Writes the signatures by which files are recognised, for every net of another library."""
    signatures = {}
    for name in [*list_models(), *list_models(input_kind="image-text")]:
        model = create_model(name)
        for layout, table in get_spec(name).name_tables.items():
            key = signature_for(traced(model)[1].variables, Names(layout, table, depths_of(model)))
            signatures.setdefault(key, {}).setdefault(layout, []).append(name)
    recognition.FILE.write_text(json.dumps(signatures, indent=0) + "\n")


if __name__ == "__main__":
    descriptions = {name: describe(name, traced(create_model(name))[1].variables) for name in NAMES}
    GOLDEN.write_text(json.dumps(descriptions, indent=0) + "\n")
    write_signatures()
    sys.exit(f"wrote {GOLDEN} and {recognition.FILE}: check the difference, and list renamed arrays in the changelog")
