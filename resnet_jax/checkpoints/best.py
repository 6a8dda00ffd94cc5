"""The best test of a run, by one measure: for the checkpoint that is kept and for early stopping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from resnet_jax.errors import did_you_mean

CLASSIFICATION: Mapping[str, int] = MappingProxyType({"top1": 1, "loss": -1})  # all that version 0.1.0 had


@dataclass(frozen=True)
class Measure:
    """A test result by which states are compared; of equal results the first one stays the best."""

    name: str  # "top1", "loss", "ema_top1", ...
    sign: int  # 1: higher is better; -1: lower is better

    @classmethod
    def of(cls, name: str, measures: Mapping[str, int] = CLASSIFICATION) -> Measure:
        """The measure `name`, or "ema_" and a name, with its sign in `measures`, which are a task's.

        Raises:
          ValueError: `measures` has no such name.
        """
        plain = name.removeprefix("ema_")
        if plain not in measures:
            raise ValueError(f"expected a measure of the task, got {name!r}; {did_you_mean(plain, measures)}")
        return cls(name, measures[plain])

    def score(self, results: Mapping[str, float]) -> float | None:
        """The result of a test, higher is better; None if it has no such result, or NaN."""
        value = float(results.get(self.name, math.nan))
        return None if math.isnan(value) else self.sign * value


def best_step(scores: Mapping[int, float | None]) -> int | None:
    """The step with the highest score, of equal ones the first; None if no step has a score."""
    ranks = [(-score, step) for step, score in scores.items() if score is not None]
    return min(ranks)[1] if ranks else None


@dataclass
class BestTest:
    """The best test so far: its value and step, and the number of tests since then."""

    measure: Measure
    value: float | None = None
    step: int | None = None
    tests_since: int = 0

    def add(self, step: int, results: Mapping[str, float]) -> bool:
        """Adds the results of a test; returns whether it is better than every earlier one."""
        score = self.measure.score(results)
        if score is None:
            return False
        is_better = self.value is None or score > self.measure.sign * self.value
        if is_better:
            self.value, self.step = self.measure.sign * score, step
        self.tests_since = 0 if is_better else self.tests_since + 1
        return is_better

    def saved(self) -> dict[str, Any]:
        """This object as JSON holds it, for `restore`."""
        return {
            "measure": self.measure.name,
            "sign": self.measure.sign,
            "value": self.value,
            "step": self.step,
            "tests_since": self.tests_since,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Restores what an earlier start saved, by the same measure."""
        self.value, self.step, self.tests_since = saved["value"], saved["step"], saved["tests_since"]
        if self.value is not None and math.isnan(self.value):  # saved before NaN was refused
            self.value, self.step, self.tests_since = None, None, 0

    def restore_scores(self, scores: Mapping[int, float | None], every: int) -> None:
        """Restores from the scores of the kept checkpoints, by step; tests were `every` steps apart."""
        if (step := best_step(scores)) is not None:
            score = scores[step]
            assert score is not None
            last = max(step for step, score in scores.items() if score is not None)
            self.value, self.step = self.measure.sign * score, step
            self.tests_since = -(-(last - step) // every)
