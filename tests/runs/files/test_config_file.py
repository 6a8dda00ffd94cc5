"""config.json: changes that are allowed, refused and recorded."""

import dataclasses
import json

import pytest
from small_run import config

from resnet_jax.config import CheckpointConfig
from resnet_jax.errors import SetupError
from resnet_jax.runs.files.config_file import check_unchanged, config_of_steps, record_config
from resnet_jax.runs.trainer import train


def test_a_run_without_a_checkpoint_takes_another_config(tmp_path, tfds_dir):
    record_config(tmp_path, config(tmp_path, tfds_dir), 0)
    (tmp_path / "checkpoints" / "4.orbax-checkpoint-tmp").mkdir(parents=True)  # a save that was interrupted
    (tmp_path / "metrics.jsonl").write_text('{"step": 3, "split": "train"}\n')
    changed = config(tmp_path, tfds_dir, optim__peak_lr=0.2)
    expected = "no checkpoint was saved yet, so the config may change: optim.peak_lr was 0.1, now 0.2"
    assert check_unchanged(tmp_path, changed) == [expected]
    record_config(tmp_path, changed, 0)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["config"]["optim"]["peak_lr"] == 0.2 and "before" not in saved
    (tmp_path / "config.json").write_text("{}")
    assert "it is invalid, and no checkpoint was saved" in check_unchanged(tmp_path, changed)[0]
    record_config(tmp_path, changed, 0)
    (tmp_path / "metrics.jsonl").write_text('{"step": 3, "split": "test"}\n')  # a result: its checkpoints were removed
    with pytest.raises(ValueError, match="holds a run of another config"):
        check_unchanged(tmp_path, config(tmp_path, tfds_dir))


def test_the_directory_of_another_run_is_refused_and_unchanged(tmp_path, tfds_dir):
    record_config(tmp_path, config(tmp_path, tfds_dir), 0)
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    before = (tmp_path / "config.json").read_bytes()
    message = (
        f"another config: optim.peak_lr was 0.1, now 0.2; --config {tmp_path} takes the run's config; "
        "or choose another --workdir, or --resume.allow-changes"
    )
    with pytest.raises(SetupError, match=message):
        train(config(tmp_path, tfds_dir, optim__peak_lr=0.2))
    assert (tmp_path / "config.json").read_bytes() == before


def test_checkpoint_settings_may_change_and_absent_fields_have_their_defaults(tmp_path, tfds_dir):
    record_config(tmp_path, config(tmp_path, tfds_dir, optim__warmup_epochs=5.0), 0)
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    # What error messages advise, and the warmup as versions without None wrote it.
    advised = {"data__unreadable": "skip", "data__eval_batch_size": 8, "train__patience": 3}
    changed = config(tmp_path, tfds_dir, optim__warmup_epochs=None, **advised)
    changed = dataclasses.replace(changed, checkpoint=CheckpointConfig(keep_latest=7, best="loss"))
    assert check_unchanged(tmp_path, changed) == []
    saved = json.loads((tmp_path / "config.json").read_text())
    del saved["config"]["optim"]["accumulate"]  # as a version would have written it that had no such field
    (tmp_path / "config.json").write_text(json.dumps(saved))
    assert check_unchanged(tmp_path, changed) == []
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="config.json is not the config of a run"):
        check_unchanged(tmp_path, changed)


def test_each_step_has_the_config_it_was_made_with(tmp_path, tfds_dir):
    for step, rate in ((0, 0.1), (8, 0.2), (8, 0.3), (20, 0.4)):
        record_config(tmp_path, config(tmp_path, f"elsewhere{step}", optim__peak_lr=rate), step)

    def rate(first, last):
        config_then = config_of_steps(tmp_path, first, last)
        assert config_then.data.data_dir == "elsewhere20"  # may change, and is where it is now
        return config_then.optim.peak_lr

    assert [rate(1, 8), rate(9, 9), rate(9, 20), rate(21, 99)] == [0.1, 0.3, 0.3, 0.4]
    with pytest.raises(ValueError, match="was changed after step 8, whose checkpoint is deleted"):
        rate(5, 9)
