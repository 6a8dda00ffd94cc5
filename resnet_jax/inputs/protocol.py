"""The contract of a preprocessing of sequences, and what all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import jax.numpy as jnp
import numpy as np

from resnet_jax.errors import described
from resnet_jax.types import Array, Batch, DataKind


class SequencePreprocess(Protocol):
    """Turns the items of a data set into a net's input: `read` on the host, then `prepare` on the device."""

    kind: ClassVar[DataKind]
    dtype: ClassVar[Any]  # of what `read` returns, and of the net's input

    @property
    def fixed_length(self) -> int | None:
        """Positions of every example after `fit`; None: each has its own length."""
        ...

    def read(self, item: Any, name: str) -> np.ndarray:
        """One example: float32 [l, C], or int32 [l] of tokens.

        Args:
          item: what the data set has: an array, a text, the bytes or the path of a file.
          name: for messages.

        Raises:
          DataError: it cannot be read.
        """
        ...

    def fit(self, example: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """What `read` returns, cut or padded to `fixed_length`.

        `rng` chooses the part of a longer example in training; None: the middle, or the beginning of a text.
        """
        ...

    def length(self, item: Any, name: str) -> int:
        """The length of an example after `fit`, with as little reading as possible. Raises as `read` does."""
        ...

    def prepare(self, batch: Batch) -> Batch:
        """A batch of what `fit` returns with the net's input in its place, and the lengths of that. Traced."""
        ...

    def spatial_shape(self, length: int) -> tuple[int, ...]:
        """Size of the net's input for examples of `length`, along each axis but the channels."""
        ...

    def model_options(self) -> dict[str, Any]:
        """Options of `create_model` that the input decides, such as {"in_channels": 1}."""
        ...

    def adopt(self, trained: Any) -> Self:
        """The preprocessing `trained`, which weights were trained with, for examples as long as these.

        Raises:
          ValueError: the examples of this one cannot be read as those of `trained`.
        """
        ...

    def record(self) -> dict[str, Any]:
        """As checkpoints store it; `inputs.preprocess_of` restores it."""
        ...


class BaseSequence:
    """Functions that follow from the others of a `SequencePreprocess`, a frozen dataclass."""

    kind: ClassVar[DataKind]
    dtype: ClassVar[Any] = np.float32

    @property
    def fixed_length(self) -> int | None:
        return None

    def fit(self, example: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        return example if self.fixed_length is None else fitted(example, self.fixed_length, rng)

    def adopt(self, trained: Self) -> Self:
        return trained

    def record(self) -> dict[str, Any]:
        fields: Any = self
        return {"kind": self.kind, **asdict(fields)}

    @classmethod
    def restored(cls, record: Mapping[str, Any]) -> Self:
        """The preprocessing that `record` describes.

        Raises:
          ValueError: another kind, or fields that this version does not know.
        """
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
        if (kind := values.pop("kind", None)) != cls.kind:
            raise ValueError(f"expected a preprocessing of {cls.kind}, got one of {kind}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"preprocessing of {cls.kind}: {error}") from None

    def batch(self: Any, items: Sequence[Any]) -> tuple[Array, Array | None]:
        """The net's input for some items, padded with zeros; and lengths int [N] for the net's call.

        They are None where the padding counts, as part of examples of `fixed_length`. A net of a run predicts so:

            net = resnet_jax.load_checkpoint("runs/mine")
            x, lengths = net.preprocess.batch(["a good film", "a bad one"])
            outputs = net.model.apply(net.variables, x, train=False, lengths=lengths)

        Args:
          items: series float [l, C] or [l]; paths, contents or samples of sounds; texts (str, UTF-8, or the Path of a
            file). A net of images, which takes spectrograms of one length, is called without `lengths`.

        Raises:
          TypeError: a single item instead of several.
          ValueError: no items. `DataError` as `read` does.
        """
        if isinstance(items, bytes | str | Path):
            raise TypeError(f"expected a list of items, got {described(items)}; [item] is a list of one")
        if not len(items):
            raise ValueError("expected at least one item, got none")
        examples = [self.fit(self.read(item, name_of(item, number))) for number, item in enumerate(items)]
        lengths = np.array([len(one) for one in examples], np.int32)
        batch: dict[str, Any] = {"image": jnp.asarray(padded(examples, int(lengths.max())))}
        if self.fixed_length is None:
            batch["lengths"] = jnp.asarray(lengths)
        batch = self.prepare(batch)
        return batch["image"], batch.get("lengths")


def name_of(item: Any, number: int) -> str:
    """What messages call an item without a name: the path of a file, or its number."""
    return str(item) if isinstance(item, Path) else f"item {number}"


def padded(examples: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Examples [l, ...] in one array [N, length, ...], with zeros behind each."""
    array = np.zeros((len(examples), length, *examples[0].shape[1:]), examples[0].dtype)
    for row, example in zip(array, examples, strict=True):
        row[: len(example)] = example
    return array


def fitted(example: np.ndarray, length: int, rng: np.random.Generator | None) -> np.ndarray:
    """`length` positions of an example [l, ...]: a random part (with `rng`) or the middle one; zeros behind a shorter.

    The zeros count as part of it, as they do in the literature's nets of clips.
    """
    spare = len(example) - length
    if spare <= 0:
        return padded([example], length)[0]
    start = spare // 2 if rng is None else int(rng.integers(spare + 1))
    return example[start : start + length]
