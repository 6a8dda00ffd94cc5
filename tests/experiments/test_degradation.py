"""Degradation: the runs, their results and figures."""

import json
import re

import pytest
from experiment_runs import FEW, check_figures, experiment, records

from resnet_jax.cli.main import main


@pytest.mark.slow
def test_degradation_trains_once_and_draws_again(tmp_path, tfds_dir, capsys):
    options = "--depths 8 --kinds resnet --seeds 0 1 --train.log-every-steps 2".split()
    output = experiment("degradation", tmp_path, tfds_dir, capsys, *options)
    results = json.loads((tmp_path / "results.json").read_text())
    for run in results["runs"]:
        last = [line for line in records(tmp_path / f"resnet8_seed{run['seed']}") if line["split"] == "train"][-1]
        assert (
            last["step"] == 34 and run["test_error"] == 1 - records(tmp_path / f"resnet8_seed{run['seed']}")[-1]["top1"]
        )
    assert [run["seed"] for run in results["runs"]] == [0, 1] and len(results["responses"]["resnet-8"]) == 6
    assert "residual, 8 " in output and str(tmp_path / "errors.png") in output
    check_figures(tmp_path, "errors", "responses")
    (tmp_path / "errors.png").unlink()
    again = experiment("degradation", tmp_path, tfds_dir, capsys, "--draw-only")
    assert "finished" not in again and (tmp_path / "errors.png").exists()


@pytest.mark.slow
def test_a_diverged_run_is_reported_and_the_others_continue(tmp_path, tfds_dir, capsys):
    options = "--depths 8 --kinds resnet --optim.peak-lr 1e30 --data.train-split train[:10%]".split()
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["experiment", "degradation", "--workdir", str(tmp_path), "--data.data-dir", tfds_dir, *FEW, *options])
    out, error = capsys.readouterr()
    assert "diverged: " in out and re.search(r"residual, 8 +diverged\n", out) and "every run in" in error
    assert json.loads((tmp_path / "results.json").read_text())["runs"][0]["train_error"] is None
    with pytest.raises(SystemExit):
        main(["experiment", "gradients", "--workdir", str(tmp_path)])
    assert (
        "results.json holds results of the experiment degradation; choose another --workdir" in capsys.readouterr().err
    )
