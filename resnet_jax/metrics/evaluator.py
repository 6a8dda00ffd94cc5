"""The protocol of streaming evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Evaluator(Protocol):
    """Adds up on the host what one evaluation measures. A new one is made for each evaluation."""

    def update(self, outputs: Any, batch: Mapping[str, Any]) -> None:
        """Adds the examples of one global batch.

        Args:
          outputs: host arrays with a row per example, as the task defines them: logits [N, K], predictions [N, T], ...
          batch: host arrays "label" (a row per example) and "mask" [N]; examples of mask 0 are padding and ignored.
        """
        ...

    def result(self) -> dict[str, float]:
        """Metrics of all examples so far, by name."""
        ...
