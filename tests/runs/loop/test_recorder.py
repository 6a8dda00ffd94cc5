"""The recorder reads the metrics of an interval while the next one is computed."""

import pytest
from small_run import config

from resnet_jax.runs.loop import loop
from resnet_jax.runs.trainer import train


@pytest.mark.slow
def test_metrics_are_read_an_interval_late(tmp_path, tfds_dir, monkeypatch):
    """The host asks for the numbers of an interval only when the next one has been sent to the device."""
    events = []
    read, add = loop.MetricsRecorder._read, loop.MetricsRecorder.add

    def noted_add(self, step, sums):
        events.append(("add", step))
        add(self, step, sums)

    def noted_read(self, rate):
        events.append(("read", [step for step, _ in self._ended.unread] if self._ended else []))
        read(self, rate)

    monkeypatch.setattr(loop.MetricsRecorder, "add", noted_add)
    monkeypatch.setattr(loop.MetricsRecorder, "_read", noted_read)
    train(config(tmp_path, tfds_dir, train__eval_every_epochs=2.0))
    assert events.index(("read", [1, 2, 3])) > events.index(("add", 6))
