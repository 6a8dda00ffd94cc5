"""A run plan on its devices: compiled steps, batches and the initial state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.distributed.devices import Parallel
from resnet_jax.evaluation.evaluate import evaluate
from resnet_jax.evaluation.examples import SHOWN, Example, FirstExamples, draw_examples
from resnet_jax.metrics.evaluator import Evaluator
from resnet_jax.metrics.typed import Metric
from resnet_jax.models.initializers import with_kernels
from resnet_jax.ops import lowering_for
from resnet_jax.runs.planning.checks import eval_batch_size, input_struct
from resnet_jax.runs.planning.datasets import make_augmentation
from resnet_jax.runs.planning.optimizer import frozen, make_optimizer, plateau_rule
from resnet_jax.runs.planning.plan import RunPlan
from resnet_jax.runs.planning.sequence_data import make_sequence_augmentation
from resnet_jax.training.core import TypedStep, forward_step
from resnet_jax.training.lowest import keeping_lowest, with_lowest
from resnet_jax.training.plateau import reduced_on_plateau
from resnet_jax.training.several import several_steps
from resnet_jax.training.state import TrainState
from resnet_jax.training.step import make_step
from resnet_jax.types import Batch, Preprocess, Variables

F = TypeVar("F", bound=Callable[..., Any])


class Trainer:
    """Trains and tests what a run plan describes; the loop, `replay` and `recalibrate` call it."""

    def __init__(self, plan: RunPlan, parallel: Parallel) -> None:
        self.plan, self.parallel = plan, parallel
        config = plan.config
        if isinstance(plan.preprocess, Preprocess):
            kind = plan.task.label_kind
            self.augment = make_augmentation(config.data, plan.preprocess, len(plan.train.classes), kind)
        else:
            self.augment = make_sequence_augmentation(config.data, plan.preprocess, len(plan.train.classes))
        is_frozen = frozen(config.optim, plan.model)
        self._tx = make_optimizer(config.optim, plan.schedule, is_frozen)
        compose = partial(
            make_step,
            tx=self._tx,
            objective=plan.task.objective,
            augment=self.augment,
            accumulate=config.optim.accumulate,
            ema_decay=config.optim.ema_decay,
            skip_nonfinite=config.train.nonfinite == "skip",
            frozen=is_frozen,
            gradient_flow=config.train.gradient_flow,
            compares_examples=plan.task.compares_examples,
            constraint=plan.task.constrain,
        )
        steps = [self._for_devices(watching_loss(compose(phase.model), plan)) for phase in plan.phases]
        self._steps: list[TypedStep] = [parallel.map(step, donate_state=True) for step in steps]
        self._several: list[TypedStep] = [
            parallel.map(self._for_devices(several_steps(step)), donate_state=True) for step in steps
        ]
        forward = forward_step(plan.model, plan.task.predict_batch, takes_batch=True, prepare=plan.preprocess)
        self._eval_step = parallel.map(self._for_devices(forward))
        self.evaluator: Evaluator | None = None  # of the last test, with the raw weights
        self._examples: list[Example] = []  # of the same test, with their predictions
        self._rate = jax.jit(plan.schedule)
        self._order = plan.train.order(config.train.seed, config.data.batch_size)

    def train_step(self, step: int, state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Metric]]:
        """The state after `step` (1, 2, ...), and the step's metrics."""
        return self.programs(step)[0](state, batch)

    def train_steps(
        self, step: int, state: TrainState, batch: Batch, count: int
    ) -> tuple[TrainState, dict[str, Metric]]:
        """The state after `step` and the `count` - 1 that follow it in its phase, and their metrics.

        The arrays of several batches are [N, count, ...] before `shard`, and those of their metrics [count].
        """
        return self.train_step(step, state, batch) if count == 1 else self.programs(step)[1](state, batch)

    def programs(self, step: int) -> tuple[Any, Any]:
        """The compiled functions that make `step`: alone, and with those that follow it."""
        phase = self.phase(step)
        return self._steps[phase], self._several[phase]

    def _for_devices(self, function: F) -> F:
        """`function`, traced for the platform of the devices alone."""
        return lowering_for(self.parallel.devices[0].platform)(function)

    def phase(self, step: int) -> int:
        """The number of the phase that `step` belongs to; each has programs of its own."""
        return [phase.first_step <= step for phase in self.plan.phases].count(True) - 1

    @jax.transfer_guard("allow")  # for users who forbid implicit transfers in the loop
    def fresh(self, start: Variables | None = None) -> TrainState:
        """The state before the first step, with the weights of `start` where it has them."""
        config, sample = self.plan.config, input_struct(self.plan.train, 1)
        key, ema = jax.random.key(config.train.seed), config.optim.ema_decay is not None
        model = with_kernels(self.plan.model, config.init.kernels)
        state = self._for_devices(TrainState.create)(model, self._tx, key, sample, ema=ema)
        if start is not None:
            variables = overlay(state.variables, start)
            state = TrainState.from_variables(variables, self._tx, state.key, ema=ema)
        return with_lowest(state) if config.optim.keep_lowest else state

    def batches(self, completed: int) -> Iterator[Batch]:
        """This process's share of the batches of steps `completed` + 1, ..., on the host."""
        config = self.plan.config
        return self.plan.train.batches(
            config.train.seed, completed, batch_size=config.data.batch_size, share=self.parallel.share
        )

    def rate(self, step: int) -> float:
        """The learning rate of `step` (1, 2, ...)."""
        return float(jax.device_get(self._rate(jax.device_put(step - 1))))

    def examples(self, step: int) -> list[int]:
        """Indices of the training examples in the global batch of `step` (1, 2, ...)."""
        index = self._order.batch(step - 1)
        return index[index >= 0].tolist()

    def names(self, step: int) -> list[str]:
        """Names of these examples: paths, or positions in files."""
        return [self.plan.train.name(i) for i in self.examples(step)]

    def test(self, state: TrainState, stop: Callable[[], bool] = lambda: False) -> dict[str, float]:
        """Metrics over the test images, and those of averaged weights, if any, as "ema_loss", ...

        With `optim.keep_lowest` the weights of the lowest training loss are tested in place of the latest.
        """
        run = partial(
            evaluate,
            self._eval_step,
            loader=self.plan.test,
            batch_size=eval_batch_size(self.plan.config),
            parallel=self.parallel,
            stop=stop,
        )
        task = self.plan.task.for_examples(self.plan.test.examples)
        evaluator = task.evaluator()
        first = FirstExamples(evaluator, SHOWN if isinstance(self.plan.test, DenseLoader) else 0)
        results = run(state.selected, evaluator=first)
        self.evaluator, self._examples = evaluator, first.examples
        if state.ema:
            averaged = run(state.averaged, evaluator=task.evaluator())
            results |= {f"ema_{name}": value for name, value in averaged.items() if name != "images"}
        return results

    def draw_examples(self) -> np.ndarray | None:
        """Predictions of the last test beside the truth: uint8 [H, W, 3]; None for labels that have no place."""
        loader = self.plan.test
        return draw_examples(self.plan.task, loader, self._examples) if isinstance(loader, DenseLoader) else None


def watching_loss(step: TypedStep, plan: RunPlan) -> TypedStep:
    """`step` with what the config decides by the training loss of each epoch: the rate, and the weights to keep."""
    rule, steps_per_epoch = plateau_rule(plan.config.optim, plan.config.data.batch_size), plan.steps_per_epoch
    if rule is not None:
        step = reduced_on_plateau(step, rule, plan.schedule, steps_per_epoch)
    return keeping_lowest(step, steps_per_epoch) if plan.config.optim.keep_lowest else step


def overlay(initial: Variables, start: Variables) -> Variables:
    """`initial` variables, replaced by those of `start` where it has them."""
    return unflatten_dict({**flatten_dict(initial), **flatten_dict(start)})
