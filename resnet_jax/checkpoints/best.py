"""The best test so far, and the number of tests since: for the checkpoint that is kept, and for early stopping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SIGNS = {"top1": 1, "loss": -1, "ema_top1": 1, "ema_loss": -1}  # +1 where more is better
NAMES = {
    "top1": "top-1",
    "loss": "loss",
    "ema_top1": "averaged weights' top-1",
    "ema_loss": "averaged weights' loss",
}


def score(means: Mapping[str, float], measure: str) -> float | None:
    """A test's result by `measure`, more is better; None: the test did not measure it."""
    return SIGNS[measure] * float(means[measure]) if measure in means else None


@dataclass
class BestTest:
    """The best test by `measure`: its value and step (of equal ones the latest), and the number of tests that were no
    better than all before them, up to now.
    """

    measure: str = "top1"
    value: float | None = None
    step: int | None = None
    tests_since: int = 0

    def add(self, step: int, means: Mapping[str, float]) -> bool:
        """Takes the result of a test; returns whether it is better than every test before."""
        new = score(means, self.measure)
        if new is None:
            return False
        before = -math.inf if self.value is None else SIGNS[self.measure] * self.value
        if new >= before:
            self.value, self.step = float(means[self.measure]), step
        better = new > before
        self.tests_since = 0 if better else self.tests_since + 1
        return better

    def saved(self) -> dict[str, Any]:
        """As JSON holds it, for `restore`."""
        return asdict(self)

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continues from what an earlier start saved, by the same measure."""
        self.value, self.step, self.tests_since = saved["value"], saved["step"], saved["tests_since"]

    def restore_scores(self, scores: Mapping[int, float | None], every: int) -> None:
        """Continues from the `score` of each checkpoint that was kept, by step; tests were `every` steps apart."""
        ranks = {step: rank for step, rank in scores.items() if rank is not None}
        if ranks:
            steps = [step for step, rank in ranks.items() if rank == max(ranks.values())]
            self.value, self.step = SIGNS[self.measure] * ranks[steps[0]], max(steps)
            self.tests_since = -(-(max(ranks) - min(steps)) // every)

    def __str__(self) -> str:
        return f"{NAMES[self.measure]} {self.value:.4f} at step {self.step}"
