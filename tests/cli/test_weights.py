"""resnet-jax weights."""

import json

import pytest
from command_line import output

from resnet_jax.cli.main import main
from resnet_jax.models.published import match


def test_the_table_fits_and_has_a_row_for_all_published_weights(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    lines = output(capsys, "weights").splitlines()
    assert max(map(len, lines)) <= 120
    assert len(lines) == 1 + len(match()) + 5
    assert lines[0].split() == ["params", "classes", "input", "licence", "top-1", "AP,", "mIoU", "MB"]
    lines = output(capsys, "weights", "timm/*").splitlines()
    assert max(map(len, lines)) <= 100 and "mIoU" not in "".join(lines)
    assert lines[0].split() == ["params", "classes", "input", "licence", "top-1", "MB"]


def test_dense_nets_have_their_measures(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = output(capsys, "weights", "*rcnn*").splitlines()
    assert lines[0].split() == ["params", "classes", "AP,", "mIoU", "MB"]
    assert lines[3].split() == ["torchvision/maskrcnn_resnet50_fpn.COCO_V1", "44.4M", "91", "37.9/34.6", "178"]
    mixed = output(capsys, "weights", "torchvision/*50*").splitlines()
    assert max(map(len, [*lines, *mixed])) <= 80
    assert mixed[0].split() == ["top-1", "AP,", "mIoU", "MB"]
    assert mixed[1].split() == ["torchvision/deeplabv3_resnet50.COCO_WITH_VOC_LABELS_V1", "-", "66.4", "168"]


def test_weights_are_chosen_by_net_tag_or_name(capsys):
    rows = [line.split() for line in output(capsys, "weights", "RESNET50").splitlines()]
    assert rows[1] == ["timm/resnet50.a1_in1k", "25.6M", "1,000", "288", "apache-2.0", "-", "~102"]
    assert rows[-4][:6] == ["torchvision/resnet50.IMAGENET1K_V2", "25.6M", "1,000", "224", "-", "80.9"]
    assert output(capsys, "weights", "torchvision/resnet50.*").count("\ntorchvision/resnet50.IMAGENET1K_V") == 2
    assert output(capsys, "weights", "*.sw_in12k").splitlines()[1].split()[2] == "11,821"


def test_json_has_an_object_a_line(capsys):
    rows = [json.loads(line) for line in output(capsys, "weights", "resnet18.*", "--json").splitlines()]
    assert len(rows) == len(match("resnet18.*"))
    assert rows[0]["name"] == "timm/resnet18.a1_in1k" and rows[0]["licence"] == "apache-2.0"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("resnet5o", "no published weights match 'resnet5o'; did you mean resnet50"),
        ("cifar_resnet20", "no weights of cifar_resnet20 are published"),
    ],
)
def test_a_pattern_without_matches_is_an_error(capsys, pattern, message):
    with pytest.raises(SystemExit):
        main(["weights", pattern])
    assert message in capsys.readouterr().err
