"""Runs on sounds: transcripts are learnt, resumed to the bit and written; augmentation does not depend on devices."""

import csv
import shutil

import jax
import numpy as np
import pytest
from small_run import records, without_clock
from small_speech import RATE, ROW, TEXTS, config, write_speech

from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.cli.main import main
from resnet_jax.config import AudioConfig
from resnet_jax.distributed import processes
from resnet_jax.errors import DataError
from resnet_jax.models.registry import MODELS
from resnet_jax.runs.trainer import train

pytest.importorskip("soundfile")


@pytest.fixture(scope="module", autouse=True)
def small_net():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, *ROW)
        yield


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    return write_speech(tmp_path_factory.mktemp("data") / "speech")


@pytest.fixture
def one_device(monkeypatch):
    monkeypatch.setattr(processes, "devices", lambda: jax.devices()[:1])


OPTIONS = {"train__epochs": 50.0, "train__eval_every_epochs": 25.0, "train__log_every_steps": 25}


@pytest.fixture(scope="module")
def finished(speech, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "devices", lambda: jax.devices()[:1])
        return folder, train(config(folder, speech, **OPTIONS))


def test_transcripts_are_learnt(finished):
    folder, results = finished
    assert results["cer"] < 0.2 and results["images"] == len(TEXTS["test"])
    assert records(folder, "test")[0]["cer"] >= results["cer"]
    assert open_checkpoint(folder).metadata["classes"] == ["<blank>", " ", "a", "b"]


@pytest.mark.slow
def test_a_run_resumes_to_the_bit(finished, speech, one_device, tmp_path):
    folder, results = finished
    stopped = shutil.copytree(folder, tmp_path / "run")
    last = max(int(path.name) for path in (stopped / "checkpoints").iterdir() if path.name.isdigit())
    shutil.rmtree(stopped / "checkpoints" / str(last))
    assert train(config(stopped, speech, **OPTIONS)) == results
    assert without_clock(records(stopped)) == without_clock(records(folder))
    jax.tree.map(np.testing.assert_array_equal, open_checkpoint(stopped).arrays, open_checkpoint(folder).arrays)


def test_predictions_of_a_test_and_of_files(finished, speech, tmp_path, one_device, capsys):
    folder, results = finished
    out = tmp_path / "out.csv"
    main(["eval", str(folder), "--out", str(out), "--no-pictures"])
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["label"] for row in rows] == TEXTS["test"] and "transcript" in rows[0]
    assert f"CER) {results['cer']:.4f}" in capsys.readouterr().out
    main(["predict", str(folder), str(speech / "test2.wav")])
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"test2.wav: {rows[2]['transcript']!r}")


@pytest.mark.slow
def test_augmented_sounds_train_the_same_on_any_number_of_devices(speech, tmp_path, monkeypatch):
    every, runs = jax.devices(), {}
    audio = AudioConfig(
        sample_rate=RATE, seconds=0.3, window=0.032, hop=0.016, bands=8, normalise="each",
        shift=0.05, noise=str(speech), noise_probability=0.5, mask_bands=(1, 2), mask_frames=(1, 4), mixup=0.4,
    )  # fmt: skip
    changes = {"task": "classification", "model__name": "res8_narrow", "model__bn_axis": "data", "data__audio": audio}
    changes |= {"optim__optimizer": "sgd", "optim__peak_lr": 0.01, "train__log_every_steps": 1, "train__epochs": 1.0}
    for count in (1, 2):
        monkeypatch.setattr(processes, "devices", lambda count=count: every[:count])
        train(config(tmp_path / f"{count}", speech, **changes, data__label_column="label"))
        runs[count] = without_clock(records(tmp_path / f"{count}", "train"))
    assert len(runs[1]) == 3
    for one, other in zip(runs[1], runs[2], strict=True):
        numbers, others = ({name: x for name, x in line.items() if name != "split"} for line in (one, other))
        assert others == pytest.approx(numbers, rel=1e-3, abs=1e-5)


def test_a_transcript_that_is_too_long_is_named_before_training(tmp_path, one_device):
    write_speech(tmp_path / "data", {"train": ["ab"] * 4, "test": ["a"]})
    table = tmp_path / "data/metadata.csv"
    table.write_text(table.read_text().replace("train2.wav,ab,", f"train2.wav,{'ab' * 20},"))
    with pytest.raises(DataError, match=r"train2.wav: its transcript needs 40 frames, the net has \d+; 1 of 4 are too"):
        train(config(tmp_path / "run", tmp_path / "data"))
    assert not (tmp_path / "run").exists()
