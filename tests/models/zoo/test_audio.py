"""The tables of nets of sound: counts as published, names, strides, and names in other programs' files."""

import hashlib
import json
from functools import cache

import audio_nets
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict

from resnet_jax import load_pretrained
from resnet_jax.models import create_model, get_spec, list_models, shapes
from resnet_jax.models.zoo import audio
from resnet_jax.weights.convert import to_state, to_variables
from resnet_jax.weights.names import Names, depths_of

NAMES = tuple(audio.MODELS)
GOLDEN = recipe.GOLDEN / "sequence" / "audio_names.json"
# As the papers print them: Tang and Lin 2018, table 2; Dai et al. 2016, table 1; Kriman et al. 2019, table 4.
PUBLISHED = {
    "res8": "110K",
    "res8_narrow": "19.9K",
    "res15": "238K",
    "res15_narrow": "42.6K",
    "res26": "438K",
    "res26_narrow": "78.4K",
    "m11": "1.8M",
    "m18": "3.7M",
    "m34_res": "4M",
    "quartznet5x5": "6.7M",
}
# m5: "0.5M" in the paper, cut off. speaker_seresnet34: 256 x 1211 more than speechbrain's embedding net.
EXACT = {
    "m5": 558_090,
    "speaker_resnet34": 2_168_811,
    "speaker_seresnet34": 15_438_336 + 256 * 1211,
    "quartznet5x2_small": 395_485,
}


@cache
def traced(name):
    net = create_model(name)
    return net, shapes(net, net.image_size)


def parameters(name):
    return sum(x.size for x in jax.tree.leaves(traced(name)[1].variables["params"]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_published(name):
    published = PUBLISHED[name]
    digits = len(published.rstrip("KM").partition(".")[2])
    scaled = parameters(name) / {"K": 1e3, "M": 1e6}[published[-1]]
    assert f"{scaled:.{digits}f}" == published.rstrip("KM")


@pytest.mark.parametrize("name", EXACT)
def test_parameters_that_no_paper_prints_this_exactly(name):
    assert parameters(name) == EXACT[name]


def described(name):
    arrays = flatten_dict(traced(name)[1].variables, sep="/")
    lines = sorted(f"{path} {list(x.shape)}" for path, x in arrays.items())
    return {"arrays": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def test_names_are_those_that_checkpoints_have():
    assert {name: described(name) for name in NAMES} == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_rows_say_what_the_nets_take_and_give(name):
    net, (outputs, *_) = traced(name)
    spec = get_spec(name)
    assert spec.input_kind == ("waveform" if name.startswith("m") else "spectrogram")
    assert name in list_models(input_kind=spec.input_kind) and name not in list_models()
    leading = (1, -(-spec.image_size[0] // 2)) if name.startswith("quartznet") else (1,)
    assert outputs.logits.shape == (*leading, net.num_classes)
    frames, strides = spec.image_size[0], net.stem.total_strides
    for number, stage in enumerate(net.stages, 1):
        strides *= stage.strides
        size = frames // strides if name.startswith("res") else -(-frames // strides)
        assert outputs.features[f"stage{number}"].shape[1] == size
        assert outputs.features[f"stage{number}"].shape[-1] == stage.features


def test_the_longest_waveforms_have_the_maps_of_the_paper():
    """Dai et al. 2016, table 1: 32,000 samples give maps of 2,000, 500, 125 and 32 positions."""
    features = traced("m34_res")[1].outputs.features
    assert [features[f"stage{number}"].shape[1] for number in (1, 2, 3, 4)] == [2000, 500, 125, 32]


def test_the_dilations_of_res15_grow_with_every_third_convolution():
    net = create_model("res15")
    dilations = [d for stage in net.stages for _ in range(stage.depth) for d in stage.block.dilations]
    assert [*dilations, net.head.dilation] == [2 ** (i // 3) for i in range(13)]


@pytest.mark.parametrize("name", ["res8", "res15", "speaker_seresnet34"])
def test_names_of_other_programs_are_distinct_and_come_back(x64, name):
    if name.startswith("res"):
        net = create_model(name, **audio_nets.DOUBLE)
        variables = recipe.variables(net, np.float64)
    else:
        net, variables = audio_nets.small(name), audio_nets.variables(name)
    ((library, table),) = get_spec(name).name_tables.items()
    names = Names(library, table, depths_of(net))
    state = to_state(variables, names)
    assert len(state) == len(flatten_dict(variables))
    back = to_variables(state, net, names)
    jax.tree.map(np.testing.assert_array_equal, back, variables)
    if library == "honk":
        count = 2 * sum(depths_of(net)) + (net.head.dilation is not None)
        convs = {f"conv{number}.weight" for number in range(count + 1)}
        norms = {f"bn{number}.running_{kind}" for number in range(1, count + 1) for kind in ("mean", "var")}
        assert set(state) == convs | norms | {"output.weight", "output.bias"}


@pytest.mark.parametrize("library", ["honk", "speechbrain"])
def test_files_of_other_programs_load(x64, tmp_path, library):
    """speechbrain's embedding net has no classifier: its file gives a net of embeddings."""
    name = {"honk": "res8_narrow", "speechbrain": "speaker_seresnet34"}[library]
    net = create_model(name) if library == "honk" else audio_nets.small(name).clone(num_classes=0)
    variables = recipe.variables(net, np.float64)
    names = Names(library, get_spec(name).name_tables[library], depths_of(net))
    np.savez(tmp_path / "weights.npz", **to_state(variables, names))
    loaded = load_pretrained(tmp_path / "weights.npz", model=net, dtype="float64")
    assert loaded.model.num_classes == net.num_classes
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    assert loaded.preprocess.source == f"none: {loaded.name} takes no images"
    with pytest.raises(ValueError, match="mean"):
        loaded.preprocess(jnp.zeros((1, 8, 8, 1), jnp.uint8))


@pytest.mark.parametrize("name", audio_nets.SMALL)
def test_bfloat16_changes_the_arithmetic_alone(name):
    net = audio_nets.small(name).clone(dtype="bfloat16", param_dtype="float32")
    outputs, variables, *_ = shapes(net, net.image_size)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert outputs.features["stage1"].dtype == jnp.bfloat16
    assert outputs.logits.dtype == outputs.features["pool"].dtype == jnp.float32


def test_nets_of_images_take_spectrograms():
    net = recipe.small("cifar_resnet8", 1, in_channels=1, num_classes=4)
    outputs = jax.eval_shape(
        lambda x: net.init_with_output(jax.random.key(0), x, train=False)[0], jnp.zeros((2, 101, 40, 1))
    )
    assert outputs.logits.shape == (2, 4)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({name: described(name) for name in NAMES}, indent=0) + "\n")
