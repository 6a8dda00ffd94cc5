"""Language models: each token of a text is predicted from those before it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.metrics.perplexity import BIT, PerplexityMetrics
from resnet_jax.metrics.typed import Mean, Metric
from resnet_jax.tasks.base import BaseTask
from resnet_jax.tasks.protocol import LabelledSource, Rows, Task, TaskOptions, Term, Terms, refuse_options
from resnet_jax.tasks.token_losses import next_token_losses
from resnet_jax.types import Array, Batch, LabelKind, at_least_float32

UNKNOWN = 1  # the id of every token that the vocabulary lacks
CANDIDATES = 20  # likeliest next tokens of a prediction


@dataclass(frozen=True)
class LanguageModel(BaseTask):
    """Minimises the mean of -log p(token | those before it) over the predicted tokens of a batch.

    A batch has the tokens as "image", int32 [N, L], as "label" the number of first tokens that are not predicted in
    this window, and "lengths" where they differ. The net's logits at a position are those of the token behind it.
    """

    tokens: tuple[str, ...] = ()  # by id

    name: ClassVar[str] = "language_model"
    label_kind: ClassVar[LabelKind] = "next-token"
    measures: ClassVar[Mapping[str, int]] = {"bits_per_token": -1, "perplexity": -1, "loss": -1}
    titles: ClassVar[Mapping[str, str]] = {
        "bits_per_token": "bits/token",
        "bits_per_character": "bits/character",
        "unknown_share": "share of unknown tokens",
    }

    def for_data(self, source: LabelledSource, options: TaskOptions) -> Self:
        refuse_options(options, self.name)
        return replace(self, tokens=tuple(source.classes))

    @property
    def num_outputs(self) -> int:
        return len(self.tokens)

    @property
    def is_of_characters(self) -> bool:
        """Whether tokens are characters, so that bits per token are bits per character: spaces are tokens too."""
        return " " in self.tokens or "\n" in self.tokens

    def objective(self, outputs: Any, batch: Batch, axis_name: str | None) -> tuple[Terms, dict[str, Metric]]:
        nats, counts = _losses(outputs, batch)
        weights = counts * batch["mask"].astype(nats.dtype)
        total = jnp.where(weights > 0, nats * batch["mask"].astype(nats.dtype), 0).sum()
        weight = weights.sum()
        return {"loss": Term(total, weight)}, {"bits_per_token": Mean(total / BIT, weight)}

    def predictions(self, outputs: Any) -> dict[str, Array]:
        """The likeliest tokens behind the last position: "next_tokens" int [N, k], "next_probabilities" [N, k]."""
        return _candidates(outputs.logits[:, -1])

    def predict_batch(self, outputs: Any, batch: Batch) -> dict[str, Array]:
        """For each text "nats" (the sum of -log p), the number of predicted "tokens" and of "unknown" ones, float and
        int [N]; and the likeliest tokens behind it, see `predictions`.
        """
        nats, counts = _losses(outputs, batch)
        size = batch["image"].shape[1]
        ends = jnp.asarray(batch.get("lengths", jnp.full(counts.shape, size, jnp.int32)))
        places = jnp.arange(size)[None]
        is_predicted = (places >= jnp.maximum(batch["label"], 1)[:, None]) & (places < ends[:, None])
        unknown = ((batch["image"] == UNKNOWN) & is_predicted).sum(1)
        last = jnp.maximum(ends - 1, 0)[:, None, None]
        behind = jnp.take_along_axis(outputs.logits, last, axis=1)[:, 0]
        return {"nats": nats, "tokens": counts, "unknown": unknown, **_candidates(behind)}

    def average(self, predictions: Sequence[Rows]) -> Rows:
        """Raises ValueError for several: what one net predicts is no mean over views or nets."""
        if len(predictions) > 1:
            raise ValueError("texts have no mean over views or nets; evaluate one language model with one view")
        return predictions[0]

    def check_ensemble(self, others: Sequence[Task]) -> None:
        if others:
            raise ValueError(f"expected one language model, got {len(others) + 1}; each is evaluated by itself")

    def evaluator(self) -> LanguageModelEvaluator:
        return LanguageModelEvaluator(is_of_characters=self.is_of_characters)

    def describe(self, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        """Bits per token (or character), their number, and the `top` likeliest tokens behind the text."""
        count = int(prediction["tokens"])
        bits = float(prediction["nats"]) / BIT / count if count else math.nan
        unit = "character" if self.is_of_characters else "token"
        pairs = list(zip(prediction["next_tokens"].tolist(), prediction["next_probabilities"].tolist(), strict=True))
        candidates = [{"token": self.tokens[token], "probability": p} for token, p in pairs[:top]]
        return {f"bits_per_{unit}": bits, f"{unit}s": count, "next": candidates}

    def format(self, prediction: Mapping[str, np.ndarray], top: int) -> str:
        (_, bits), (unit, count), (_, candidates) = self.describe(prediction, top).items()
        following = ", ".join(f"{one['token']!r} {one['probability']:.2f}" for one in candidates)
        return f"{count:,} {unit}, {bits:.3f} bits each; next {following}"


class LanguageModelEvaluator:
    """Streaming loss, perplexity and bits of what `LanguageModel.predict_batch` returns."""

    def __init__(self, *, is_of_characters: bool) -> None:
        self._metrics, self._is_of_characters = PerplexityMetrics(), is_of_characters

    def update(self, outputs: Rows, batch: Mapping[str, Any]) -> None:
        tokens = outputs["tokens"]
        characters = tokens if self._is_of_characters else None
        self._metrics.update(outputs["nats"], tokens, batch["mask"], characters=characters, unknown=outputs["unknown"])

    def result(self) -> dict[str, float]:
        """ "loss", nats per token, and those of `PerplexityMetrics`. Raises ValueError if no token was predicted."""
        values = self._metrics.result()
        return {"loss": values["bits_per_token"] * BIT, **values}


def _losses(outputs: Any, batch: Batch) -> tuple[Array, Array]:
    """Sum of -log p of the predicted tokens of each window, and their number: float [N], int [N]."""
    return next_token_losses(outputs.logits, batch["image"], batch.get("lengths"), batch["label"])


def _candidates(logits: Array) -> dict[str, Array]:
    """The likeliest tokens by logits [N, K]."""
    p = jax.nn.softmax(logits.astype(at_least_float32(logits.dtype)))
    probabilities, tokens = jax.lax.top_k(p, min(CANDIDATES, logits.shape[-1]))
    return {"next_tokens": tokens, "next_probabilities": probabilities}
