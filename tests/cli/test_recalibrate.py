"""resnet-jax recalibrate."""

import json
from pathlib import Path

import pytest
from command_line import mistake, output


@pytest.mark.slow
def test_recalibrate_writes_a_run_of_its_own(trained, capsys):
    before = json.loads(output(capsys, "eval", trained, "--json"))
    result = json.loads(output(capsys, "recalibrate", trained, "--json"))
    assert result["before"]["loss"] == pytest.approx(before["loss"], rel=1e-5) and result["images"] == 64
    after = json.loads(output(capsys, "eval", result["out"], "--json"))
    assert after["loss"] == pytest.approx(result["after"]["loss"], rel=1e-5) != before["loss"]
    assert output(capsys, "eval", trained, "--json") == json.dumps(before) + "\n"
    assert "expected an empty or new directory" in mistake(capsys, "recalibrate", trained)
    new = Path(result["out"])
    assert [path.name for path in new.parent.glob(f"{new.name}*")] == [new.name]  # what it was made in is gone
    assert json.loads((new / "metrics.jsonl").read_text())["loss"] == result["after"]["loss"]
    assert "expected --batches from 1 to" in mistake(capsys, "recalibrate", trained, "--batches", "0")
