"""Records of training: each metric divided once, a resumed interval as if it had not been interrupted."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_run import config

from resnet_jax.errors import Diverged
from resnet_jax.metrics.typed import Last, Mean, Sum
from resnet_jax.runs.loop import loop
from resnet_jax.runs.loop.recorder import MetricsRecorder
from resnet_jax.runs.trainer import train


class Trainer:
    """Two steps to a record, four to an epoch."""

    plan = SimpleNamespace(
        config=SimpleNamespace(
            train=SimpleNamespace(log_every_steps=2, steps_per_call=1), data=SimpleNamespace(batch_size=4)
        ),
        steps_per_epoch=4,
    )

    def rate(self, step):
        return 0.1 * step

    def examples(self, step):
        return [4, 2, 7, 1]

    def names(self, step):
        return [f"{index}.png" for index in self.examples(step)]


class Reporter:
    def __init__(self):
        self.records, self.steps, self.lines = {}, [], []

    def advance(self, step): ...

    def sync(self): ...

    def train(self, step, values):
        self.records[step] = {k: v for k, v in values.items() if k not in ("images_per_second", "data_wait")}

    def nonfinite(self, step, examples, names):
        self.steps.append(step)

    def print(self, text):
        self.lines.append(text)


def recorder(start=0, saved=None):
    reporter, checkpoints = Reporter(), SimpleNamespace(latest_step=None)
    return MetricsRecorder(Trainer(), reporter, checkpoints, start, saved or {}), reporter


def step(loss, norm=1.0, pixels=(1.0, 1.0), **others):
    count = jnp.float32(4)
    means = {"loss": Mean(jnp.float32(loss) * 4, count), "grad_norm": Mean(jnp.float32(norm) * 4, count)}
    return {**means, "count": Sum(count), "pixels": Mean(*map(jnp.float32, pixels)), **others}


def test_a_record_has_means_by_their_own_weights_sums_and_newest_values():
    recorded, reporter = recorder()
    recorded.add(1, step(2.0, pixels=(10.0, 10.0), boxes=Sum(jnp.float32(3)), scale=Last(jnp.float32(5))))
    recorded.add(2, step(4.0, pixels=(0.0, 30.0), boxes=Sum(jnp.float32(4)), scale=Last(jnp.float32(6))))
    assert reporter.records == {}  # an interval is read when the next one has ended
    recorded.flush()
    expected = {"epoch": 0.5, "loss": 3.0, "grad_norm": 1.0, "pixels": 0.25, "boxes": 7.0, "scale": 6.0}
    assert reporter.records == {2: expected | {"learning_rate": 0.2}}


def test_an_interval_that_a_checkpoint_interrupts_makes_the_same_record():
    steps = [step(2.0, pixels=(10.0, 10.0)), step(4.0, pixels=(0.0, 30.0))]
    whole, reference = recorder()
    for number, metrics in enumerate(steps, 1):
        whole.add(number, metrics)
    whole.flush()
    interrupted, _ = recorder()
    interrupted.add(1, steps[0])
    saved = interrupted.pause()
    assert saved == {"loss": 8.0, "grad_norm": 4.0, "count": 4.0, "pixels": {"mean": [10.0, 10.0]}}
    resumed, reporter = recorder(1, saved)
    resumed.add(2, steps[1])
    resumed.flush()
    assert reporter.records == reference.records


def skipped_step():
    none = Mean(jnp.float32(0), jnp.float32(0))
    zero, one = Sum(jnp.float32(0)), Sum(jnp.float32(1))
    return {"loss": none, "grad_norm": none, "pixels": none, "count": zero, "skipped": one}


def test_skipped_steps_are_counted_and_have_no_weight():
    recorded, reporter = recorder()
    for number, metrics in enumerate([step(2.0, skipped=Sum(jnp.float32(0))), *(skipped_step() for _ in range(3))], 1):
        recorded.add(number, metrics)
    recorded.flush()
    assert (reporter.records[2]["loss"], reporter.records[2]["skipped"]) == (2.0, 1)
    assert (reporter.records[4]["loss"], reporter.records[4]["pixels"], reporter.records[4]["skipped"]) == (
        None,
        None,
        2,
    )
    assert reporter.steps == [2, 3, 4] and recorded.skipped == 3
    assert (
        "step 2 skipped: its loss or gradient is not finite; training examples 4.png, 2.png, 7.png, ..."
        in reporter.lines
    )


@pytest.mark.parametrize(
    "metrics, problem", [(step(np.nan), "training loss is nan"), (step(1.0, np.inf), "the gradient's norm is inf")]
)
def test_a_step_that_is_not_finite_ends_the_run_with_its_examples(metrics, problem):
    recorded, reporter = recorder()
    recorded.add(1, metrics)
    message = f"{problem} at step 1, learning rate 0.1; training examples 4.png, .*; there is no checkpoint yet"
    with pytest.raises(Diverged, match=message):
        recorded.pause()
    assert reporter.steps == [1]


def test_a_test_that_is_not_finite_is_one_of_the_loss():
    recorded, _ = recorder()
    recorded.check_test(4, {"loss": 1.0, "ema_loss": 1.0, "r2/heat_loss": np.nan})  # R2 of a constant target
    recorded._checkpoints.discard = lambda step: None
    with pytest.raises(Diverged, match="test ema_loss is nan at step 4"):
        recorded.check_test(4, {"loss": 1.0, "ema_loss": np.nan})


@pytest.mark.slow
def test_metrics_are_read_an_interval_late(tmp_path, tfds_dir, monkeypatch):
    """The host asks for the numbers of an interval only when the next one has been sent to the device."""
    events = []
    read, add = loop.MetricsRecorder._read, loop.MetricsRecorder.add

    def noted_add(self, step, metrics, **options):
        events.append(("add", step))
        add(self, step, metrics, **options)

    def noted_read(self, rate):
        events.append(("read", [step for step, *_ in self._ended.unread] if self._ended else []))
        read(self, rate)

    monkeypatch.setattr(loop.MetricsRecorder, "add", noted_add)
    monkeypatch.setattr(loop.MetricsRecorder, "_read", noted_read)
    train(config(tmp_path, tfds_dir, train__eval_every_epochs=2.0))
    assert events.index(("read", [1, 2, 3])) > events.index(("add", 6))


def test_the_steps_of_one_call_are_recorded_as_if_each_had_one():
    """Records end within the calls."""
    steps = [step(float(number)) for number in range(1, 7)]
    alone, reference = recorder()
    for number, metrics in enumerate(steps, 1):
        alone.add(number, metrics)
    together, reporter = recorder()
    for first in (1, 4):
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *steps[first - 1 : first + 2])
        together.add(first, stacked, count=3, compiled=first == 1)
    for one in (alone, together):
        one.flush()
    assert reporter.records == reference.records and list(reporter.records) == [2, 4, 6]
