"""Time series as inputs of a net: normalisation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np

from resnet_jax.errors import DataError
from resnet_jax.inputs.protocol import BaseSequence
from resnet_jax.types import Batch, DataKind

Normalisation = Literal["each", "train", "none"]


@dataclass(frozen=True)
class SeriesPreprocess(BaseSequence):
    """Series float [l, C] of any length -> float32 [N, L, C], normalised per channel.

    "each": every series to mean 0 and deviation 1, as the UCR archive has most of its sets (a constant channel becomes
    0); "train": by mean and deviation of the training series; "none": values as they are.
    """

    channels: int
    normalise: Normalisation = "each"
    mean: tuple[float, ...] = ()  # with "train": one per channel
    std: tuple[float, ...] = ()

    kind: ClassVar[DataKind] = "series"

    @classmethod
    def of_series(cls, series: Iterable[np.ndarray], normalise: Normalisation = "each") -> Self:
        """The preprocessing for training series [l, C].

        Raises:
          ValueError: no series.
        """
        rows = [np.asarray(one, np.float64) for one in series]
        if not rows:
            raise ValueError("expected at least one series, got none")
        channels = rows[0].shape[1]
        if normalise != "train":
            return cls(channels, normalise)
        every = np.concatenate(rows)
        std = np.where(np.ptp(every, axis=0) > 0, every.std(0), 1)  # rounding leaves a deviation in a constant channel
        return cls(channels, normalise, tuple(every.mean(0).tolist()), tuple(std.tolist()))

    def read(self, item: Any, name: str) -> np.ndarray:
        """A series float [l, C], or [l] of one channel -> float32 [l, C]. Raises DataError for another array."""
        values = self._values(item, name).astype(np.float64)
        if self.normalise == "none":
            return values.astype(np.float32)
        mean, std = (values.mean(0), values.std(0)) if self.normalise == "each" else (self.mean, self.std)
        is_constant = np.ptp(values, axis=0) == 0 if self.normalise == "each" else np.zeros(self.channels, bool)
        return ((values - mean) / np.where(is_constant, 1, std)).astype(np.float32)

    def length(self, item: Any, name: str) -> int:
        return len(self._values(item, name))

    def _values(self, item: Any, name: str) -> np.ndarray:
        values = np.asarray(item)
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or values.shape[1] != self.channels or not len(values):
            raise DataError(f"{name}: expected a series float [l, {self.channels}], got {list(np.shape(item))}")
        is_number = np.issubdtype(values.dtype, np.number)
        if not is_number or not np.isfinite(values).all():
            raise DataError(
                f"{name}: expected finite numbers, got {'NaN or infinities' if is_number else values.dtype}"
            )
        return values

    def prepare(self, batch: Batch) -> Batch:
        return batch

    def spatial_shape(self, length: int) -> tuple[int, ...]:
        return (length,)

    def model_options(self) -> dict[str, Any]:
        return {"in_channels": self.channels}
