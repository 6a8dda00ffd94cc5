"""The table of published weights: consistent in itself, and that of the real libraries."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

import resnet_jax
from resnet_jax import Preprocess, list_models
from resnet_jax.models.published import find, from_json, published
from resnet_jax.models.spec import IMAGENET

FILE = Path(resnet_jax.__file__).parent / "models" / "published.json"
ROWS = [from_json(values) for values in json.loads(FILE.read_text())]

LABELS = {1000: "imagenet-1k", 11821: "imagenet-12k", 21843: "imagenet-21k-goog", 21: "voc", 91: "coco"}


def test_every_row_is_of_a_registered_net_and_complete():
    names = list_models(input_kind="any")
    assert {row.model for row in ROWS} <= set(names)
    assert len({row.name for row in ROWS}) == len({(row.model, row.tag) for row in ROWS}) == len(ROWS) == 232
    assert FILE.stat().st_size < 300_000
    for row in ROWS:
        metric = row.top1 or row.miou or row.box_ap
        assert row.hub_id == row.name if row.source == "timm" else row.checksum, row
        assert row.source != "torchvision" or metric and row.size_mib, row
        assert (row.checksum is None) or row.url and re.search(f"-{row.checksum}[.]|/{row.checksum}", row.url)
        assert row.labels == LABELS.get(row.classes)
        assert len(row.mean) == len(row.std) == 3
        assert 32 <= row.image_size <= row.preprocess.resize or row.test_size or row.preprocess.crop_mode == "pad"
        assert 1e6 < row.parameters < 1e9
        assert re.fullmatch(r"[a-z0-9.-]+", row.licence or "none")


def test_counts_of_parameters_are_the_published_ones():
    """Those of ImageNet-1k; other label sets have other heads."""
    counts = json.loads((Path(__file__).parents[1] / "golden" / "counts.json").read_text())
    rows = [row for row in ROWS if row.classes == 1000 and row.model in counts]
    assert len(rows) > 150
    for row in rows:
        assert row.parameters == counts[row.model]["parameters"], row.name


def test_weights_are_found_by_net_and_tag():
    assert find("resnet50").name == "timm/resnet50.a1_in1k"
    weights = find("resnet50", "IMAGENET1K_V2")
    assert weights.name == "torchvision/resnet50.IMAGENET1K_V2"
    assert (weights.top1, weights.licence, weights.checksum) == (80.858, None, "11ad3fa6")
    assert weights.preprocess == Preprocess(224, 232, *IMAGENET)
    assert find("resnet50", "a1_in1k").preprocess == Preprocess(288, 288, *IMAGENET, "bicubic")
    assert find("resnet50x4_clip").labels is None
    assert published("cifar_resnet20") == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet50", "a1_in1"), "no weights 'a1_in1' of resnet50 are published; did you mean a1_in1k"),
        (("resnet50", "x"), "no weights 'x' of resnet50 are published; expected a1_in1k, "),
        (("resnet5o",), r"no weights of 'resnet5o' are published; did you mean resnet50"),
        (("cifar_resnet20",), r"no weights of 'cifar_resnet20' are published; "),
    ],
)
def test_unknown_weights_get_the_nearest_names(arguments, message):
    with pytest.raises(ValueError, match=message):
        find(*arguments)


@pytest.mark.parity
def test_the_table_is_that_of_the_libraries():
    pytest.importorskip("timm")
    pytest.importorskip("torchvision")
    script = Path(__file__).parents[2] / "docs" / "published_weights.py"
    spec = importlib.util.spec_from_file_location("published_weights", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.text(module.rows()) == FILE.read_text()
