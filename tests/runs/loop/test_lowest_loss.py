"""A run whose rate and whose weights are decided by the training loss: interrupted, it ends with the same bits."""

import jax
import numpy as np
import pytest
from small_run import config, records, without_clock

from resnet_jax import load_checkpoint
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.errors import DataError
from resnet_jax.runs import trainer
from resnet_jax.runs.saved.replay import replay
from resnet_jax.runs.starting.build import Trainer
from resnet_jax.runs.trainer import train

RATE = 1e-6  # so low that chance decides which epoch has the lowest loss
OPTIONS = {
    "optim__schedule": "plateau",
    "optim__peak_lr": RATE,
    "optim__final_lr": 0.4 * RATE,
    "optim__decay_factor": 0.5,
    "optim__plateau_epochs": 1,
    "optim__plateau_delta": 10.0,  # no epoch after the first one is lower by that
    "optim__warmup_epochs": 0.0,
    "optim__keep_lowest": True,
    "train__epochs": 4.0,
    "train__eval_every_epochs": 4.0,
    "train__log_every_steps": 4,  # an epoch
}


class Failing(Trainer):
    """An image cannot be read in step 7, in the middle of the second epoch."""

    def train_step(self, step, state, batch):
        if step == 7:
            raise DataError("image 3 cannot be read")
        return super().train_step(step, state, batch)


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_same_rates_and_weights(tmp_path, tfds_dir, monkeypatch, capsys):
    straight, interrupted = tmp_path / "straight", tmp_path / "interrupted"
    results = train(config(straight, tfds_dir, **OPTIONS))
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "Trainer", Failing)
        with pytest.raises(DataError, match="image 3"):
            train(config(interrupted, tfds_dir, **OPTIONS))
    assert open_checkpoint(interrupted).step == 6
    assert train(config(interrupted, tfds_dir, **OPTIONS)) == results
    a, b = open_checkpoint(straight), open_checkpoint(interrupted)
    jax.tree.map(np.testing.assert_array_equal, a.arrays, b.arrays)
    assert without_clock(records(straight)) == without_clock(records(interrupted))
    assert "--optim.keep-lowest: tests and commands take" in capsys.readouterr().out
    epochs = records(straight, "train")
    rates = [record["learning_rate"] for record in epochs]
    np.testing.assert_allclose(rates, RATE * np.array([1, 1, 0.5, 0.4]), rtol=1e-5)

    # The weights of the lowest epoch are those of a run that ends with it, and are what is tested and loaded.
    losses = [record["loss"] for record in epochs]
    lowest = int(np.argmin(losses)) + 1
    assert lowest < 4 and a.arrays["lowest"]["step"] == 4 * lowest
    assert float(a.arrays["lowest"]["loss"]) == pytest.approx(losses[lowest - 1], rel=1e-6)
    shorter = tmp_path / "shorter"
    assert train(config(shorter, tfds_dir, **OPTIONS | {"train__epochs": float(lowest)})) == results
    latest = open_checkpoint(shorter).arrays
    loaded = load_checkpoint(straight).variables
    for collection in ("params", "batch_stats"):
        jax.tree.map(np.testing.assert_array_equal, a.arrays["lowest"][collection], latest[collection])
        jax.tree.map(np.testing.assert_array_equal, loaded[collection], latest[collection])
    assert any(jax.tree.leaves(jax.tree.map(lambda x, y: (x != y).any(), a.arrays["params"], latest["params"])))
    repeated = replay(interrupted, 16)
    assert repeated["learning_rate"] == rates[3]
