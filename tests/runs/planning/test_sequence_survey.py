"""resnet-jax data for series, sounds and texts: numbers, the sheet, and what cannot be read."""

import json

import numpy as np
import pytest
from PIL import Image
from small_series import write_series
from sounds import sounds, wave_bytes

from resnet_jax.cli.main import main
from resnet_jax.config import AudioConfig, DataConfig, TextConfig
from resnet_jax.runs.planning.sequence_survey import survey_sequences, verify_sequences


def test_series_have_lengths_channels_and_classes_by_split(tmp_path, capsys):
    path = write_series(tmp_path / "set")
    main(["data", str(path), "--data.kind", "series", "--sheet", str(tmp_path / "sheet.png"), "--verify"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        f"{path}: train 11, test 5 series",
        "trains on train (11 series), tests on test (5)",
        "2 classes: fall, rise",
    ]
    assert [line.split() for line in lines[3:6]] == [["class", "train", "test"], ["fall", "6", "3"], ["rise", "5", "2"]]
    assert lines[6:8] == [
        "train: 5 to 16 positions, median 8; 2 channels",
        "test: 5 to 20 positions, median 8; 2 channels",
    ]
    assert lines[8] == f"{tmp_path}/sheet.png: curves of each class" and lines[-1] == "all 16 series can be read"
    assert " series/s read, in batches of 11 padded to " in lines[9]
    assert Image.open(tmp_path / "sheet.png").width == 804
    options = ["--data.kind", "series", "--sheet", str(tmp_path / "sheet.png"), "--json", "--batches", "1"]
    main(["data", str(path), *options])
    record = json.loads(capsys.readouterr().out)
    assert record["series"] == {"train": 11, "test": 5} and record["padded_to"][-1] == 16
    assert record["classes"][0] == {"class": "fall", "series": {"train": 6, "test": 3}}
    assert record["lengths"]["test"] == {
        "unit": "positions", "least": 5, "median": 8, "greatest": 20, "counted": 5, "channels": 2,
    }  # fmt: skip


def test_texts_have_tokens_a_vocabulary_and_unknown_ones(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\n" + "abc,x\nabcd,y\n" * 4)
    (tmp_path / "test.csv").write_text("text,label\nabcz,x\nzzzz,y\n")
    config = DataConfig(path=str(tmp_path), batch_size=4, text=TextConfig(vocabulary="data"))
    result = survey_sequences(config, "text", sheet=str(tmp_path / "sheet.png"), batches=1)
    assert result.details["train"] == {
        "unit": "characters", "least": 3, "median": 3.5, "greatest": 4, "counted": 8, "vocabulary": 6, "unknown": 0,
    }  # fmt: skip
    assert result.details["test"]["unknown"] == 5 / 8
    assert "test: 4 characters; vocabulary of 6, 62.5% unknown" in result.lines(80)
    verified = verify_sequences(config, "text")
    assert verified.lines() == ["all 10 texts can be read"]
    words = survey_sequences(
        DataConfig(path=str(tmp_path), batch_size=4, text=TextConfig(tokens="words")),
        "text",
        sheet=str(tmp_path / "sheet.png"),
        batches=1,
    )
    assert words.details["train"]["unit"] == "words" and words.details["train"]["greatest"] == 1


def test_the_same_text_in_two_classes_is_reported(tmp_path):
    (tmp_path / "set.csv").write_text("text,label\nsame,x\nother,y\nsame,y\n")
    (line, _) = verify_sequences(DataConfig(path=str(tmp_path / "set.csv")), "text").lines()
    assert line.endswith("line 2 (x) and " + f"{tmp_path}/set.csv, line 4 (y) are the same text in two classes")


def test_windows_of_a_language_model_are_counted(tmp_path):
    (tmp_path / "train.txt").write_text("abcdefgh\n" * 40)
    (tmp_path / "test.txt").write_text("abczefgh\n" * 8)
    config = DataConfig(path=str(tmp_path), batch_size=4, text=TextConfig(length=16))
    result = survey_sequences(config, "text", sheet=str(tmp_path / "sheet.png"), batches=1, label_kind="next-token")
    assert result.served["train"] == 22 and result.counts == {}
    assert result.details["test"]["unknown"] == pytest.approx(8 / 72, abs=0.02)
    lines = result.lines(80)
    assert lines[0].endswith("train 40, test 8 lines") and "(22 windows)" in lines[1]


def test_sounds_have_seconds_and_rates_and_broken_ones_are_listed(tmp_path, capsys):
    pytest.importorskip("soundfile")
    path = sounds(tmp_path / "set", "no/1.wav", "no/2.wav", "no/3.wav", "yes/1.wav", "yes/2.wav", length=4000)
    (path / "yes" / "3.wav").write_bytes(wave_bytes(np.zeros(16000), rate=16000))
    config = DataConfig(path=str(path), batch_size=2, audio=AudioConfig(sample_rate=8000))
    result = survey_sequences(config, "audio", sheet=str(tmp_path / "sheet.png"), batches=1)
    rates = {
        name: sum(split["sample_rates"].get(name, 0) for split in result.details.values()) for name in ("8000", "16000")
    }
    assert rates == {"8000": 5, "16000": 1}
    assert sum("16,000 Hz (1)" in line for line in result.lines(80)) == 1
    (path / "yes" / "2.wav").write_bytes(wave_bytes(np.zeros(800))[:100])
    (path / "no" / "2.wav").write_bytes(b"")
    with pytest.raises(SystemExit) as exit:
        main(["data", str(path), "--data.kind", "audio", "--verify", "--sheet", str(tmp_path / "none.png")])
    lines = capsys.readouterr().out.splitlines()
    assert exit.value.code == 1 and not (tmp_path / "none.png").exists()
    assert lines[-1] == "2 of 6 cannot be used: repair or remove them, or train with --data.unreadable skip"
    assert "no/2.wav: the file is empty" in lines[0] and "yes/2.wav: the file is cut" in lines[1]


def test_options_of_images_are_refused(tmp_path):
    path = write_series(tmp_path / "set")
    with pytest.raises(ValueError, match="^data.image_size is for data of images, got series"):
        survey_sequences(DataConfig(path=str(path), image_size=8), "series", sheet="sheet.png", batches=1)
