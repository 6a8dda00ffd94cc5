from types import SimpleNamespace
from typing import Any

from resnet_jax.training import loop
from resnet_jax.training.numerics import NUMERICS, numerics_note


def test_a_checkpoint_of_other_arithmetic_is_told_once(monkeypatch):
    (note,) = numerics_note({})
    assert note.startswith("the last digits differ from those of version 0.1.0, which wrote the checkpoint: batch var")
    assert numerics_note({"numerics": NUMERICS}) == []
    monkeypatch.setattr(loop, "data_changes", lambda *_: ([], []))
    run: Any = SimpleNamespace(_plan=SimpleNamespace(record=None), _folder=None, _parallel=SimpleNamespace(devices=[0]))
    assert note in loop._Run._changes(run, {"devices": 1})
    assert note not in loop._Run._changes(run, {"devices": 1, "numerics": NUMERICS})
