"""Which published weights a file holds, and what its classes are."""

from pathlib import Path

import pytest

from resnet_jax.models import get_spec
from resnet_jax.weights.labels import label_set
from resnet_jax.weights.published import by_checksum, class_names, of_file

RESNET50 = get_spec("resnet50")
NAMES = label_set("imagenet-1k").names
V1 = by_checksum(RESNET50, Path("resnet50-0676ba61.pth"))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("resnet50-0676ba61.pth", "torchvision/resnet50.IMAGENET1K_V1"),  # timm's tv_in1k is the same file
        ("resnet50_a1_0-14fe96d1 (1).pth", "timm/resnet50.a1_in1k"),
        ("resnet50-f37072fd.pth", None),  # of resnet18
        ("resnet50-0676ba61f.pth", None),
        ("model.safetensors", None),
    ],
)
def test_a_file_is_known_by_the_checksum_in_its_name(file, name):
    row = by_checksum(RESNET50, Path(file))
    assert (row and row.name) == name


def test_contents_that_have_another_checksum_are_unknown(tmp_path, monkeypatch):
    (file := tmp_path / "resnet50-0676ba61.pth").write_bytes(b"trained further")
    with pytest.warns(
        UserWarning, match="resnet50-0676ba61.pth is not torchvision/resnet50.IMAGENET1K_V1, as its name"
    ):
        assert of_file(RESNET50, file) is None
    file.write_bytes(b"published")
    monkeypatch.setattr("resnet_jax.weights.published.sha256", lambda path: "0676ba61" + "0" * 56)
    assert of_file(RESNET50, file) == V1 and of_file(RESNET50, tmp_path / "mine.pth") is None


def test_classes_come_from_the_configuration_then_the_published_weights():
    named = {"label_names": ["a", "b"], "pretrained_cfg": {"tag": "a1_in1k"}}
    assert class_names(RESNET50, named, 2, V1) == ("a", "b")
    assert class_names(RESNET50, {}, 1000, V1) == NAMES
    assert class_names(RESNET50, {"pretrained_cfg": {"tag": "a1_in1k"}}, 1000, None) == NAMES
    bit = get_spec("resnetv2_50x1_bit")
    names = class_names(bit, {"pretrained_cfg": {"tag": "goog_in21k"}}, 21843, None)
    assert names == label_set("imagenet-21k-goog").names


def test_classes_of_other_files_are_not_known():
    tagged = {"pretrained_cfg": {"tag": "a1_in1k"}}
    assert class_names(RESNET50, {}, 1000, None) is None
    assert class_names(RESNET50, {"pretrained_cfg": {"tag": "mine"}}, 1000, None) is None
    assert class_names(RESNET50, tagged, 10, None) is None  # a new head
    assert class_names(None, tagged, 1000, None) is None
    clip = {"pretrained_cfg": {"tag": "openai"}}
    assert class_names(get_spec("resnet50_clip"), clip, 1024, None) is None
