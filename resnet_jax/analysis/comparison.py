"""Curves of several runs side by side: what they have in common, and the numbers to draw."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import numpy as np

from resnet_jax.analysis.curves import Curve
from resnet_jax.analysis.figures import shorten

Progress = Literal["epochs", "steps"]
Points = tuple[np.ndarray, np.ndarray]  # xs, ys


def common_metric(curves: Sequence[Curve], metric: str | None) -> str | None:
    """`metric` (None: top1, else the first one), if all curves with metrics have it; None before any is recorded.

    Raises:
      ValueError: a curve has others.
    """
    for curve in curves:
        names = list(curve.metrics["test"])
        if names and metric is None:
            metric = "top1" if "top1" in names else names[0]
        if names and metric not in names:
            raise ValueError(f"expected runs with the metric {metric}, got {curve.label}, which has {', '.join(names)}")
    return metric if any(curve.metrics["test"] for curve in curves) else None


def common_progress(curves: Sequence[Curve], x: Progress | None) -> Progress:
    """The unit of the x axis, `x`; None: epochs if every record has them, else steps.

    Raises:
      ValueError: epochs, and a record has none.
    """
    lacking = [curve.label for curve in curves if not curve.has_epochs]
    if x == "epochs" and lacking:
        raise ValueError(f"--x epochs: the records of {lacking[0]} have no epochs; expected --x steps")
    return x or ("steps" if lacking else "epochs")


def common_chance(curves: Sequence[Curve]) -> float | None:
    """Top-1 of guessing; None for runs with other numbers of classes, or unknown ones."""
    counts = {curve.classes for curve in curves}
    return 1 / count if len(counts) == 1 and (count := counts.pop()) else None


def title_and_labels(curves: Sequence[Curve]) -> tuple[str, list[str]]:
    """Title for all curves, and a label for each with its net and data where they differ."""
    nets, sets = {curve.net for curve in curves}, {curve.data for curve in curves}
    common = " on ".join(name for names in (nets, sets) if len(names) == 1 for name in names if name)
    details = [[curve.net] * (len(nets) > 1) + [curve.data] * (len(sets) > 1) for curve in curves]
    labels = [
        f"{curve.label} ({', '.join(filter(None, names))})" if any(names) else curve.label
        for curve, names in zip(curves, details, strict=True)
    ]
    if len(curves) == 1:
        return f"{shorten(curves[0].label, 60)}{f': {common}' if common else ''}", labels
    return common or f"{len(curves)} runs", labels


def points(curve: Curve, split: str, x: Progress, name: str) -> Points:
    """The loss or a metric of a split; empty where no record has it."""
    xs = curve.progress(split, x)
    if name == "loss":
        ys: np.ndarray = getattr(curve, f"{split}_loss")
    else:
        ys = curve.metrics[split].get(name, np.full(len(xs), np.nan))
    return (xs, ys) if np.isfinite(ys).any() else (xs[:0], ys[:0])


def mean_error(curves: Sequence[Curve], split: str) -> Points:
    """Top-1 error in per cent against epochs: the mean over the curves, where all of them have a record."""
    xs = [curve.progress(split, "epochs") for curve in curves]
    errors = [100 * (1 - curve.metrics[split]["top1"]) for curve in curves]
    common = reduce(np.intersect1d, xs)
    return common, np.mean([ys[np.isin(at, common)] for at, ys in zip(xs, errors, strict=True)], axis=0)


def needs_log_axis(curves: Sequence[Curve]) -> bool:
    """Whether the losses are positive and span more than two decades."""
    losses = np.concatenate([loss for curve in curves for loss in (curve.train_loss, curve.test_loss)])
    losses = losses[np.isfinite(losses)]
    return losses.size > 0 and losses.min() > 0 and losses.max() > 100 * losses.min()
