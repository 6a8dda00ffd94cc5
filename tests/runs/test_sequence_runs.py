"""Runs on series of unequal lengths: few programs, resumed to the bit, other runs' weights."""

import math
import shutil

import jax
import numpy as np
import pytest
from small_run import records, without_clock
from small_series import ROW, config, write_series

from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.config import SeriesConfig
from resnet_jax.distributed import processes
from resnet_jax.errors import SetupError
from resnet_jax.inputs import SeriesPreprocess
from resnet_jax.models.registry import MODELS
from resnet_jax.runs import trainer
from resnet_jax.runs.saved.recalibrate import recalibrate
from resnet_jax.runs.saved.replay import replay
from resnet_jax.runs.starting.build import Trainer
from resnet_jax.runs.trainer import train

# The schedule watches the loss of each epoch, whose steps have batches of both lengths.
OPTIONS = {
    "optim__schedule": "plateau",
    "optim__plateau_epochs": 1,
    "optim__plateau_delta": 10.0,  # the loss never falls by so much: the rate decays in the third epoch
    "optim__decay_factor": 0.5,
    "optim__keep_lowest": True,
    "optim__ema_decay": 0.8,
    "train__epochs": 3.0,
    "checkpoint__every_steps": 4,  # also within an epoch of six
    "checkpoint__keep_latest": 9,
    "data__series": SeriesConfig("train"),
}
compiled = []  # programs, by the event of their compilation
jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: compiled.append(event) if event.endswith("backend_compile_duration") else None
)


@pytest.fixture(scope="module", autouse=True)
def small_net():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, *ROW)
        yield


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    return write_series(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture
def one_device(monkeypatch):
    monkeypatch.setattr(processes, "devices", lambda: jax.devices()[:1])


class Counting(Trainer):
    """Notes how many programs were compiled before each step, and after each test."""

    before, after = [], []

    def train_step(self, step, state, batch):
        self.before.append(len(compiled))
        return super().train_step(step, state, batch)

    def test(self, state, *args):
        results = super().test(state, *args)
        self.after.append(len(compiled))
        return results


@pytest.fixture(scope="module")
def finished(series, tmp_path_factory):
    """A run, its results, the numbers of `Counting` and the lines that it printed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "devices", lambda: jax.devices()[:1])
        patch.setattr(trainer, "Trainer", Counting)
        results = train(config(folder, series, **OPTIONS))
    return folder, results


def test_nothing_is_compiled_after_the_first_epoch_and_its_test(finished):
    folder, _ = finished
    before, after = Counting.before, Counting.after
    assert len(before) == 18 and len(after) == 3
    assert before[6] - before[0] >= 2  # a program for each length
    assert before[6:] == [before[6]] * 12 and after[1:] == [before[6]] * 2
    assert [line["images"] for line in records(folder, "test")] == [5] * 3


def numbers(folder, split):
    lines = [line for line in without_clock(records(folder)) if line.pop("split") == split]
    return [{name: math.nan if value is None else value for name, value in line.items()} for line in lines]


def test_a_run_resumes_to_the_bit_within_an_epoch(finished, series, one_device, tmp_path, capsys):
    folder, results = finished
    stopped = shutil.copytree(folder, tmp_path / "run")
    for step in open_steps(stopped):
        if step > 4:
            shutil.rmtree(stopped / "checkpoints" / str(step))
    assert train(config(stopped, series, **OPTIONS)) == results
    for split in ("train", "test"):
        assert numbers(stopped, split) == numbers(folder, split)
    resumed, whole = open_checkpoint(stopped), open_checkpoint(folder)
    jax.tree.map(np.testing.assert_array_equal, resumed.arrays, whole.arrays)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(" (train; test: test): 11 training series, 5 test series, 2 classes")
    programs = [line.removeprefix("compiling the training step") for line in lines if line.startswith("compiling")]
    assert sorted(programs) == [" for a length of 16", " for a length of 8"]
    rates = [line["learning_rate"] for line in numbers(folder, "train")]
    assert rates[0] == pytest.approx(0.01) and rates[-1] == pytest.approx(0.005)  # it has decayed
    assert results["loss"] != results["ema_loss"] and "lowest" in whole.arrays


def open_steps(folder):
    return [int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdigit()]


def test_a_warm_start_takes_the_normalisation_and_the_head(finished, series, one_device, tmp_path, capsys):
    folder, _ = finished
    other = write_series(tmp_path / "other", {"TRAIN": (9, 6, 8), "TEST": (7, 5)}, seed=1)
    changes = {"init__from_": str(folder), "train__epochs": 0.5, "data__buckets": 1}
    train(config(tmp_path / "run", other, **changes))
    checkpoint, source = open_checkpoint(tmp_path / "run"), open_checkpoint(folder)
    assert isinstance(checkpoint.preprocess, SeriesPreprocess) and checkpoint.preprocess == source.preprocess
    lines = capsys.readouterr().out
    description = "small_series, step 18, 2 classes; series, normalised by their training numbers"
    assert f"weights of {folder} ({description}); its classifier" in lines
    assert "compiling the training step\n" in lines  # of one length


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"channels": 3},
            "^--init.from: expected series of 2 channels, as the weights of .* trained with, got 3$",
        ),
        ({"classes": ("up", "down", "flat"), "init__head": "keep"}, "expected a classifier of 3 classes, got one of 2"),
    ],
)
def test_weights_that_do_not_fit_are_refused(finished, one_device, tmp_path, changes, message):
    folder, _ = finished
    made = {name: changes[name] for name in changes.keys() & {"channels", "classes"}}
    others = {name: value for name, value in changes.items() if name not in made}
    other = write_series(tmp_path / "other", {"TRAIN": (9, 6, 8), "TEST": (7, 5)}, **made)
    with pytest.raises(SetupError, match=message) as error:
        train(config(tmp_path / "run", other, init__from_=str(folder), train__epochs=0.5, **others))
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_series_of_other_classes_get_a_new_head(finished, one_device, tmp_path, capsys):
    folder, _ = finished
    other = write_series(tmp_path / "other", {"TRAIN": (9, 6, 8), "TEST": (7, 5)}, classes=("up", "down"))
    frozen = {"optim__freeze": "^stage1", "model__frozen_norms": ("all",)}
    train(config(tmp_path / "run", other, init__from_=str(folder), train__epochs=0.5, **frozen))
    assert "; a new classifier" in capsys.readouterr().out
    ours, theirs = (open_checkpoint(path).arrays for path in (tmp_path / "run", folder))
    jax.tree.map(
        np.testing.assert_array_equal, ours["params"]["stage1_block0"], theirs["lowest"]["params"]["stage1_block0"]
    )
    head = [arrays["head"]["dense"]["kernel"] for arrays in (ours["params"], theirs["lowest"]["params"])]
    assert np.abs(head[0] - head[1]).max() > 0.01


@pytest.mark.slow
def test_steps_of_both_lengths_are_repeated(finished, one_device):
    """The record of step 9 has the means of steps 7 to 9; the last batch of the epoch may be among them."""
    folder, _ = finished
    steps = [replay(folder, step) for step in (7, 8, 9)]
    counts = [len(step["examples"]) for step in steps]
    (record,) = [line for line in numbers(folder, "train") if line["step"] == 9]
    losses = [step["loss"] for step in steps]
    assert np.average(losses, weights=counts) == pytest.approx(record["loss"], rel=1e-6)
    assert all(" line " in name for step in steps for name in step["names"])


@pytest.mark.slow
def test_any_number_of_devices_trains_the_same_run(series, tmp_path, monkeypatch):
    """The last batch of an epoch has a device without an example."""
    every, runs = jax.devices(), {}
    changes = {"data__batch_size": 4, "data__eval_batch_size": 4, "model__bn_axis": "data", "train__epochs": 3.0}
    for count, mode in ((1, "pmap"), (2, "shard_map"), (4, "pmap")):
        monkeypatch.setattr(processes, "devices", lambda count=count: every[:count])
        sgd = {"optim__optimizer": "sgd", "optim__peak_lr": 0.05, "train__parallel": mode, "train__log_every_steps": 1}
        results = train(config(tmp_path / f"{count}", series, **changes, **sgd))
        runs[count] = (numbers(tmp_path / f"{count}", "train"), results)
    reference, expected = runs[1]
    assert len(reference) == 9
    for count, (lines, results) in runs.items():
        for line, other in zip(lines, reference, strict=True):
            assert line == pytest.approx(other, rel=1e-4, abs=1e-6), count
        assert results == pytest.approx(expected, rel=1e-4), count


@pytest.mark.slow
def test_microbatches_make_the_same_step(series, tmp_path, one_device):
    """With frozen norms, whose statistics are not those of a microbatch; the last one of an epoch has no example."""
    runs = {}
    for parts in (1, 2, 4):
        changes = {"data__batch_size": 4, "optim__accumulate": parts, "model__frozen_norms": ("all",)}
        sgd = {"optim__optimizer": "sgd", "optim__peak_lr": 0.05, "train__log_every_steps": 1}
        results = train(config(tmp_path / f"{parts}", series, **changes, **sgd))
        runs[parts] = (numbers(tmp_path / f"{parts}", "train"), results)
    for lines, results in runs.values():
        assert results == pytest.approx(runs[1][1], rel=1e-4)
        for line, other in zip(lines, runs[1][0], strict=True):
            assert line == pytest.approx(other, rel=1e-4, abs=1e-6)


@pytest.mark.slow
def test_bfloat16_learns_as_float32_does(series, tmp_path, one_device):
    losses = {}
    for dtype in ("float32", "bfloat16"):
        folder = tmp_path / dtype
        train(config(folder, series, model__dtype=dtype, train__epochs=8.0, train__log_every_steps=6))
        losses[dtype] = [line["loss"] for line in numbers(folder, "train")]
        assert losses[dtype][-1] < 0.95 * losses[dtype][0]
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=0.15)


@pytest.mark.slow
def test_test_series_may_be_longer_than_those_of_training(tmp_path, one_device):
    """They are all of one length, so that batches of the test have no lengths."""
    path = write_series(tmp_path / "set", {"TRAIN": (5, 9, 7, 6), "TEST": (40, 40, 40)})
    results = train(config(tmp_path / "run", path, data__last_batch="drop"))
    assert results["images"] == 3 and math.isfinite(results["loss"])


def test_statistics_are_recalibrated_on_full_batches(finished, one_device, tmp_path):
    """A batch of one series that ends an epoch does not count as much as the others."""
    result = recalibrate(finished[0], tmp_path / "new", step="latest")
    assert (result["images"], result["training_images"]) == (10, 11)
    metadata = open_checkpoint(tmp_path / "new").metadata
    assert metadata["recalibrated"]["batches"] == 5
    assert result["before"]["images"] == result["after"]["images"] == 5
