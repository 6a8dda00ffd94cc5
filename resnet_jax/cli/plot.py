"""resnet-jax plot: curves of runs, or the gradients of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resnet_jax.cli.shared import Run
from resnet_jax.config import Place, argument, option

if TYPE_CHECKING:
    from resnet_jax.analysis.curves import Curve


@dataclass(frozen=True)
class Request:
    """Draw loss and the task's first metric, such as top-1, of runs, overlaid; or the gradients that one recorded."""

    runs: tuple[Run, ...] = argument("folders of runs")
    out: Place | None = option(
        None, "writes PATH.png and PATH.svg", none="RUN/curves or RUN/gradients, of several runs ./curves-A-B"
    )
    x: Literal["epochs", "steps"] | None = option(
        None, "what the x axis counts", none="epochs, where every record has them"
    )
    gradients: bool = option(False, "draw the gradients of one run with train.gradient_flow, by blocks and steps")


def run(request: Request) -> None:
    from resnet_jax.analysis.comparison import title_and_labels
    from resnet_jax.analysis.curve_plots import draw_curves
    from resnet_jax.analysis.curves import read_curves
    from resnet_jax.analysis.flow import read_flow
    from resnet_jax.analysis.plots import draw_flow
    from resnet_jax.runs.saved.evaluation_files import joined_name

    if request.gradients and len(request.runs) != 1:
        raise ValueError(f"--gradients: expected one run, got {len(request.runs)}")
    if request.gradients and request.x == "epochs":
        raise ValueError("--x epochs is not for --gradients, which draws steps")
    kind = "gradients" if request.gradients else "curves"
    flow = read_flow(request.runs[0]) if request.gradients else None
    curves = read_curves(request.runs)
    several = f"{kind}-{joined_name(curve.label for curve in curves)}"
    out = request.out or (Path(request.runs[0]) / kind if len(curves) == 1 else several)
    try:
        if flow is None:
            metric, title = _metric(curves[0])
            paths = draw_curves(curves, out, x=request.x, metric=metric, metric_title=title)
        else:
            paths = draw_flow(flow, out, title_and_labels(curves)[0])
    except OSError as error:
        raise ValueError(f"{out} cannot be written: {error.strerror}; --out names another place") from None
    for path in paths:
        print(path)


def _metric(curve: Curve) -> tuple[str | None, str | None]:
    """The first measure of the run's task and its title; (None, None) for a task of your own, which records others."""
    from resnet_jax.tasks import TASKS

    task = TASKS.get(curve.task)
    name = None if task is None else next(iter(task.measures))
    if task is None or name is None or name not in curve.metrics["test"]:
        return None, None
    return name, task.titles.get(name)
