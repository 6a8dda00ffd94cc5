"""CLIP's weights in other libraries' names, and its numbers: those of open_clip."""

import json
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict
from small_clip import small

from resnet_jax import create_model, load_pretrained, save_torch_state
from resnet_jax.errors import NotFinite
from resnet_jax.models import get_spec, shapes
from resnet_jax.runs.saved.zero_shot import open_clip
from resnet_jax.weights.convert import to_state, to_variables
from resnet_jax.weights.hub_config import open_clip_options
from resnet_jax.weights.names import Names
from resnet_jax.weights.recognition import recognise
from resnet_jax.weights.safetensors_file import write_safetensors
from resnet_jax.weights.writers import write_weights

GOLDEN = np.load(recipe.GOLDEN / "clip" / "small.npz")  # made by tests/golden/clip/make.py
ABOUT = json.loads((recipe.GOLDEN / "clip" / "small.json").read_text())
TABLES = get_spec("clip_resnet50").name_tables


def weights(arrays):
    """The recipe's values of open_clip's arrays."""
    state = {name: np.asarray(recipe.array(name, shape)) for name, shape in arrays if "num_batches" not in name}
    return state | {"logit_scale": np.asarray(math.log(1 / 0.07))}


@pytest.mark.parametrize("act", ["gelu", "quick_gelu"])
def test_a_small_net_has_open_clips_numbers_and_gradients(x64, act):
    net = small(text_act=act, dtype="float64", param_dtype="float64")
    names = Names("openai", TABLES["openai"])
    variables = to_variables(weights(ABOUT["arrays"]), net, names)
    images = np.random.default_rng(0).standard_normal((3, 3, 64, 64)).transpose(0, 2, 3, 1)

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        logits = net.apply(variables | {"params": params}, images, GOLDEN["tokens"], train=False).logits
        losses = [-jnp.diag(jax.nn.log_softmax(x)).mean() for x in (logits, logits.T)]
        return sum(losses) / 2

    outputs = jax.jit(lambda x: net.apply(x, images, GOLDEN["tokens"], train=False))(variables)
    for name in ("image_features", "text_features", "logits"):
        np.testing.assert_allclose(getattr(outputs, name), GOLDEN[f"{act}/{name}"], rtol=1e-8, atol=1e-10)
    value, gradient = loss(variables["params"])
    np.testing.assert_allclose(value, GOLDEN[f"{act}/loss"], rtol=1e-10)
    theirs = to_state({"params": gradient}, names)
    ours = np.array([np.linalg.norm(theirs[name]) for name in ABOUT["grad_norms"]])
    expected = GOLDEN[f"{act}/grad_norms"]
    assert (np.abs(ours - expected) <= 1e-8 * np.maximum(expected, np.median(expected))).all()


@pytest.mark.parametrize("layout", ["openai", "transformers"])
def test_names_work_in_both_directions(layout):
    net, names = small(init_logit_bias=-10.0), Names(layout, TABLES[layout])
    variables = recipe.variables(net)
    state = to_state(variables, names)
    assert len(state) == sum(len(names.entries(path)) for path in flatten_dict(variables))
    again = flatten_dict(to_variables(state, net, names))
    for path, x in flatten_dict(variables).items():
        np.testing.assert_array_equal(again[path], x)


def test_joined_matrices_are_split_for_transformers():
    variables = recipe.variables(small())
    kernel = variables["params"]["text_tower"]["block1"]["attention"]["qkv"]["kernel"]
    openai, transformers = (to_state(variables, Names(layout, table)) for layout, table in TABLES.items())
    np.testing.assert_array_equal(openai["transformer.resblocks.1.attn.in_proj_weight"], kernel.T)
    for i, part in enumerate("qkv"):
        theirs = transformers[f"text_model.encoder.layers.1.self_attn.{part}_proj.weight"]
        np.testing.assert_array_equal(theirs, kernel.T[32 * i : 32 * (i + 1)])
    projection = variables["params"]["text_tower"]["projection"]["kernel"]
    np.testing.assert_array_equal(openai["text_projection"], projection)
    np.testing.assert_array_equal(transformers["text_projection.weight"], projection.T)


@pytest.mark.parametrize("layout", ["openai", "transformers"])
@pytest.mark.parametrize("bias", [None, -10.0])
def test_files_are_read_with_or_without_a_bias(tmp_path, layout, bias):
    net = small(init_logit_bias=bias)
    variables = recipe.variables(net)
    write_safetensors(to_state(variables, Names(layout, TABLES[layout])), file := tmp_path / "net.safetensors")
    for start in (None, 1.0):
        loaded = load_pretrained(file, model=small(init_logit_bias=start))
        assert (loaded.model.init_logit_bias is None) == (bias is None)
        assert any("the logits have" in note for note in loaded.notes) == ((bias is None) != (start is None))
        jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    assert loaded.classes is None


def test_what_is_no_weight_is_ignored_and_other_embeddings_are_refused(tmp_path):
    state = to_state(recipe.variables(small()), Names("openai", TABLES["openai"]))
    others = {name: np.zeros((), np.int64) for name in ("input_resolution", "context_length", "vocab_size")}
    write_safetensors({f"module.{name}": x for name, x in (state | others).items()}, file := tmp_path / "x.safetensors")
    loaded = load_pretrained(file, model=small())
    assert loaded.model.embed_dim == 16
    with pytest.raises(ValueError, match="num_classes: expected 16, the length of the file's embeddings, got 8"):
        load_pretrained(file, model=small(), num_classes=8)
    write_safetensors({"fc.bias": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"do not fit the model: \d+ missing: .*; 1 unexpected: fc.bias"):
        load_pretrained(tmp_path / "other.safetensors", model=small())
    grey = load_pretrained(file, model=small(), in_channels=1)
    assert grey.model.in_channels == 1


@pytest.mark.parametrize("value", [89.0, 100.0])
def test_a_factor_in_the_place_of_its_logarithm_is_refused(tmp_path, value):
    """Every logit, and every probability, would be NaN."""
    state = to_state(recipe.variables(small()), Names("openai", TABLES["openai"]))
    write_safetensors(state | {"logit_scale": np.float32(value)}, file := tmp_path / "x.safetensors")
    with pytest.raises(NotFinite, match=r"logit_scale \(its exponential, the factor of the cosines, is infinite\)"):
        load_pretrained(file, model=small())
    assert load_pretrained(file, model=small(), allow_nonfinite=True).variables["params"]["logit_scale"] == value
    write_safetensors(state | {"logit_scale": np.float32(88)}, file)
    assert load_pretrained(file, model=small()).variables["params"]["logit_scale"] == 88


def test_a_net_with_options_is_written_and_read_again(tmp_path):
    options = {"text_width": 16, "text_heads": 2, "text_layers": 1, "vocabulary_size": 9, "text_act": "gelu"}
    net = create_model("clip_resnet50", embed_dim=8, **options)
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes(net, 224).variables)
    zeros["params"]["logit_scale"] = np.float32(3)
    save_torch_state(zeros, net, file := tmp_path / "clip.safetensors", "openai")
    loaded = load_pretrained(file, model=net)
    assert loaded.model == net and loaded.variables["params"]["logit_scale"] == 3
    assert loaded.preprocess == get_spec("clip_resnet50").preprocess
    write_weights(loaded, own := tmp_path / "clip.npz", "npz")
    assert load_pretrained(own).model == net
    with pytest.raises(ValueError, match="this clip_resnet50 differs from openai's in text_width, text_heads, "):
        write_weights(loaded, file, "openai")


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ({"model_cfg": {"embed_dim": 1024, "quick_gelu": True}}, {"text_act": "quick_gelu"}),
        ({"model_cfg": {"embed_dim": 1024}}, {"text_act": "gelu"}),
        ({"preprocess_cfg": {}}, {}),
        ([], {}),
    ],
)
def test_open_clips_configuration_says_the_activation(tmp_path, config, options):
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    assert open_clip_options(tmp_path / "open_clip_model.safetensors") == options
    assert open_clip_options(tmp_path / "elsewhere" / "RN50.pt") == {}


@pytest.mark.parametrize("layout", ["openai", "transformers"])
def test_whole_nets_are_recognised_and_towers_alone_too(layout):
    net = create_model("clip_resnet50")
    zeros = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), shapes(net, 224).variables)
    state = to_state(zeros, Names(layout, TABLES[layout]))
    assert recognise(state).names == ("clip_resnet50",)
    assert recognise(state | {"logit_bias": np.zeros(())}).names == ("clip_resnet50",)
    if layout == "openai":
        tower = {name: x for name, x in state.items() if name.startswith("visual.")}
        assert recognise(tower).names == recognise(tower | {"other": np.zeros(3)}).names == ("resnet50_clip",)


@pytest.mark.slow
def test_a_file_of_both_towers_is_read_as_its_image_tower_with_a_warning(tmp_path):
    """As 0.1.0 read it; zero-shot takes both."""
    arrays = json.loads((recipe.GOLDEN / "clip" / "RN50.keys.json").read_text())
    state = {name: np.zeros(shape, np.float16) for name, shape in arrays if "num_batches" not in name}
    np.savez(tmp_path / "RN50.npz", **state)
    with pytest.warns(FutureWarning, match="RN50.npz: the image tower alone is read; .*model='clip_resnet50' does so"):
        net = load_pretrained(tmp_path / "RN50.npz")
    assert net.name == "resnet50_clip"
    assert open_clip(str(tmp_path / "RN50.npz")).net.name == "clip_resnet50"


@pytest.mark.parity
def test_the_whole_net_has_open_clips_numbers_and_gradients(x64):
    """open_clip's `RN50`, with exact GELU."""
    expected = np.load(recipe.GOLDEN / "clip" / "RN50.npz")
    arrays = json.loads((recipe.GOLDEN / "clip" / "RN50.keys.json").read_text())
    net = create_model("clip_resnet50", text_act="gelu", dtype="float64", param_dtype="float64")
    names = Names("openai", TABLES["openai"])
    variables = to_variables(weights(arrays), net, names)
    images = np.random.default_rng(0).standard_normal((6, 3, 224, 224)).transpose(0, 2, 3, 1)

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def loss(params):
        outputs = net.apply(variables | {"params": params}, images, expected["tokens"], train=False)
        losses = [-jnp.diag(jax.nn.log_softmax(x)).mean() for x in (outputs.logits, outputs.logits.T)]
        return sum(losses) / 2, outputs

    (value, outputs), gradient = loss(variables["params"])
    for name in ("image_features", "text_features", "logits"):
        error = np.linalg.norm(getattr(outputs, name) - expected[name]) / np.linalg.norm(expected[name])
        assert error < 1e-8, (name, error)
    np.testing.assert_allclose(value, expected["loss"], rtol=1e-8)
    theirs = to_state({"params": gradient}, names)
    norms = dict(zip(expected["grad_norm_names"].tolist(), expected["grad_norms"], strict=True))
    assert norms.keys() == theirs.keys()
    median = np.median(list(norms.values()))
    for name, norm in norms.items():
        assert abs(np.linalg.norm(theirs[name]) - norm) <= 1e-8 * max(norm, median), name


@pytest.mark.parity
@pytest.mark.parametrize("name", ["RN50-quickgelu", "RN101", "RN50x4-quickgelu", "RN50x16", "RN50x64-quickgelu"])
def test_other_nets_have_open_clips_numbers(x64, name):
    torch, open_clip = pytest.importorskip("torch"), pytest.importorskip("open_clip")
    theirs = open_clip.create_model(name, pretrained=None).double().eval()
    state = {key: x.numpy() for key, x in theirs.state_dict().items()}
    act = "quick_gelu" if "quick" in name else "gelu"
    ours = f"clip_resnet{name.removeprefix('RN').partition('-')[0]}"
    net = create_model(ours, text_act=act, dtype="float64", param_dtype="float64")
    variables = to_variables(state, net, Names("openai", TABLES["openai"]))
    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, 3, net.image_size, net.image_size))
    tokens = np.concatenate([rng.integers(0, 49_407, (2, 76)), np.full((2, 1), 49_407)], axis=1)
    with torch.no_grad():
        expected = theirs.encode_image(torch.from_numpy(images)), theirs.encode_text(torch.from_numpy(tokens))
    outputs = jax.jit(lambda x: net.apply(x, images.transpose(0, 2, 3, 1), tokens, train=False))(variables)
    for ours_, theirs_ in zip(outputs[:2], expected, strict=True):
        assert np.linalg.norm(ours_ - theirs_.numpy()) <= 1e-8 * np.linalg.norm(theirs_.numpy())
