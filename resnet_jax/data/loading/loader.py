"""The protocol of loaders: what serves a data source in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from resnet_jax.data.loading.samplers import WHOLE, ShuffleSampler
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.types import Batch, DataKind


class Loader(Protocol):
    """Serves a data source in batches."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, or of the targets."""
        ...

    @property
    def num_examples(self) -> int: ...

    @property
    def examples(self) -> DataSource:
        """The data source."""
        ...

    @property
    def image_shape(self) -> tuple[int, ...]:
        """[H, W, C] of the images it serves; of sequences that of the net's input."""
        ...

    @property
    def kind(self) -> DataKind:
        """What the examples are."""
        ...

    @property
    def keeps_last(self) -> bool:
        """Whether an epoch of training ends with a batch that is not full."""
        ...

    @property
    def input_dtype(self) -> Any:
        """Of the net's input."""
        ...

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """`image_shape` without channels."""
        ...

    def model_options(self) -> dict[str, Any]:
        """Options of `create_model` that the data decides, such as {"in_channels": 3}."""
        ...

    @property
    def skipped(self) -> dict[str, str]:
        """Images that could not be read so far, and why; empty unless they are skipped."""
        ...

    def name(self, index: int) -> str:
        """Name of an example in messages: a path, or a position in a file."""
        ...

    @property
    def labels(self) -> np.ndarray:
        """int [n] (-1 for an image that cannot be read) or float32 [n, K]; of dense labels, the classes there are."""
        ...

    def order(self, seed: int, batch_size: int) -> ShuffleSampler:
        """Which examples make the training batches."""
        ...

    def batches(
        self, seed: int, start_step: int = 0, *, batch_size: int, share: tuple[int, int] = WHOLE
    ) -> Iterator[Batch]:
        """Endless training batches, from batch `start_step` on. Batch k depends on (seed, k) alone.

        A `share` (i, n) is the i-th of n equal parts of each batch: what one of n processes reads.
        """
        ...

    def eval_batches(self, batch_size: int, *, share: tuple[int, int] = WHOLE) -> Iterator[Batch]:
        """Every example once, in order; the last batch is padded with examples of mask 0."""
        ...


class ImageInput:
    """What loaders of images share: the net gets float32 [N, H, W, C]."""

    kind: ClassVar[DataKind] = "images"
    keeps_last: ClassVar[bool] = False
    input_dtype: ClassVar[Any] = np.float32

    @property
    def spatial_shape(self: Loader) -> tuple[int, ...]:
        return self.image_shape[:-1]

    def model_options(self: Loader) -> dict[str, Any]:
        return {"in_channels": self.image_shape[-1]}


class ImageLoader(Loader, Protocol):
    """A loader of images."""

    @property
    def image_shape(self) -> tuple[int, int, int]: ...

    @property
    def resize(self) -> int:
        """Shorter side before the centre crop of evaluation, pixels."""
        ...

    @property
    def crop_mode(self) -> Literal["center", "pad"]:
        """How evaluation crops; see `Preprocess`."""
        ...

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel, of values in [0, 1]."""
        ...
