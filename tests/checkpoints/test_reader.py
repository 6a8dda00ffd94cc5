"""Checkpoints are read by step, as latest or as best, in formats 1 and 2, also while their run saves."""

import json
import shutil

import jax
import numpy as np
import pytest
import recipe
from small_checkpoints import META, MODEL, recipe_variables, state

from resnet_jax import load_checkpoint
from resnet_jax.checkpoints import reader
from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.checkpoints.recovery import recover
from resnet_jax.distributed.devices import Parallel
from resnet_jax.errors import CorruptedCheckpoint
from resnet_jax.training import optim
from resnet_jax.training.state import TrainState


@pytest.mark.parametrize("devices", [1, 8])
def test_restoring_gives_the_same_state_on_any_number_of_devices(run, devices):
    restored = Parallel(devices=jax.devices()[:devices]).replicate(open_checkpoint(run, 5).state(state()))
    jax.tree.map(np.testing.assert_array_equal, restored, state(5))
    assert jax.tree.structure(restored) == jax.tree.structure(state())
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(restored)} == {devices}


@pytest.mark.parametrize(
    ("inner", "step", "expected"),
    [(".", "latest", 5), (".", "best", 2), ("checkpoints", 4, 4), ("checkpoints/2", "latest", 2)],
)
def test_a_model_is_loaded_from_a_run_or_a_step(run, inner, step, expected):
    loaded = load_checkpoint(run / inner, step)
    assert loaded.model == MODEL and loaded.name == "cifar_resnet8"
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, recipe_variables(expected))
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(loaded.variables))
    assert loaded.preprocess.mean == (0.5,) and loaded.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("path", "step", "message"),
    [
        ("nowhere", "latest", "no run or checkpoint directory"),
        ("empty", "latest", "no checkpoints in"),
        ("run", 3, "no step 3 in .*; expected one of 2, 4, 5"),
        ("run", "newest", "expected step latest, best or a number, got 'newest'"),
    ],
)
def test_missing_checkpoints_are_errors(run, tmp_path, path, step, message):
    (tmp_path / "empty").mkdir()
    where = run if path == "run" else tmp_path / path
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        load_checkpoint(where, step)


def test_a_newer_format_is_refused_and_stays_in_place(tmp_path):
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(1, {"params": np.zeros(1), "batch_stats": np.zeros(1)}, META | {"format": 99})
    for _ in range(2):
        for look in (load_checkpoint, lambda folder: recover(folder / "checkpoints")):
            with pytest.raises(ValueError, match="has format 99, of a newer version; this version reads 1 to 2"):
                look(tmp_path)
        (tmp_path / "checkpoints" / "1" / "checksums.json").write_text('{"sha256": {}}')
    assert (tmp_path / "checkpoints" / "1").is_dir()


def test_format_1_which_had_no_checksums_is_read(run, tmp_path):
    shutil.copytree(run / "checkpoints" / "5", tmp_path / "checkpoints" / "5")
    (tmp_path / "checkpoints" / "5" / "checksums.json").unlink()
    (tmp_path / "checkpoints" / "5" / "meta" / "metadata").write_text(json.dumps({"format": 1, **META}))
    checkpoint, messages = recover(tmp_path / "checkpoints")
    assert checkpoint.step == 5 and messages == []
    jax.tree.map(np.testing.assert_array_equal, load_checkpoint(tmp_path).variables, recipe_variables(5))


def test_a_state_of_another_model_or_optimiser_is_an_error_with_its_arrays(run):
    other = TrainState.from_variables(recipe.variables(MODEL), optim.adamw(0.1), jax.random.key(0))
    with pytest.raises(ValueError, match="5 has other arrays than this config: opt_state/.*: expected .*, got .* more"):
        open_checkpoint(run, 5).state(other)


@pytest.mark.parametrize(
    ("where", "error"), [("read_arrays", MemoryError("full")), ("verify_files", OSError(5, "Input/output error"))]
)
def test_a_read_error_is_no_corruption(run, monkeypatch, where, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(reader, where, fails)
    for look in (open_checkpoint, lambda folder: recover(folder / "checkpoints")):
        with pytest.raises(type(error)):
            look(run)
    assert (run / "checkpoints" / "5").is_dir() and not (run / "corrupted").exists()


def test_another_best_checkpoint_comes_with_a_warning(run, tmp_path):
    for text in ('{"top1": 0.1}', "", "{}"):
        folder = tmp_path / str(len(text))
        shutil.copytree(run / "checkpoints", folder)
        (folder / "2" / "metrics" / "metrics").write_text(text)
        with pytest.warns(UserWarning, match="2 is corrupted: metrics/metrics: .*; step 5 is read instead"):
            assert open_checkpoint(folder, "best").step == 5


def test_incomplete_metadata_is_corruption(run, tmp_path):
    shutil.copytree(run / "checkpoints" / "5", tmp_path / "checkpoints" / "5")
    (tmp_path / "checkpoints" / "5" / "checksums.json").unlink()
    (tmp_path / "checkpoints" / "5" / "meta" / "metadata").write_text('{"format": 1}')
    with pytest.raises(CorruptedCheckpoint, match="5 is corrupted: meta/metadata has no model, classes, preprocess"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(("measure", "best"), [("top1", 2), ("loss", 1), ("ema_top1", 3), (None, 2)])
def test_the_best_is_chosen_by_the_measure_of_the_run(tmp_path, measure, best):
    """None: a run of 0.1.0, whose config had no such field."""
    meta = META | ({} if measure is None else {"config": {"checkpoint": {"best": measure}}})
    with Checkpoints(tmp_path / "checkpoints", keep_latest=4, best=measure or "top1") as checkpoints:
        for step, (top1, loss, ema) in enumerate([(0.1, 0.1, 0.2), (0.9, 0.2, 0.1), (0.2, 0.3, 0.9), (0, 9, 0)], 1):
            checkpoints.save(step, state(step), meta)
            checkpoints.record_test(step, {"top1": top1, "loss": loss, "ema_top1": ema})
    assert open_checkpoint(tmp_path, "best").step == best


def test_a_run_is_read_while_it_saves(run, tmp_path, monkeypatch):
    """A checkpoint that is removed meanwhile: the newest is read instead, and a numbered one is an error."""
    shutil.copytree(run / "checkpoints", tmp_path / "checkpoints")
    read = reader.read_arrays

    def moving(folder):
        if folder.parent.name in ("5", "2"):
            shutil.move(folder.parent, tmp_path / f"gone{folder.parent.name}")
        return read(folder)

    monkeypatch.setattr(reader, "read_arrays", moving)
    assert open_checkpoint(tmp_path).step == 4
    shutil.copytree(run / "checkpoints" / "5", tmp_path / "checkpoints" / "5")
    score = reader.read_score

    def removed(folder, measure):
        if folder.name == "5":
            shutil.rmtree(folder)
        return score(folder, measure)

    with monkeypatch.context() as patch:
        patch.setattr(reader, "read_score", removed)
        patch.setattr(reader, "read_arrays", read)
        assert open_checkpoint(tmp_path, "best").step == 2
    with pytest.raises(FileNotFoundError, match="2 was removed while it was read: its run has saved newer ones"):
        open_checkpoint(tmp_path, 2)


def test_a_copy_of_another_step_is_corrupted(tmp_path):
    """Its files are valid, but the run would resume from another step than its name says."""
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state(step), META | {"data": {"next_step": step}})
    shutil.copytree(tmp_path / "1", tmp_path / "3")
    with pytest.warns(UserWarning, match="3 is corrupted: it was saved as step 1; step 2 is read instead"):
        assert open_checkpoint(tmp_path).step == 2
