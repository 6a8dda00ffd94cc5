"""Files of other libraries: arrays by the recipe, logits of small nets of the libraries, names of whole ones."""

from functools import partial

import jax
import jax.numpy as jnp
import library_nets
import numpy as np
import pytest
import recipe
from safetensors.numpy import save_file

from resnet_jax import load_pretrained
from resnet_jax.models import get_spec
from resnet_jax.weights.convert import to_state, to_variables
from resnet_jax.weights.fit import fit
from resnet_jax.weights.names import Names
from resnet_jax.weights.recognition import recognise

GOLDEN = library_nets.golden()
LAYOUTS = {"bit": "bit", "detectron2": "detectron2", "caffe2": "caffe2"}


def small(name):
    """Our net, and the names that this library gives to its arrays."""
    registered, layout = library_nets.OURS[name], name.partition("-")[0]
    net = recipe.small(registered, 1, dtype="float64", param_dtype="float64")
    table = get_spec(registered).name_tables[layout]
    return net, Names(layout, table, [1] * len(net.stages))


def logits(net, variables, images):
    """`images` are [N, C, H, W]."""
    return jax.jit(partial(net.apply, train=False))(variables, jnp.asarray(images.transpose(0, 2, 3, 1))).logits


@pytest.mark.parametrize("name", library_nets.OURS)
def test_small_nets_give_the_librarys_logits(x64, name):
    net, names = small(name)
    state = library_nets.state(GOLDEN.small[name])
    fitted = fit(state, net, names)
    images = library_nets.images(name)
    images = images[:, ::-1] if names.table.is_bgr else images  # theirs are B, G, R
    expected = GOLDEN.logits[name]
    assert fitted.classes == library_nets.CLASSES and fitted.notes == ((note,) if (note := names.table.note) else ())
    actual = logits(fitted.model, fitted.variables, images)
    assert np.linalg.norm(actual - expected) < 1e-10 * np.linalg.norm(expected)


@pytest.mark.parametrize("name", GOLDEN.whole)
def test_whole_nets_are_recognised(name):
    """By the names and shapes that the libraries' nets have, for any number of classes."""
    for keys in GOLDEN.whole[name]:
        match = recognise({theirs: np.broadcast_to(np.float32(0), shape) for theirs, shape in keys})
        assert match is not None and name in match.names
        is_detectron2 = any(theirs.startswith("res2.0.conv1") for theirs, _ in keys)
        assert match.names == (("resnet50", "resnet50_v1") if is_detectron2 else (name,)), match


@pytest.mark.parametrize("layout", ["legacy", "keras 3", "whole model"])
def test_kerass_files(tmp_path, layout):
    """All layouts have the same arrays; biases of convolutions go into the norms' means."""
    h5py = pytest.importorskip("h5py")
    net, names = small("keras-resnet50")
    keys = GOLDEN.small["keras-resnet50"]
    state = {name: x.astype(np.float32) for name, x in library_nets.state(keys).items()}
    with h5py.File(path := tmp_path / "resnet50.h5", "w") as file:
        if layout == "keras 3":
            variables = {"gamma": 0, "beta": 1, "moving_mean": 2, "moving_variance": 3, "kernel": 0, "bias": 1}
            by_place = {(name.split("/")[0], variables[name.split("/")[1]]): x for name, x in state.items()}
            for name, layer, _ in GOLDEN.keras_file:
                file[name] = by_place[layer, int(name.rpartition("/")[2])]
                file[name].parent.attrs["name"] = layer
            file["optimizer/vars/0"] = np.zeros(3)
        else:
            before = "model_weights/" if layout == "whole model" else ""
            for name, x in state.items():
                layer, variable = name.replace("predictions", "probs").split("/")
                file[f"{before}{layer}/{layer}/{variable}:0"] = x
    loaded = load_pretrained(path, model=net.clone(num_classes=library_nets.CLASSES))
    expected = to_variables(library_nets.state(keys), loaded.model, names)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=1e-6), loaded.variables, expected)
    norm = loaded.variables["batch_stats"]["stem"]["norm"]
    difference = state["conv1_bn/moving_mean"].astype(np.float64) - state["conv1_conv/bias"]
    np.testing.assert_array_equal(norm["mean"], difference)


def test_caffes_preprocessing_is_that_of_the_net(tmp_path):
    """Keras's preprocess_input in mode "caffe" takes the means of B, G and R from values of 0 to 255."""
    table = get_spec("resnet50_v1").name_tables["keras"]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), np.uint8)
    expected = pixels - np.array([123.68, 116.779, 103.939])
    np.testing.assert_allclose(table.preprocess(pixels), expected, rtol=0, atol=3e-5)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(table.preprocess(pixels), expected[..., ::-1], rtol=0, atol=1)


def test_writing_backwards_gives_the_same_arrays():
    """But for Keras's biases, which the means have."""
    for name in library_nets.OURS:
        net, names = small(name)
        state = library_nets.state(GOLDEN.small[name])
        fitted = fit(state, net, names)
        again = to_state(fitted.variables, names)
        assert set(again) == set(state)
        if not names.table.has_conv_biases:
            for key, value in state.items():
                np.testing.assert_array_equal(again[key], value, err_msg=key)
        jax.tree.map(np.testing.assert_array_equal, to_variables(again, fitted.model, names), fitted.variables)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("akamaster-a", "state_dict.module."),
        ("kuangliu-resnet18", "net.module."),
        ("detectron2-msra", "model.backbone.bottom_up."),
    ],
)
def test_wrapped_files_are_read(tmp_path, name, prefix):
    """As these projects save them: below a key, with the prefix of a wrapper or a detector."""
    state = {key: x.astype(np.float32) for key, x in library_nets.state(GOLDEN.small[name]).items()}
    save_file({f"{prefix}{key}": x for key, x in state.items()}, path := tmp_path / "x.safetensors")
    net, names = small(name)
    loaded = load_pretrained(path, model=net.clone(num_classes=library_nets.CLASSES))
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, to_variables(state, loaded.model, names))
