"""Classes and preprocessing in the files of Hugging Face transformers beside weights."""

import json

import library_nets
import numpy as np
import pytest
import recipe
from safetensors.numpy import save_file

from resnet_jax import load_pretrained
from resnet_jax.models.spec import IMAGENET
from resnet_jax.types import Preprocess
from resnet_jax.weights.transformers_config import read_classes, read_processor

CLASSES = [f"animal {k}" for k in range(library_nets.CLASSES)]
CONFIG = {"model_type": "resnet", "id2label": {str(k): name for k, name in enumerate(CLASSES)}}
RESNET = {"feature_extractor_type": "ConvNextFeatureExtractor", "crop_pct": 0.875, "size": 224, "resample": 3}
RESNET |= {"do_normalize": True, "do_resize": True, "image_mean": IMAGENET[0], "image_std": IMAGENET[1]}
SQUARE = {"height": 448, "width": 448}
BIT = {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 480}, "crop_size": SQUARE, "resample": 2}
BIT |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_center_crop": True}
EFFICIENT = {"image_processor_type": "EfficientNetImageProcessor", "size": {"height": 260, "width": 260}, "resample": 0}
EFFICIENT |= {"image_mean": IMAGENET[0], "image_std": [std**0.5 for std in IMAGENET[1]], "include_top": True}


def write(folder, **files):
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    return folder / "model.safetensors"


def test_a_repository_gives_its_classes_and_preprocessing(tmp_path):
    state = library_nets.state(library_nets.golden().small["transformers-resnet18"])
    net = recipe.small("resnet18", 1, num_classes=library_nets.CLASSES)
    save_file({key: x.astype(np.float32) for key, x in state.items()}, tmp_path / "model.safetensors")
    write(tmp_path, config=CONFIG, preprocessor_config=RESNET | {"size": {"shortest_edge": 112}})
    loaded = load_pretrained(tmp_path, model=net)
    assert loaded.classes == tuple(CLASSES)
    assert loaded.preprocess == Preprocess(112, 128, *IMAGENET, interpolation="bicubic")
    assert loaded.preprocess.source == str(tmp_path / "preprocessor_config.json")
    (tmp_path / "preprocessor_config.json").unlink()
    assert load_pretrained(tmp_path, model=net).preprocess.source.startswith("assumed")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (RESNET, Preprocess(224, 256, *IMAGENET, interpolation="bicubic")),
        (RESNET | {"size": {"shortest_edge": 384}}, Preprocess(384, 384, *IMAGENET, "bicubic", crop_mode="squash")),
        (BIT, Preprocess(448, 480, (0.5,) * 3, (0.5,) * 3)),
        (BIT | {"size": SQUARE}, Preprocess(448, 448, (0.5,) * 3, (0.5,) * 3, crop_mode="squash")),
        (EFFICIENT, Preprocess(260, 260, *IMAGENET, "nearest", crop_mode="squash")),  # it divides twice by the root
    ],
)
def test_image_processors(tmp_path, values, expected):
    actual = read_processor(write(tmp_path, preprocessor_config=values))
    np.testing.assert_allclose(actual.std, expected.std, rtol=1e-12)
    assert (actual.mean, actual.image_size, actual.resize) == (expected.mean, expected.image_size, expected.resize)
    assert (actual.interpolation, actual.crop_mode) == (expected.interpolation, expected.crop_mode)
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    assert actual.image(picture).shape == (expected.image_size, expected.image_size, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"do_rescale": False}, "expected images that are resized"),
        ({"rescale_factor": 1.0}, "expected images that are resized"),
        ({"image_processor_type": "DetrImageProcessor"}, "expected an image processor of ConvNext"),
        ({"crop_size": {"height": 4, "width": 5}}, "expected a square"),
        ({"do_center_crop": False}, "expected a crop"),
        ({"resample": 4}, "expected a valid 4"),
        ({"image_std": [0, 1, 1]}, "expected as many deviations above 0"),
    ],
)
def test_another_processor_is_ignored_with_a_warning(tmp_path, changes, message):
    with pytest.warns(UserWarning, match=f"preprocessor_config.json is ignored: {message}"):
        assert read_processor(write(tmp_path, preprocessor_config=BIT | changes)) is None


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"model_type": "resnet", "downsample_in_bottleneck": True}, "downsample_in_bottleneck"),
        ({"model_type": "resnet", "hidden_act": "gelu"}, "hidden_act"),
        ({"model_type": "bit", "global_padding": "SAME"}, "global_padding"),
        ({"model_type": "efficientnet", "batch_norm_eps": 1e-5}, "batch_norm_eps"),
    ],
)
def test_a_net_with_equal_arrays_and_other_numbers_is_refused(tmp_path, config, key):
    with pytest.raises(ValueError, match=f"config.json: expected {key} .*, with which the numbers differ"):
        read_classes(write(tmp_path, config=config))


def test_numbered_labels_are_no_names(tmp_path):
    labels = {"0": "LABEL_0", "1": "LABEL_1"}
    assert read_classes(write(tmp_path, config={"model_type": "resnet", "id2label": labels})) == {}
    assert read_classes(write(tmp_path, config={"model_type": "resnet", "id2label": {"0": "a", "2": "b"}})) == {}
    assert read_classes(tmp_path / "none" / "model.safetensors") == {}
