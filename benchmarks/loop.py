"""Times the training loop of a run beside its bare steps, and several steps per call beside one.

    python benchmarks/loop.py [--model cifar_resnet20 --batch-size 128] [--steps 440] [--steps-per-call 1 8]

Without options it is the default run: its steps are timed alone, on batches that are on the device already, and then
in `train`, with records, TensorBoard's files, a save in the middle and one at the end, from the end of the first call
to the end of the last save, without the test. `writes` is the share of that time in functions that write or wait for a
save. Both take turns, for `--rounds`. Prints one JSON line for each number of steps per call: milliseconds per step
and the ratio, medians of the rounds with the lowest and highest, and the ratio of the lowest times, which a machine
whose speed drifts changes least. Two minutes on two cores; for any device.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import jax
from turns import machine, net_case

from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.config import CheckpointConfig, Config, DataConfig, ModelConfig, OptimConfig, TrainConfig
from resnet_jax.distributed.devices import Parallel
from resnet_jax.runs.loop.calls import calls
from resnet_jax.runs.loop.loop import TrainingLoop
from resnet_jax.runs.loop.recorder import AHEAD
from resnet_jax.runs.loop.reporter import RunReporter
from resnet_jax.runs.planning.plan import make_plan
from resnet_jax.runs.starting.build import Trainer
from resnet_jax.runs.trainer import train

WRITING = ((RunReporter, "train"), (RunReporter, "sync"), (TrainingLoop, "_save"), (Checkpoints, "wait"))
BATCHES = 4  # on the device, for the bare steps


def config_of(options: argparse.Namespace, steps_per_call: int) -> Config:
    """The default run, of other length, net or batch size, with one save before the last one."""
    if options.steps % 2 or options.steps // 2 % steps_per_call:
        raise SystemExit(f"expected --steps that twice {steps_per_call} divides, got {options.steps}")
    default = Config()
    return replace(
        default,
        model=ModelConfig(name=options.model),
        data=DataConfig(batch_size=options.batch_size),
        optim=OptimConfig(warmup_epochs=0.0),
        train=TrainConfig(steps=options.steps, eval_every_epochs=1e6, steps_per_call=steps_per_call),
        checkpoint=CheckpointConfig(every_steps=options.steps // 2),
    )


class BareSteps:
    """The compiled steps of a run with nothing around them."""

    def __init__(self, config: Config) -> None:
        self.count, self.steps = config.train.steps_per_call, config.train.steps or 0
        self.trainer = Trainer(make_plan(config), Parallel(config.train.parallel))
        host = calls(self.trainer.batches(0), 0, self.trainer.plan)
        self.batches = [self.trainer.parallel.shard(batch) for _, batch in itertools.islice(host, BATCHES)]
        self.state = self.trainer.parallel.replicate(self.trainer.fresh())
        self.seconds(2 * self.count)

    def seconds(self, steps: int | None = None) -> float:
        """Of one step, over a run; as many calls are under way as in the loop."""
        running: deque[Any] = deque()
        batches, steps = itertools.cycle(self.batches), steps or self.steps
        start = time.perf_counter()
        for step in range(1, steps + 1, self.count):
            if len(running) == AHEAD:
                jax.block_until_ready(running.popleft())
            self.state, metrics = self.trainer.train_steps(step, self.state, next(batches), self.count)
            running.append(metrics)
        jax.block_until_ready(self.state)
        return (time.perf_counter() - start) / steps


class Clock:
    """Seconds in functions that are watched, calls inside calls once, and the end of the first call of the steps."""

    def __init__(self) -> None:
        self.first_end, self.seconds, self.depth = 0.0, {"test": 0.0, "writes": 0.0}, 0

    def watch(self, owner: Any, name: str, label: str) -> Any:
        inner: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **keywords: Any) -> Any:
            if owner is TrainingLoop:  # steps that still run are no part of a save
                jax.block_until_ready(args[0]._state)
            start, self.depth = time.perf_counter(), self.depth + 1
            try:
                return inner(*args, **keywords)
            finally:
                self.depth -= 1
                if not self.depth:
                    self.seconds[label] += time.perf_counter() - start

        return mock.patch.object(owner, name, timed)

    def watch_first(self) -> Any:
        inner = TrainingLoop._make_steps

        def make_steps(loop: TrainingLoop, count: int, batch: Any) -> None:
            inner(loop, count, batch)
            self.first_end = self.first_end or time.perf_counter()

        return mock.patch.object(TrainingLoop, "_make_steps", make_steps)


@contextmanager
def watched() -> Iterator[Clock]:
    clock = Clock()
    with ExitStack() as stack:
        for owner, name in WRITING:
            stack.enter_context(clock.watch(owner, name, "writes"))
        stack.enter_context(clock.watch(Trainer, "test", "test"))
        stack.enter_context(clock.watch_first())
        yield clock


def loop_seconds(config: Config) -> tuple[float, float]:
    """Seconds of a step in a whole run, and the share of writing."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()), watched() as clock:
        train(replace(config, workdir=str(Path(folder) / "run")))
        seconds = time.perf_counter() - clock.first_end - clock.seconds["test"]
    steps = (config.train.steps or 0) - config.train.steps_per_call
    return seconds / steps, clock.seconds["writes"] / seconds


def summary(name: str, values: list[float], digits: int) -> dict[str, Any]:
    lowest, highest = round(min(values), digits), round(max(values), digits)
    return {name: round(statistics.median(values), digits), f"{name}_range": [lowest, highest]}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=net_case, default=Config().model.name)
    parser.add_argument("--batch-size", type=int, default=Config().data.batch_size)
    parser.add_argument("--steps", type=int, default=440, help="length of the run")
    parser.add_argument("--steps-per-call", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    configs = {count: config_of(options, count) for count in options.steps_per_call}
    bare = {count: BareSteps(config) for count, config in configs.items()}
    times: dict[int, list[tuple[float, float, float]]] = {count: [] for count in configs}
    for _ in range(options.rounds):
        for count, config in configs.items():
            times[count].append((bare[count].seconds(), *loop_seconds(config)))
    about = {"jax": jax.__version__, "device": jax.devices()[0].device_kind} | machine()
    for count, rounds in times.items():
        alone, inside, writes = map(list, zip(*rounds, strict=True))
        ratios = [b / a for a, b in zip(alone, inside, strict=True)]
        record: dict[str, Any] = {"net": options.model, "batch": options.batch_size, "steps": options.steps}
        record |= {"steps_per_call": count}
        record |= summary("bare_ms", [1000 * x for x in alone], 3) | summary("loop_ms", [1000 * x for x in inside], 3)
        record |= summary("ratio", ratios, 4) | {"ratio_of_lowest": round(min(inside) / min(alone), 4)}
        record |= {"writes": round(statistics.median(writes), 4)}
        print(json.dumps(record | about))


if __name__ == "__main__":
    main()
