"""Recovery before a run resumes: the newest valid checkpoint, and corrupted ones moved away."""

import shutil

import jax
import numpy as np
import pytest
from small_checkpoints import META, recipe_variables, state

from resnet_jax import load_checkpoint
from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.checkpoints.recovery import recover
from resnet_jax.distributed.devices import Parallel
from resnet_jax.errors import CorruptedCheckpoint


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


def test_a_checkpoint_that_0_1_0_was_replacing_is_restored(run, tmp_path):
    shutil.copytree(run / "checkpoints" / "5", tmp_path / "5.replaced")
    assert recover(tmp_path)[0].step == 5 and [path.name for path in tmp_path.iterdir()] == ["5"]


def test_a_file_in_place_of_the_corrupted_directory_is_named(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "5" / "meta" / "metadata").unlink()
    (tmp_path / "run" / "corrupted").touch()
    with pytest.raises(ValueError, match="5 is corrupted: .*corrupted is a file; move that file away"):
        recover(tmp_path / "run" / "checkpoints")
