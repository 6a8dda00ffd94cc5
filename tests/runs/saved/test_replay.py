"""A replayed step has the numbers of the run, and its data is opened once."""

from pathlib import Path

import jax
import pytest
from small_run import records

from resnet_jax import data
from resnet_jax.distributed import processes
from resnet_jax.runs.planning import plan
from resnet_jax.runs.saved.replay import replay
from resnet_jax.runs.starting import opening
from resnet_jax.runs.starting.build import Trainer

RUN = Path(__file__).parents[2] / "golden" / "runs" / "before_redesign"  # its checkpoint is that of step 12 of 44


class SteppedError(Exception):
    pass


class Uncompiled(Trainer):
    """Restores shapes alone, and stops at the first step."""

    def fresh(self, start=None):
        return jax.eval_shape(super().fresh)

    def train_step(self, step, state, batch):
        raise SteppedError(f"step {step}, {len(batch['label'])} images")


def test_the_data_of_a_replayed_run_is_opened_and_identified_once(monkeypatch):
    opened, identified = [], []
    open_dataset, identify = data.open_dataset, plan.identify
    monkeypatch.setattr(processes, "devices", lambda: jax.devices()[:1])
    monkeypatch.setattr(opening, "Trainer", Uncompiled)
    monkeypatch.setattr(data, "open_dataset", lambda *a, **k: opened.append(a) or open_dataset(*a, **k))
    monkeypatch.setattr(plan, "identify", lambda source, kind: identified.append(kind) or identify(source, kind))
    with pytest.raises(SteppedError, match="step 13, "):
        replay(RUN, 14)
    assert len(opened) == 1 and identified == ["contents", "contents"]  # the training and the test split


@pytest.mark.parametrize("step", [0, 12, 45])
def test_a_step_that_cannot_be_replayed_opens_no_data(monkeypatch, step):
    monkeypatch.setattr(data, "open_dataset", None)
    reason = (
        ": its checkpoints are those of steps 12; expected a step from 13" if step == 12 else "; expected a step from 1"
    )
    with pytest.raises(ValueError, match=f"^step {step} of .* cannot be replayed{reason} to 44"):
        replay(RUN, step)


def test_a_run_without_a_checkpoint_is_named(tmp_path):
    (tmp_path / "config.json").write_text((RUN / "config.json").read_text())
    with pytest.raises(ValueError, match=f"no step of {tmp_path} can be replayed: it has no checkpoint"):
        replay(tmp_path, 3)


@pytest.mark.slow
def test_a_replayed_step_has_the_runs_own_numbers(finished):
    folder = finished[0]
    recorded = next(line for line in records(folder, "train") if line["step"] == 8)  # the mean of steps 7 and 8
    seven, eight = replay(folder, 7), replay(folder, 8)
    for name, rounding in (("loss", 1e-15), ("top1", 1e-15), ("grad_norm", 1e-7)):  # the last is summed in float32
        assert recorded[name] == pytest.approx((seven[name] + eight[name]) / 2, rel=rounding)
    assert eight["learning_rate"] == recorded["learning_rate"] and eight["checkpoint"] == 4
    assert len(set(eight["examples"])) == 88 and not set(eight["examples"]) & set(seven["examples"])
    for step, reason in (
        (0, "; expected a step from 1 to 8"),
        (4, ": its checkpoints are those of steps 4, 8; expected a step from 5 to 8"),
        (9, "; expected a step from 1 to 8"),
    ):
        with pytest.raises(ValueError, match=f"^step {step} of .* cannot be replayed{reason}"):
            replay(folder, step)
