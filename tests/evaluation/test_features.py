"""Feature maps of image files in an .npz file."""

import jax
import numpy as np
import pytest
import recipe
from pictures import pictures

from resnet_jax import Preprocess, create_model
from resnet_jax.evaluation.features import feature_layers, last_maps, write_features
from resnet_jax.types import Pretrained

MODEL = recipe.small("cifar_resnet8", 1, 2, num_classes=3, in_channels=1)
NET = Pretrained(MODEL, recipe.variables(MODEL), Preprocess(4, 4, (0.5,), (0.25,)), "cifar_resnet8")


@pytest.mark.parametrize(("layer", "pool"), [("stage1", "avg"), ("stage2", "none"), ("pool", "avg"), ("logits", "avg")])
def test_features_are_the_nets_for_the_preprocessed_images(tmp_path, layer, pool):
    """In batches of two: the last is padded. Unreadable images are named, and have no row."""
    names = [f"{i}.png" for i in range(3)]
    files = [pictures(tmp_path, *names) / name for name in names]
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    every = [files[0], tmp_path / "broken.png", *files[1:]]
    shape, unreadable = write_features(tmp_path / "f.npz", NET, every, layer=layer, pool=pool, batch_size=2)
    images = NET.preprocess.batch(files)
    outputs = jax.jit(lambda images: MODEL.apply(NET.variables, images, train=False))(images)
    maps = outputs.logits if layer == "logits" else outputs.features[layer]
    expected = np.asarray(maps).mean((1, 2)) if (pool, maps.ndim) == ("avg", 4) else np.asarray(maps)
    with np.load(tmp_path / "f.npz") as file:
        assert file["images"].tolist() == list(map(str, files))
        np.testing.assert_allclose(file["features"], expected, rtol=1e-5, atol=1e-6)
    assert shape == expected.shape and list(unreadable) == [str(tmp_path / "broken.png")]


def test_features_of_a_detector_are_those_of_its_backbone(tmp_path):
    """Its predictions, which need more time, are not computed."""
    model = create_model("retinanet", backbone=MODEL.clone(num_classes=0), num_classes=4, levels=("stage1", "stage2"))
    variables = {name: {"backbone": tree} for name, tree in recipe.variables(model.backbone).items()}
    net = NET._replace(model=model, variables=variables, name="retinanet")
    files = [pictures(tmp_path, "a.png") / "a.png"]
    assert feature_layers(net).keys() >= {"stem", "stage1", "stage2"}
    assert write_features(tmp_path / "f.npz", net, files, layer="stage2")[0] == (1, 32)
    write_features(
        tmp_path / "g.npz",
        NET._replace(model=model.backbone, variables={name: tree["backbone"] for name, tree in variables.items()}),
        files,
        layer="stage2",
    )
    with np.load(tmp_path / "f.npz") as file, np.load(tmp_path / "g.npz") as expected:
        np.testing.assert_array_equal(file["features"], expected["features"])


def test_an_interrupted_file_leaves_the_earlier_one(tmp_path, monkeypatch):
    (tmp_path / "f.npz").write_bytes(b"before")
    (file,) = [pictures(tmp_path, "a.png") / "a.png"]

    def stops(*_, **__):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("resnet_jax.evaluation.features.forward_files", stops)
    with pytest.raises(KeyboardInterrupt):
        write_features(tmp_path / "f.npz", NET, [file], layer="stage1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "f.npz"]
    assert (tmp_path / "f.npz").read_bytes() == b"before"


def test_layers_are_the_nets_features_with_their_shapes():
    layers = {"stem": (4, 4, 16), "stage1": (4, 4, 16), "stage2": (2, 2, 32), "pool": (32,), "logits": (3,)}
    assert feature_layers(NET) == layers and last_maps([*layers]) == "stage2"
    with pytest.raises(ValueError, match="cifar_resnet8 has no layer 'stage3'; did you mean stage2, stage1"):
        write_features("f.npz", NET, [], layer="stage3")
    with pytest.raises(ValueError, match="expected pool avg or none, got 'max'"):
        write_features("f.npz", NET, [], layer="stage1", pool="max")
