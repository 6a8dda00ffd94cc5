"""The trainer of a plan: phases of a net, and any number of devices."""

import dataclasses

import jax
import numpy as np
import pytest
from small_run import config

from resnet_jax.checkpoints.checksums import named_leaves
from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.distributed.devices import Parallel
from resnet_jax.runs.planning.plan import make_plan
from resnet_jax.runs.starting.build import Trainer


@pytest.mark.slow
def test_gates_are_soft_for_the_configured_epochs_and_then_hard(tmp_path, tfds_dir):
    """The shares of blocks that are run are probabilities, then counts."""
    plan = make_plan(
        config(
            tmp_path,
            tfds_dir,
            model__name="cifar_skipnet38_rnn",
            train__soft_gate_epochs=0.5,
            optim__gate_penalty=0.1,
            train__log_every_steps=2,
        )
    )
    assert [phase.first_step for phase in plan.phases] == [1, 3]
    small = plan.model.clone(stages=tuple(dataclasses.replace(stage, depth=1) for stage in plan.model.stages))
    trainer = Trainer(dataclasses.replace(plan, model=small), Parallel("pmap", devices=jax.devices()[:1]))
    state = trainer.parallel.replicate(trainer.fresh())
    executed = []
    for step, batch in zip(range(1, 4), trainer.parallel.prefetch(trainer.batches(0)), strict=False):
        state, sums = trainer.train_step(step, state, batch)
        executed.append({name: float(value) for name, value in sums.items() if name.startswith("executed/")})
    assert all(len(blocks) == 3 for blocks in executed)
    whole = [all(value == round(value) for value in blocks.values()) for blocks in executed]
    assert whole == [False, False, True]
    assert all(0 < value < 88 for value in executed[0].values())


@pytest.mark.slow
def test_eight_devices_four_two_and_one_compute_one_run(tmp_path, tfds_dir):
    """A step on each, saved and restored in between, pmap and shard_map in turn, against the same steps on eight."""
    plan = make_plan(
        config(
            tmp_path,
            tfds_dir,
            model__drop_path=0.1,
            model__drop_rate=0.1,
            data__mixup=0.2,
            data__batch_size=80,
            optim__ema_decay=0.9,
        )
    )

    def trainer(devices, mode):
        return Trainer(plan, Parallel(mode, devices=jax.devices()[:devices]))

    eight = trainer(8, "pmap")
    state = like = jax.device_get(eight.fresh())
    straight = eight.parallel.replicate(state)
    for step, batch in zip(range(1, 6), eight.parallel.prefetch(eight.batches(0)), strict=False):
        straight, _ = eight.train_step(step, straight, batch)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        others = [trainer(4, "shard_map"), trainer(2, "pmap"), trainer(1, "shard_map"), trainer(8, "shard_map")]
        for step, on in enumerate([eight, *others], 1):
            batch = on.parallel.shard(next(on.batches(step - 1)))
            moved, _ = on.train_step(step, on.parallel.replicate(state), batch)
            checkpoints.save(step, moved, {"model": {}, "classes": [], "preprocess": {}})
            checkpoints.wait()
            state = open_checkpoint(tmp_path, step).state(like)
    assert int(state.step) == int(straight.step) == 5
    for (name, a), (_, b) in zip(named_leaves(state), named_leaves(straight), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5, err_msg=name)
