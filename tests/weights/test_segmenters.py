"""Files of segmenters: recognised, read for another number of classes, written for the libraries."""

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from resnet_jax import create_model, load_pretrained, save_torch_state
from resnet_jax.models import get_spec, shapes
from resnet_jax.models.published import published
from resnet_jax.types import Preprocess, Pretrained
from resnet_jax.weights.labels import label_set
from resnet_jax.weights.metadata import read_metadata
from resnet_jax.weights.published import class_names
from resnet_jax.weights.safetensors_file import write_safetensors
from resnet_jax.weights.writers import write_weights

SMALL = {"backbone": "cifar_resnet8", "num_classes": 3}


def variables_of(model):
    """Random arrays, with variances above 0."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: rng.random(x.shape, np.float32) + 0.1, shapes(model, 64).variables)


def check_equal(loaded, model, variables):
    assert loaded.model == model
    a, b = (flatten_dict(dict(x), sep="/") for x in (loaded.variables, variables))
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


def test_files_of_libraries_are_recognised_on_any_backbone(tmp_path):
    model = create_model("unet", backbone="resnet18", num_classes=4)
    variables, path = variables_of(model), tmp_path / "weights.safetensors"
    save_torch_state(variables, model, path, "smp")
    check_equal(load_pretrained(path, model="unet"), model, variables)
    check_equal(load_pretrained(path), model, variables)  # the metadata has the net's name


def test_published_nets_are_recognised_by_their_arrays(tmp_path):
    model = create_model("fcn_resnet50", num_classes=2)
    variables, path = variables_of(model), tmp_path / "weights.safetensors"
    save_torch_state(variables, "fcn_resnet50", path, "torchvision")
    state = {name: np.asarray(x) for name, x in read(path).items()}
    write_safetensors({f"model.{name}": x for name, x in state.items()}, path, {})
    loaded = load_pretrained(path)
    assert loaded.name == "fcn_resnet50" and loaded.notes == ("names are read without their prefix 'model.'",)
    check_equal(loaded, model, variables)
    with pytest.warns(UserWarning, match=r"not part of the net: head \(model.aux_classifier, model.classifier\)"):
        backbone = load_pretrained(path, model="resnet50")
    assert (backbone.name, backbone.model.num_classes) == ("resnet50", 0)

    other = load_pretrained(path, model="fcn", num_classes=5, in_channels=1)
    flat, old = (flatten_dict(dict(x), sep="/") for x in (other.variables, variables))
    differing = {name for name in flat if flat[name].shape != old[name].shape}
    heads = {f"params/{part}/classifier/{leaf}" for part in ("decoder", "auxiliary") for leaf in ("bias", "kernel")}
    assert differing == heads | {"params/backbone/stem/conv/kernel"}
    assert other.model.num_classes == 5 and "the head for 5 classes is new" in " ".join(other.notes)

    write_safetensors({name: x for name, x in state.items() if not name.startswith("aux")}, path, {})
    without = load_pretrained(path, model="fcn_resnet50")
    assert not without.model.has_auxiliary
    assert without.notes == ("the net has no auxiliary head: the file has none",)


def read(path):
    from resnet_jax.weights.readers import read_weights

    return read_weights(path).tensors


@pytest.mark.parametrize(
    "model",
    [
        create_model("deeplabv3", **SMALL, decoder_features=8, rates=(1, 2, 3), has_auxiliary=False),
        create_model("unet", **SMALL, decoder_features=[8, 4]),
        create_model("deeplabv3plus", **SMALL, decoder_features=8, dilation="resample"),
    ],
)
def test_npz_keeps_the_options_of_the_net(model, tmp_path):
    variables, path = variables_of(model), tmp_path / "net.npz"
    loaded = Pretrained(model, variables, Preprocess(64, 64, (0.5,) * 3, (0.5,) * 3), "x", ["a", "b", "c"])
    write_weights(loaded, path, "npz")
    again = load_pretrained(path)
    check_equal(again, model, variables)
    assert again.classes == ("a", "b", "c")


def test_what_the_library_has_not_is_refused(tmp_path):
    model = create_model("unet", **SMALL, decoder_features=[8, 4])
    loaded = Pretrained(model, variables_of(model), Preprocess(64, 64, (0.5,) * 3, (0.5,) * 3), "unet")
    with pytest.raises(ValueError, match="this unet differs from smp's in decoder_features, which would give other"):
        write_weights(loaded, tmp_path / "x.safetensors", "smp")
    with pytest.raises(ValueError, match="layout: expected smp for unet, got 'torchvision'"):
        save_torch_state(loaded.variables, model, tmp_path / "x.safetensors", "torchvision")


INVALID = ('{"decoder_features": "wide"}', '{"backbone": "x"}', '{"backbone": ["resnet18"]}', '{"registry_name": "a"}')


@pytest.mark.parametrize("options", INVALID)
def test_invalid_metadata_is_refused(options):
    with pytest.raises(ValueError, match="x.npz has invalid metadata"):
        read_metadata({"architecture": "unet", "options": options}, "x.npz")


def test_classes_are_those_of_the_published_weights():
    (row,) = published("deeplabv3_resnet50")
    classes = class_names(get_spec("deeplabv3_resnet50"), {}, 21, row)
    assert classes == label_set("voc").names and classes[:2] == ("background", "aeroplane")
    assert row.preprocess.crop_mode == "pad" and row.miou == 66.4
    assert len(label_set("coco")) == 90 and label_set("coco").names[0] == "person"
    assert label_set("coco").names.count("N/A") == 10 and label_set("coco").index("toothbrush") == 89
