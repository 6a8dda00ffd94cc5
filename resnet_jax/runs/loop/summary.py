"""Text at the end of a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from resnet_jax.checkpoints.best import BestTest
from resnet_jax.runs.planning.messages import next_commands
from resnet_jax.runs.planning.plan import RunPlan
from resnet_jax.tasks import Task
from resnet_jax.text import decimals


def finished_line(plan: RunPlan, completed: int, results: Mapping[str, float]) -> str:
    """Results of a run that had nothing left to do, and how to train it longer."""
    options = ["another --workdir starts a new run"]
    if completed < plan.steps:
        options.append("a larger --train.patience resumes it")
    else:
        option = "--train.epochs" if plan.config.train.steps is None else "--train.steps"
        config = f"--config {shlex.quote(plan.config.workdir)}"
        options.append(f"{config} with a larger {option} and --resume.allow-changes trains it longer")
    return f"this run is finished: {format_results(plan.task, results)}; {', '.join(options)}"


def summary_lines(
    plan: RunPlan, completed: int, results: Mapping[str, float], best: BestTest, *, skipped: int, elapsed: str
) -> list[str]:
    """The best test if it was not the last one, the results of the last test, and the next commands.

    Args:
      completed: steps of the run.
      skipped: updates that were skipped since this start.
      elapsed: time since this start, as text.
    """
    lines = []
    described_best = "" if best.value is None else f"{metric_title(plan.task, best.measure.name)} {best.value:.4f}"
    at_best = f"the best: {described_best} at step {best.step}"
    is_best_earlier = best.value is not None and best.step != completed
    if completed < plan.steps:
        tests = f"{best.tests_since} tests without a better result (--train.patience)"
        lines.append(f"stopped early at step {completed}, after {tests}; {at_best}")
    elif is_best_earlier:
        lines.append(at_best)
    updates = f"; {skipped} updates skipped" if skipped else ""
    step, pairs = "best" if is_best_earlier else "latest", plan.task.label_kind == "caption"
    following = next_commands(plan.config.workdir, step, plan.nouns[0], pairs=pairs)
    return [*lines, f"done in {elapsed}: {format_results(plan.task, results)}{updates}; next: {following}"]


def metric_title(task: Task, name: str) -> str:
    """The name of a metric for people."""
    if name.startswith("ema_"):
        return f"averaged weights' {metric_title(task, name.removeprefix('ema_'))}"
    return {**task.titles, **task.eval_titles}.get(name, name)


def format_results(task: Task, results: Mapping[str, float]) -> str:
    """ "test top-1 0.9876, loss 0.1234 (averaged weights: 0.9889, 0.1200)", without the titles of `eval` alone."""
    of_eval = task.eval_titles.keys() - task.titles.keys()
    names = [name for name in task.measures if name in results and name not in of_eval]
    numbers = ", ".join(f"{metric_title(task, name)} {decimals(results[name])}" for name in names)
    averages = [decimals(results[f"ema_{name}"]) for name in names if f"ema_{name}" in results]
    averaged = f" (averaged weights: {', '.join(averages)})" if averages else ""
    return f"test {numbers}{averaged}"
