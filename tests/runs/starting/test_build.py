"""A run plan on its devices: which step runs when, typed metrics of each, and any number of devices."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from small_run import config

from resnet_jax.checkpoints.checksums import named_leaves
from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, TrainConfig
from resnet_jax.distributed.devices import MODES, Parallel
from resnet_jax.metrics.typed import Mean, Sum, results
from resnet_jax.runs.planning.plan import make_plan
from resnet_jax.runs.starting.build import Trainer


@pytest.fixture(scope="module")
def skipnet():
    """A trainer of a small SkipNet with two steps of soft gates."""
    skipnet = Config(
        model=ModelConfig(name="cifar_skipnet38_rnn"),
        data=DataConfig(batch_size=256),
        optim=OptimConfig(warmup_epochs=0.0, gate_penalty=0.1, class_weights="balanced"),
        train=TrainConfig(steps=4, soft_gate_epochs=0.4),
    )
    plan = make_plan(skipnet)
    model = plan.model.clone(stages=tuple(replace(stage, depth=1) for stage in plan.model.stages))
    return Trainer(replace(plan, model=model), Parallel("pmap", devices=jax.devices()[:1]))


def test_steps_belong_to_phases(skipnet):
    assert [phase.first_step for phase in skipnet.plan.phases] == [1, 3]
    assert [skipnet.phase(step) for step in range(1, 6)] == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("mode", MODES)
def test_the_compiled_step_writes_the_new_state_over_the_old_one(mode):
    plan = make_plan(Config(model=ModelConfig(name="cifar_resnet8"), optim=OptimConfig(ema_decay=0.9)))
    model = plan.model.clone(stages=plan.model.stages[:1])
    trainer = Trainer(replace(plan, model=model), Parallel(mode, devices=jax.devices()[:2]))
    state = trainer.parallel.replicate(trainer.fresh())
    batch = trainer.parallel.shard(next(trainer.batches(0)))
    program = trainer.programs(1)[0].lower(state, batch).compile()
    aliases = re.search(r"input_output_alias=\{(.*?) \}", program.as_text())
    assert aliases[1].count("may-alias") + aliases[1].count("must-alias") == len(jax.tree.leaves(state))
    assert program.memory_analysis().alias_size_in_bytes == sum(x.nbytes for x in jax.tree.leaves(state))


def test_names_and_examples_of_a_step_are_those_of_its_batch(skipnet):
    batch = next(skipnet.batches(completed=1))
    examples = skipnet.examples(2)
    assert skipnet.plan.train.labels[examples].tolist() == batch["label"].tolist()
    assert skipnet.names(2) == [skipnet.plan.train.name(index) for index in examples]


@pytest.mark.slow
def test_gates_are_soft_in_the_first_phase_and_then_hard(skipnet):
    """The shares of executed blocks are probabilities, then counts. The penalty and class weights go together."""
    state, executed = skipnet.parallel.replicate(skipnet.fresh()), []
    for step, batch in zip(range(1, 4), skipnet.parallel.prefetch(skipnet.batches(0)), strict=False):
        state, metrics = skipnet.train_step(step, state, batch)
        assert metrics["count"] == Sum(256) and isinstance(metrics["loss"], Mean)
        shares = {name: share for name, share in results(metrics).items() if name.startswith("executed/")}
        executed.append([256 * share for share in shares.values()])
    assert all(len(blocks) == 3 for blocks in executed)
    assert [all(value == round(value) for value in blocks) for blocks in executed] == [False, False, True]
    assert all(0 < value < 256 for value in executed[0])


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
