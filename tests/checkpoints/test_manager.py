"""Saves in the background: what is kept, and what a failed save leaves."""

import json
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from small_checkpoints import META, MODEL, TX, recipe_variables, state

from resnet_jax import load_checkpoint
from resnet_jax.checkpoints import manager
from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.checkpoints.recovery import recover
from resnet_jax.errors import SaveFailed
from resnet_jax.training.state import TrainState


def test_the_latest_and_the_best_are_kept(run):
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["2", "4", "5"]


def test_the_tree_is_as_documented(run):
    metadata = json.loads((run / "checkpoints" / "5" / "state" / "_METADATA").read_text())
    saved = {item["key_metadata"][0]["key"] for item in metadata["tree_metadata"].values()}
    assert saved == {"step", "params", "batch_stats", "opt_state", "ema", "key"}
    assert json.loads((run / "checkpoints" / "5" / "meta" / "metadata").read_text()) == {"format": 2, **META}


def test_orbax_alone_reads_it(run):
    import orbax.checkpoint as ocp

    tree = ocp.StandardCheckpointer().restore(run / "checkpoints" / "5" / "state")
    jax.tree.map(
        np.testing.assert_array_equal,
        {"params": tree["params"], "batch_stats": tree["batch_stats"]},
        recipe_variables(5),
    )


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
    with Checkpoints(folder, keep_latest=1):  # a start that writes nothing removes nothing
        pass
    assert sorted(path.name for path in folder.iterdir()) == ["2", "6", "7"]


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


def test_averaged_weights_are_restored(tmp_path):
    variables = jax.tree.map(jnp.asarray, recipe.variables(MODEL))
    averaged = TrainState.from_variables(variables, TX, jax.random.key(0), ema=True)
    averaged = averaged.replace(params=jax.tree.map(lambda x: x + 1, variables["params"]))
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(1, averaged, META)
    jax.tree.map(np.testing.assert_array_equal, load_checkpoint(tmp_path, ema=True).variables, recipe_variables(0))
    raw = load_checkpoint(tmp_path).variables["params"]
    jax.tree.map(np.testing.assert_array_equal, raw, jax.tree.map(lambda x: x + 1, variables["params"]))
