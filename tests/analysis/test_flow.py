"""Gradient norms by block, read from the records of a run."""

import json

import numpy as np
import pytest

from resnet_jax.analysis.flow import read_flow


def record(step, scale):
    names = ("stem", "stage1_block0", "stage1_block1", "stage1_block2", "stage1_block10")
    values = {f"activation_gradient/{name}": scale * i for i, name in enumerate(names)}
    values |= {f"parameter_gradient/{name}": 2 * scale * i for i, name in enumerate((*names, "head"))}
    return {"step": step, "split": "train", "loss": 1.0, "top1": 0.5, **dict(sorted(values.items()))}


def test_recorded_gradients_are_in_the_order_of_the_net(tmp_path):
    tested = {"step": 10, "split": "test", "loss": 1.0, "top1": 0.5}
    lines = [record(10, 1.0), tested, record(20, 3.0)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 40, "spl')
    flow = read_flow(tmp_path)
    assert flow.outputs == ("stem", "stage1_block0", "stage1_block1", "stage1_block2", "stage1_block10")
    assert flow.parts == (*flow.outputs, "head")
    np.testing.assert_array_equal(flow.steps, [10, 20])
    np.testing.assert_array_equal(flow.activations, np.outer([1, 3], range(5)))
    np.testing.assert_array_equal(flow.parameters, np.outer([2, 6], range(6)))


def test_a_run_without_gradients_raises(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no metrics.jsonl in .*; expected a run directory"):
        read_flow(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "split": "train", "loss": 1.0, "top1": 0.5}\n')
    with pytest.raises(ValueError, match="has no gradients by block; train with --train.gradient-flow"):
        read_flow(tmp_path)
