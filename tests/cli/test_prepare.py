"""resnet-jax prepare."""

import json

import pytest
from command_line import output
from image_folders import write_images

from resnet_jax.cli.main import main


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("prepare")
    write_images(root / "set" / "train")
    write_images(root / "set" / "val", last=4)
    return root / "set", root / "out"


def test_prepares_a_set_that_data_reads(folders, capsys):
    source, out = folders
    shown = output(capsys, "prepare", source, out, "--size", 6)
    assert f"{out}: train 24, val 8 images, 3.46 kB, 108 bytes an image" in shown
    assert f"resnet-jax train --data.path {out}" in shown
    record = json.loads(output(capsys, "prepare", source, out, "--size", 6, "--json"))
    assert record == {
        "data": str(out),
        "splits": {"train": 24, "val": 8},
        "bytes": 32 * 6 * 6 * 3,
        "size": 6,
        "skipped": [],
        "notes": [],
    }
    shown = output(capsys, "data", out, "--verify", "--sheet", out.parent / "sheet.png", "--data.batch-size", 8)
    assert "all 32 images can be read" in shown and "packed from" in shown


def test_a_flipped_byte_is_listed(folders, capsys):
    source, out = folders
    out = out.with_name("flipped")
    output(capsys, "prepare", source, out, "--size", 6)
    file = out / "val-00000.pixels"
    data = bytearray(file.read_bytes())
    data[6 * 6 * 3 + 1] ^= 8
    file.write_bytes(data)
    with pytest.raises(SystemExit) as exit:
        main(["data", str(out), "--verify"])
    assert exit.value.code == 1
    shown = capsys.readouterr().out
    assert "val/cat/im001.png: the pixels differ from their checksum" in shown
    assert "1 of 32 cannot be used" in shown and "--data.unreadable skip" not in shown  # training compares none


def test_a_corrupted_shard_counts_all_images_of_its_split(folders, capsys):
    source, out = folders
    out = out.with_name("cut")
    output(capsys, "prepare", source, out, "--size", 6)
    with (out / "val-00000.pixels").open("r+b") as file:
        file.truncate(50)
    with pytest.raises(SystemExit):
        main(["data", str(out), "--verify"])
    shown = capsys.readouterr().out
    assert "val: " in shown and "val-00000.pixels is corrupted" in shown
    assert "8 of 32 cannot be used" in shown


def test_ctrl_c_says_that_the_command_resumes(folders, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("resnet_jax.data.packing.pack", stop)
    with pytest.raises(SystemExit) as exit:
        main(["prepare", str(folders[0]), str(folders[1].with_name("other"))])
    assert exit.value.code == 130 and capsys.readouterr().err == "interrupted; the same command resumes\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["OUT", "--size", "0"], "--size: expected at least 1, at most 16,384 pixels, got 0"),
        (["SET/train"], "is in SET, whose next listing would have it; expected another folder"),
        (["OUT", "--task", "segmentation"], "expected --task classification, multilabel or regression"),
        (["OUT", "--splits", "vall"], "has no split 'vall'; did you mean val"),
        (["HERE"], "expected a new or an empty folder"),
    ],
)
def test_mistakes_are_one_line(folders, capsys, arguments, message):
    source, out = folders
    places = {"OUT": out.with_name("other"), "SET": source, "HERE": out.parent}
    for name, place in places.items():
        arguments = [argument.replace(name, str(place)) for argument in arguments]
        message = message.replace(name, str(place))
    with pytest.raises(SystemExit) as exit:
        main(["prepare", str(source), *arguments])
    error = capsys.readouterr().err
    assert exit.value.code == 2 and error.count("\n") == 1 and message in error
    assert not places["OUT"].exists()


def test_the_next_command_can_be_copied_whatever_the_name(folders, capsys):
    source, out = folders
    out = out.with_name("a b\nc")
    shown = output(capsys, "prepare", source, out, "--size", 6)
    assert shown.count("\n") == 2 and f"--data.path '{out.parent}/a b\\nc' --data.image-size" in shown


def test_no_split_is_one_line(folders, capsys):
    source, out = folders
    with pytest.raises(SystemExit) as exit:
        main(["prepare", str(source), str(out.with_name("none")), "--splits"])
    assert exit.value.code == 2 and "expected at least one split" in capsys.readouterr().err
