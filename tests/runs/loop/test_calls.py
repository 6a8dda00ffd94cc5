"""Calls of several steps: which steps they make, what is compiled for them, and that the run is the same."""

import os
import signal
import time
from collections import Counter
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from small_run import config, records, without_clock

from resnet_jax.checkpoints.reader import open_checkpoint, saved_steps
from resnet_jax.distributed.signals import Signals
from resnet_jax.errors import Preempted
from resnet_jax.runs import trainer
from resnet_jax.runs.loop.calls import calls
from resnet_jax.runs.starting.build import Trainer
from resnet_jax.runs.trainer import train


def plan(steps_per_call, every_steps=None, phases=(1,)):
    """Twenty steps, a test after every eight."""
    return SimpleNamespace(
        config=SimpleNamespace(
            train=SimpleNamespace(steps_per_call=steps_per_call), checkpoint=SimpleNamespace(every_steps=every_steps)
        ),
        steps=20,
        eval_every_steps=8,
        phases=[SimpleNamespace(first_step=step) for step in phases],
    )


def lengths(plan, completed=0, shapes=None):
    images = [np.full((1, 1 if shapes is None else shapes[step]), step) for step in range(completed, 20)]
    made = list(calls(({"image": x} for x in images), completed, plan))
    steps = [batch["image"][:, :, 0] if count > 1 else batch["image"][:, :1] for count, batch in made]
    assert np.concatenate(steps, axis=1).tolist() == [list(range(completed, 20))]
    return [count for count, _ in made]


def test_no_call_crosses_a_test_a_save_a_phase_or_the_end():
    assert lengths(plan(1)) == [1] * 20
    assert lengths(plan(8)) == [8, 8, 1, 1, 1, 1]
    assert lengths(plan(3)) == [3, 3, 1, 1, 3, 3, 1, 1, 3, 1]
    assert lengths(plan(3), completed=7) == [1, 3, 3, 1, 1, 3, 1]
    assert lengths(plan(3, every_steps=5)) == [3, 1, 1, 3, 1, 1, 3, 1, 1, 1, 3, 1]
    assert lengths(plan(2, phases=(1, 4)))[:4] == [2, 1, 2, 2]


def test_batches_of_unequal_shapes_have_calls_of_their_own():
    shapes = [1] * 4 + [1, 2, 1, 2] + [2] * 12
    assert lengths(plan(4), shapes=shapes) == [4, 1, 1, 1, 1, 4, 4, 4]


class Listening(Signals):
    """The signals of the newest run."""

    newest: "Listening"

    def __init__(self):
        super().__init__()
        Listening.newest = self


class Terminated(Trainer):
    """Gets SIGTERM, which a thread notices, while it makes steps 5 to 7."""

    def train_steps(self, step, state, batch, count):
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
            while not Listening.newest.number:
                time.sleep(0.001)
        return super().train_steps(step, state, batch, count)


@pytest.mark.slow
def test_a_run_is_the_same_with_any_number_of_steps_per_call(finished, tmp_path, tfds_dir, monkeypatch):
    """Three, until SIGTERM, then two. Each program is compiled once."""
    programs = Counter()

    def count(event, seconds, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            programs[about["fun_name"]] += 1

    jax.monitoring.register_event_duration_secs_listener(count)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "Trainer", Terminated)
        patch.setattr(trainer, "Signals", Listening)
        with pytest.raises(Preempted, match="at step 7"):
            train(config(tmp_path, tfds_dir, train__steps_per_call=3))
    assert saved_steps(tmp_path / "checkpoints") == [4, 7]
    jax.monitoring.unregister_event_duration_listener(count)
    # Steps 1 to 3, and 5 to 7; step 4; the test.
    assert programs["jit(_fun)"] == 3 and programs["jit(initial)"] == 1
    results = train(config(tmp_path, tfds_dir, train__steps_per_call=2))
    folder, straight = finished
    assert results == straight
    assert without_clock(records(tmp_path)) == without_clock(records(folder))
    a, b = open_checkpoint(folder), open_checkpoint(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, a.arrays, b.arrays)
