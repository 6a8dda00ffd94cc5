"""The command prints a step; `tests/runs/saved/test_replay.py` repeats steps."""

import json

from resnet_jax.cli import replay
from resnet_jax.runs.loop import compilation
from resnet_jax.runs.saved import replay as saved

RECORD = {
    "step": 3,
    "checkpoint": 2,
    "loss": 0.5,
    "mae": 2.0,
    "grad_norm": 1.25,
    "examples": [7, 11],
    "names": ["a.png", "b.png"],
    "devices": {"run": 8, "here": 1},
}


def test_a_step_is_printed_with_its_examples_and_a_note_on_other_devices(monkeypatch, capsys):
    monkeypatch.setattr(saved, "replay", lambda run, step: RECORD | {"step": step})
    monkeypatch.setattr(replay, "check_data_exists", lambda run: None)
    monkeypatch.setattr(replay, "metric_titles", lambda run: {"mae": "mean absolute error (MAE)", "r2": "R2"})
    monkeypatch.setattr(compilation, "cache_compilations", lambda: None)
    replay.run(replay.Request("runs/a", 3))
    assert capsys.readouterr().out.splitlines() == [
        "runs/a, step 3, from checkpoint 2: loss 0.5  mean absolute error (MAE) 2.0  gradient norm 1.25",
        "training examples:",
        "       7  a.png",
        "      11  b.png",
        "note: the run had 8 devices, this machine has 1: the numbers may differ from the run's",
    ]
    replay.run(replay.Request("runs/a", 3, json=True))
    assert json.loads(capsys.readouterr().out) == RECORD
    monkeypatch.setattr(saved, "replay", lambda run, step: RECORD | {"loss": float("nan")})
    replay.run(replay.Request("runs/a", 3, json=True))
    assert '"loss": null' in capsys.readouterr().out  # JSON has no NaN
