import json
import logging
import resource
import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax import create_model, load_checkpoint
from resnet_jax.checkpoints import manager, reader
from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.checkpoints.recovery import recover
from resnet_jax.distributed.devices import Parallel
from resnet_jax.errors import CorruptedCheckpoint, SaveFailed
from resnet_jax.runs.pretrained import pretrained
from resnet_jax.training import optim
from resnet_jax.training.state import TrainState

OVERRIDES = {"num_classes": 3, "in_channels": 1, "dtype": "float32"}
MODEL = create_model("cifar_resnet8", **OVERRIDES)
META = {
    "model": {"name": "cifar_resnet8", "overrides": OVERRIDES},
    "preprocess": {"image_size": 8, "resize": 8, "mean": [0.5], "std": [0.25], "interpolation": "bilinear"},
    "classes": ["a", "b", "c"],
}
TX = optim.sgd(optim.warmup_cosine(peak_lr=0.1, steps=10, warmup_steps=2), weight_decay=1e-4)


def state(step=0, **_):
    variables = jax.tree.map(lambda x: x + step, recipe.variables(MODEL))
    fresh = TrainState.from_variables(variables, TX, jax.random.key(step))
    return fresh.replace(step=np.int32(step))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Five saved steps, of which the second is the best."""
    folder = tmp_path_factory.mktemp("run")
    with Checkpoints(folder / "checkpoints", keep_latest=2) as checkpoints:
        for step, top1 in enumerate([0.1, 0.9, 0.3, 0.2, 0.4], 1):
            checkpoints.save(step, Parallel().replicate(state(step)), META, test_due=True)
            checkpoints.record_test(step, {"top1": top1, "loss": 1 - top1 / 2, "images": 10})
        checkpoints.wait()
        assert checkpoints.latest_step == 5
        with pytest.raises(RuntimeError, match="step 4 was not saved: .* already has step 5"):
            checkpoints.save(4, state(4), META)
    return folder


def test_the_latest_and_the_best_are_kept(run):
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["2", "4", "5"]


def test_the_tree_is_as_documented(run):
    metadata = json.loads((run / "checkpoints" / "5" / "state" / "_METADATA").read_text())
    saved = {item["key_metadata"][0]["key"] for item in metadata["tree_metadata"].values()}
    assert saved == {"step", "params", "batch_stats", "opt_state", "ema", "key"}
    assert json.loads((run / "checkpoints" / "5" / "meta" / "metadata").read_text()) == {"format": 2, **META}


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


def test_invalid_weights_are_refused_by_name(run):
    checkpoint = open_checkpoint(run, 5)
    stats = {
        **checkpoint.arrays["batch_stats"],
        "stem": {"norm": {"mean": np.float32([np.inf]), "var": np.float32([-1])}},
    }
    broken = replace(checkpoint, arrays={**checkpoint.arrays, "batch_stats": stats})
    message = r"checkpoints/5: expected finite weights, got batch_stats/stem/norm/mean \(not finite\), .* below 0"
    with pytest.raises(ValueError, match=message):
        pretrained(broken)
    assert pretrained(broken, allow_nonfinite=True).variables["batch_stats"] is stats


def recipe_variables(step):
    return jax.tree.map(lambda x: np.asarray(x) + step, recipe.variables(MODEL))


def test_loading_does_not_change_the_users_logging(run):
    before = logging.getLogger("absl").level
    load_checkpoint(run)
    assert logging.getLogger("absl").level == before


def test_orbax_alone_reads_it(run):
    import orbax.checkpoint as ocp

    tree = ocp.StandardCheckpointer().restore(run / "checkpoints" / "5" / "state")
    jax.tree.map(
        np.testing.assert_array_equal,
        {"params": tree["params"], "batch_stats": tree["batch_stats"]},
        recipe_variables(5),
    )


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


def test_a_newer_format_is_refused_and_left_where_it_is(tmp_path):
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


def corrupted(data, draw):
    """The contents with a flipped bit, without their end, empty, or with an extra byte."""
    kind, at = draw(st.sampled_from(["flipped", "cut", "emptied", "longer"])), draw(st.integers(0, len(data) - 1))
    flipped = bytes([data[at] ^ (1 << draw(st.integers(0, 7)))])
    return {
        "flipped": data[:at] + flipped + data[at + 1 :],
        "cut": data[:at],
        "emptied": b"",
        "longer": data[:at] + b"\0" + data[at:],
    }[kind]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(draw=st.data())
def test_corruption_of_any_file_is_detected(run, draw):
    folder = run / "checkpoints" / "5"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file = draw.draw(st.sampled_from(files))
    original = file.read_bytes()
    try:
        file.write_bytes(corrupted(original, draw.draw))
        with pytest.raises(CorruptedCheckpoint) as caught:
            open_checkpoint(run, 5)
        assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
    finally:
        file.write_bytes(original)


def test_any_missing_file_is_detected(run, tmp_path):
    folder = run / "checkpoints" / "5"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(files) > 10
    for file in files:
        file.rename(tmp_path / "away")
        with pytest.raises(CorruptedCheckpoint, match="corrupted|interrupted"):
            open_checkpoint(run, 5)
        (tmp_path / "away").rename(file)
    assert open_checkpoint(run, 5).step == 5


def test_arrays_are_verified_too(run, monkeypatch):
    """Even if every file were as it was written: all of them, not only what is returned."""
    read = reader.read_arrays

    def bent(folder):
        arrays = read(folder)
        arrays["key"] = arrays["key"] ^ 1
        return arrays

    monkeypatch.setattr(reader, "read_arrays", bent)
    with pytest.raises(CorruptedCheckpoint, match="5 is corrupted: array key: expected uint32.2. .*, got uint32.2. "):
        load_checkpoint(run, 5)


def test_the_newest_valid_checkpoint_is_read_and_the_corrupted_one_moved(run, tmp_path):
    shutil.copytree(run / "checkpoints", tmp_path / "checkpoints")
    folder = tmp_path / "checkpoints"
    (folder / "5" / "state" / "manifest.ocdbt").unlink()
    (folder / "7.orbax-checkpoint-tmp").mkdir()
    with pytest.warns(UserWarning, match="5 is corrupted: state/manifest.ocdbt is missing; step 4 is read instead"):
        loaded = load_checkpoint(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, recipe_variables(4))
    with pytest.raises(CorruptedCheckpoint):
        load_checkpoint(tmp_path, 5)
    checkpoint, messages = recover(folder)
    assert checkpoint.step == 4 and sorted(path.name for path in folder.iterdir()) == ["2", "4"]
    assert messages[0] == "the save of step 7 was interrupted" and messages[1].endswith(
        f"moved to {tmp_path}/corrupted/5"
    )
    assert (tmp_path / "corrupted" / "5" / "checksums.json").exists() and not (folder / "5").exists()
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.latest_step == 4
        checkpoints.save(5, Parallel().replicate(state(5)), META)
    assert open_checkpoint(tmp_path).step == 5


def test_if_no_checkpoint_is_valid_nothing_is_moved(run, tmp_path):
    shutil.copytree(run / "checkpoints", tmp_path / "checkpoints")
    for step in (2, 4, 5):
        (tmp_path / "checkpoints" / str(step) / "meta" / "metadata").write_text("")
    with pytest.raises(
        CorruptedCheckpoint, match="no checkpoint is valid: .*5 is corrupted.*; .*2 is corrupted.*; choose another"
    ):
        recover(tmp_path / "checkpoints")
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["2", "4", "5"]


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


def test_a_state_is_saved_before_its_test_and_replaces_none_until_it_has_passed(tmp_path):
    folder = tmp_path / "checkpoints"
    with Checkpoints(folder, keep_latest=1, best="loss") as checkpoints:
        for step, loss in ((1, 0.5), (2, 0.25), (3, 0.75)):
            checkpoints.save(step, state(step), META | {"evaluation_due": True}, test_due=True)
            checkpoints.wait()
            if step > 1:
                assert checkpoints.steps[-2:] == [step - 1, step]  # the one before stays
            checkpoint = open_checkpoint(tmp_path)
            assert checkpoint.step == step and checkpoint.metadata["evaluation_due"] and checkpoint.test_results is None
            checkpoints.record_test(step, {"top1": 0.5, "loss": loss})
            checkpoints.wait()
            checkpoint = open_checkpoint(tmp_path)
            assert not checkpoint.metadata["evaluation_due"] and checkpoint.test_results == {"top1": 0.5, "loss": loss}
        checkpoints.save(4, state(4), META, test_due=True)
        checkpoints.discard(4)  # its test was not finite
        assert checkpoints.latest_step == 3
    assert sorted(path.name for path in folder.iterdir()) == ["2", "3"]
    with Checkpoints(folder, keep_latest=1, best="loss") as checkpoints:  # a later start knows the tests before it
        checkpoints.save(5, state(5), META)
        checkpoints.wait()
        checkpoints.save(6, state(6), META)
    assert sorted(path.name for path in folder.iterdir()) == ["2", "6"]
    shutil.copytree(folder / "6", folder / "7")
    with Checkpoints(folder, keep_latest=1):  # what writes nothing removes nothing
        pass
    assert sorted(path.name for path in folder.iterdir()) == ["2", "6", "7"]


@pytest.mark.parametrize(("measure", "best"), [("top1", 2), ("loss", 1), ("ema_top1", 3), (None, 2)])
def test_the_best_is_chosen_by_the_measure_of_the_run(tmp_path, measure, best):
    """None: a run of 0.1.0, whose config had no such field."""
    meta = META | ({} if measure is None else {"config": {"checkpoint": {"best": measure}}})
    with Checkpoints(tmp_path / "checkpoints", keep_latest=4, best=measure or "top1") as checkpoints:
        for step, (top1, loss, ema) in enumerate([(0.1, 0.1, 0.2), (0.9, 0.2, 0.1), (0.2, 0.3, 0.9), (0, 9, 0)], 1):
            checkpoints.save(step, state(step), meta)
            checkpoints.record_test(step, {"top1": top1, "loss": loss, "ema_top1": ema})
    assert open_checkpoint(tmp_path, "best").step == best


def test_a_checkpoint_that_0_1_0_was_replacing_is_restored(run, tmp_path):
    shutil.copytree(run / "checkpoints" / "5", tmp_path / "5.replaced")
    assert recover(tmp_path)[0].step == 5 and [path.name for path in tmp_path.iterdir()] == ["5"]


def test_a_run_is_read_while_it_saves(run, tmp_path, monkeypatch):
    """The reader's checkpoint is removed under its hands: it takes the newest, and of a number it says so."""
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


def test_results_that_cannot_be_written_fail_the_save(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(SaveFailed, match="No space left"), Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(1, state(1), META, test_due=True)
        checkpoints.wait()
        monkeypatch.setattr(manager, "replace_file", full)
        checkpoints.record_test(1, {"top1": 0.5})
    assert open_checkpoint(tmp_path).test_results is None


def test_checksums_that_cannot_be_written_fail_the_save(tmp_path, monkeypatch):
    with pytest.raises(SaveFailed, match="checkpoint 2 could not be written in .*No space left.*; intact: 1"):
        with Checkpoints(tmp_path / "checkpoints", keep_latest=1) as checkpoints:
            checkpoints.save(1, state(1), META)
            checkpoints.wait()

            def full(*_):
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(manager, "write_checksums", full)
            checkpoints.save(2, state(2), META)
            checkpoints.wait()
    assert recover(tmp_path / "checkpoints")[0].step == 1


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_failed_save_keeps_earlier_checkpoints(tmp_path):
    """The system lets no file grow beyond 50 kB, as a disk that fills up."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(SaveFailed, match="checkpoint 2 could not be written in .*: .*; intact: 1"):
            with Checkpoints(tmp_path / "checkpoints") as checkpoints:
                checkpoints.save(1, state(1), META)
                checkpoints.wait()
                resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
                checkpoints.save(2, state(2), META)
                checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert open_checkpoint(tmp_path).step == 1


def test_a_checkpoint_that_cannot_be_deleted_is_named(tmp_path, monkeypatch):
    with pytest.raises(
        SaveFailed, match="checkpoint 1 could not be deleted in .*: denied; there is no earlier checkpoint"
    ):
        with Checkpoints(tmp_path / "checkpoints") as checkpoints:
            checkpoints.save(1, state(1), META, test_due=True)

            def denied(step):
                raise OSError("denied")

            monkeypatch.setattr(checkpoints._manager, "delete", denied)
            checkpoints.discard(1)


def test_a_removed_directory_fails_the_save(tmp_path):
    with pytest.raises(SaveFailed, match="checkpoint 2 could not be written in .*: .*; there is no earlier checkpoint"):
        with Checkpoints(tmp_path / "checkpoints") as checkpoints:
            checkpoints.save(1, state(1), META)
            checkpoints.wait()
            (tmp_path / "checkpoints").rename(tmp_path / "elsewhere")
            (tmp_path / "checkpoints").write_text("a file")
            checkpoints.save(2, state(2), META)
            checkpoints.wait()
    assert open_checkpoint(tmp_path / "elsewhere").step == 1


def test_the_averaged_weights_come_back(tmp_path):
    variables = jax.tree.map(jnp.asarray, recipe.variables(MODEL))
    averaged = TrainState.from_variables(variables, TX, jax.random.key(0), ema=True)
    averaged = averaged.replace(params=jax.tree.map(lambda x: x + 1, variables["params"]))
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(1, averaged, META)
    jax.tree.map(np.testing.assert_array_equal, load_checkpoint(tmp_path, ema=True).variables, recipe_variables(0))
    raw = load_checkpoint(tmp_path).variables["params"]
    jax.tree.map(np.testing.assert_array_equal, raw, jax.tree.map(lambda x: x + 1, variables["params"]))


def test_missing_averaged_weights_are_an_error(run):
    with pytest.raises(ValueError, match="has no averaged weights; --optim.ema-decay keeps them"):
        load_checkpoint(run, ema=True)


def test_a_copy_of_another_step_is_corrupted(tmp_path):
    """Its files are valid, but the run would resume from another step than its name says."""
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state(step), META | {"data": {"next_step": step}})
    shutil.copytree(tmp_path / "1", tmp_path / "3")
    with pytest.warns(UserWarning, match="3 is corrupted: it was saved as step 1; step 2 is read instead"):
        assert open_checkpoint(tmp_path).step == 2


def test_a_file_in_place_of_the_corrupted_directory_is_named(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "5" / "meta" / "metadata").unlink()
    (tmp_path / "run" / "corrupted").touch()
    with pytest.raises(ValueError, match="5 is corrupted: .*corrupted is a file; move that file away"):
        recover(tmp_path / "run" / "checkpoints")
