"""Gradients: norms at initialisation and in training."""

import json

import numpy as np
import pytest
from experiment_runs import check_figures, experiment, records

from resnet_jax.cli.main import main


@pytest.mark.slow
def test_gradients_are_measured_at_first_and_in_training(tmp_path, tfds_dir, capsys):
    options = "--depths 8 --kinds resnet --train.log-every-steps 1".split()
    output = experiment("gradients", tmp_path, tfds_dir, capsys, *options)
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results["initial"]) == {"fan_out", "fan_in", "lecun", "small", "large"}
    steps = [line for line in records(tmp_path / "resnet8") if line["split"] == "train"]
    mean = np.mean([line["parameter_gradient/stage1_block0"] for line in steps])
    assert results["training"]["resnet"]["8"]["first"] == pytest.approx(mean)
    small, large = (results["initial"][way]["resnet"]["8"]["first"] for way in ("small", "large"))
    assert small > 3 * large > 0  # behind norms, a kernel's gradient falls as the kernel grows
    assert "in training" in output
    check_figures(tmp_path, "first_block", "flow_resnet8")
    main(["plot", str(tmp_path / "resnet8"), "--gradients", "--out", str(tmp_path / "again")])
    check_figures(tmp_path, "again")
