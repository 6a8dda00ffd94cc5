"""Contrastive training of pairs of images and texts (CLIP), and retrieval in both directions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax import ops
from resnet_jax.errors import did_you_mean
from resnet_jax.metrics.confusion import RETRIEVAL, write_rows
from resnet_jax.metrics.retrieval import DIRECTIONS, RANKS, RESULTS, RetrievalMetrics, score_rows
from resnet_jax.metrics.typed import Last, Mean, Metric
from resnet_jax.tasks.base import BaseTask
from resnet_jax.tasks.contrastive_losses import Comparison, Pairs, sigmoid_losses, softmax_losses
from resnet_jax.tasks.protocol import (
    ContrastiveLoss,
    Details,
    ImageReader,
    LabelledSource,
    Predictions,
    Rows,
    TaskOptions,
    Term,
    Terms,
    refuse_options,
)
from resnet_jax.text import caption_key, decimals
from resnet_jax.types import Array, Batch, LabelKind

SHOWN = 16  # pairs in a picture
MISTAKES = 16  # of retrieval.json, at most
MOST_FACTOR = 1e6  # of the cosines
LOGIT_SCALE = "logit_scale"  # the last part of the path of the parameter, a natural logarithm


def _title(name: str) -> str:
    """ "image_to_text_r5" -> "R@5 image to text"."""
    direction, _, rank = name.rpartition("_r")
    return f"R@{rank} {direction.replace('_', ' ')}".strip() if direction else f"R@{name[1:]}"


@dataclass(frozen=True)
class Contrastive(BaseTask):
    """Pairs of an image and a caption: labels int [N, T], ids of the caption's tokens.

    The net gets images and tokens; its outputs have `image_features` and `text_features`, float [N, D] before
    normalisation, `logit_scale` [], the factor of the cosines, and for the sigmoid loss `logit_bias` []. Each image is
    compared with all texts of the global batch. The mean over the pairs is minimised; see `contrastive_losses`.
    """

    loss: ContrastiveLoss = "softmax"
    local_loss: bool = True  # each device computes the rows of its own pairs
    max_logit_scale: float = 100.0  # of the factor, after each update

    name: ClassVar[str] = "contrastive"
    label_kind: ClassVar[LabelKind] = "caption"
    compares_examples: ClassVar[bool] = True
    measures: ClassVar[Mapping[str, int]] = dict.fromkeys(RESULTS, 1)
    titles: ClassVar[Mapping[str, str]] = {name: _title(name) for name in RESULTS if name.endswith("r1")}
    eval_titles: ClassVar[Mapping[str, str]] = {name: _title(name) for name in RESULTS}

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown loss, or a greatest factor that is not from 1 to `MOST_FACTOR`."""
        if self.loss not in get_args(ContrastiveLoss):
            expected = did_you_mean(str(self.loss), get_args(ContrastiveLoss))
            raise ValueError(f"expected a contrastive loss, got {self.loss!r}; {expected}")
        if not 1 <= self.max_logit_scale <= MOST_FACTOR:
            expected = f"expected at least 1, at most {MOST_FACTOR:g}"
            raise ValueError(f"optim.max_logit_scale: {expected}, got {self.max_logit_scale}")

    def for_data(self, source: LabelledSource, options: TaskOptions) -> Self:
        """With those of the options that are not the defaults."""
        refuse_options(options, self.name)
        default = TaskOptions()
        return replace(
            self,
            loss=self.loss if options.contrastive_loss == default.contrastive_loss else options.contrastive_loss,
            local_loss=self.local_loss if options.local_loss == default.local_loss else options.local_loss,
            max_logit_scale=self.max_logit_scale
            if options.max_logit_scale == default.max_logit_scale
            else options.max_logit_scale,
        )

    def options(self) -> TaskOptions:
        return TaskOptions(contrastive_loss=self.loss, local_loss=self.local_loss, max_logit_scale=self.max_logit_scale)

    @property
    def num_outputs(self) -> int:
        """0: the size of the features is the net's own."""
        return 0

    def objective(self, outputs: Any, batch: Batch, axis_name: str | None) -> tuple[Terms, dict[str, Metric]]:
        compared = self.compare(outputs, batch["mask"], axis_name)
        shares = compared.shares
        loss, correct = Mean.of(compared.losses, compared.mask), Mean.of(compared.correct, compared.mask)
        scale = jnp.asarray(outputs.logit_scale, loss.total.dtype)
        share_correct = Mean(correct.total / shares, correct.count / shares)
        metrics: dict[str, Metric] = {"batch_r1": share_correct, "logit_scale": Last(scale)}
        return {"loss": Term(loss.total / shares)}, metrics

    def compare(self, outputs: Any, mask: Array, axis_name: str | None) -> Comparison:
        """The losses of the pairs of a shard.

        Raises:
          ValueError: the sigmoid loss for a net without `logit_bias`.
        """
        pairs = Pairs(ops.l2_normalize(outputs.image_features), ops.l2_normalize(outputs.text_features), mask)
        scale = jnp.asarray(outputs.logit_scale, pairs.image.dtype)
        if self.loss == "softmax":
            return softmax_losses(pairs, scale, axis_name, local=self.local_loss)
        if (bias := getattr(outputs, "logit_bias", None)) is None:
            raise ValueError("--optim.contrastive-loss sigmoid: expected a net with a logit_bias, got one without")
        return sigmoid_losses(pairs, scale, jnp.asarray(bias, scale.dtype), axis_name, local=self.local_loss)

    def constrain(self, params: Any) -> Any:
        """Parameters whose factor of the cosines is at least 1 and at most `max_logit_scale`."""
        flat = flatten_dict(params)
        highest = math.log(self.max_logit_scale)
        return unflatten_dict({p: jnp.clip(x, 0, highest) if p[-1] == LOGIT_SCALE else x for p, x in flat.items()})

    def predictions(self, outputs: Any) -> dict[str, Array]:
        """ "image_features" and "text_features", float [N, D] of norm 1."""
        return {name: ops.l2_normalize(getattr(outputs, name)) for name in ("image_features", "text_features")}

    def evaluator(self) -> RetrievalEvaluator:
        return RetrievalEvaluator()

    def record(self) -> dict[str, Any]:
        return {"loss": self.loss, "local_loss": self.local_loss, "max_logit_scale": self.max_logit_scale}

    def restored(self, record: Mapping[str, Any], *, with_options: bool = False) -> Self:
        if not {"loss", "local_loss", "max_logit_scale"} <= record.keys():
            raise ValueError(f"expected the record of a contrastive task, got {dict(record)}")
        options = {name: record[name] for name in ("loss", "local_loss", "max_logit_scale")}
        return replace(self, **options) if with_options else self

    def label_name(self, label: Any) -> Any:
        """The text of a caption."""
        return str(label)

    def write_details(
        self, evaluator: Any, folder: Path, metadata: Mapping[str, Any], predictions: Predictions | None = None
    ) -> Details:
        """Writes retrieval.json: the recalls, the number of images whose first answer is wrong, and the first 16."""
        record: dict[str, Any] = {**metadata, "metrics": evaluator.result()}
        if predictions is not None:
            mistakes = list(self._mistakes(predictions))
            record |= {"num_mistakes": len(mistakes), "mistakes": mistakes[:MISTAKES]}
        values = evaluator.result()
        recalls = [
            f"{direction.replace('_', ' ')}: "
            + ", ".join(f"R@{k} {decimals(values[f'{direction}_r{k}'])}" for k in RANKS)
            for direction in DIRECTIONS
        ]
        return Details(write_rows(folder, record, RETRIEVAL), "; ".join(recalls))

    def _mistakes(self, predictions: Predictions) -> Iterator[dict[str, Any]]:
        """Images with a wrong caption whose score is as high as that of each correct one, as `best_ranks` counts."""
        images, texts = (predictions.outputs[name] for name in ("image_features", "text_features"))
        captions = [self.label_name(label) for label in predictions.labels]
        keys = np.unique([caption_key(caption) for caption in captions], return_inverse=True)[1]
        rows_of: dict[str, list[int]] = {}
        for row, name in enumerate(predictions.names):
            rows_of.setdefault(name, []).append(row)
        first = [rows[0] for rows in rows_of.values()]
        for (name, rows), scores in zip(rows_of.items(), score_rows(images[first], texts), strict=True):
            is_correct = np.isin(keys, keys[rows])
            wrong = np.where(is_correct, -np.inf, np.nan_to_num(scores, nan=np.inf))  # NaN is no lower score
            if not wrong.max() < scores[is_correct].max():
                yield {"image": name, "caption": captions[rows[0]], "answer": captions[int(wrong.argmax())]}

    def draw(
        self, evaluator: Any, folder: Path, heading: str, predictions: Predictions, image: ImageReader
    ) -> Iterator[Path]:
        """similarity.png: the cosines of the first pairs."""
        from resnet_jax.analysis.similarity import draw_similarity

        outputs, count = predictions.outputs, min(SHOWN, len(predictions.indices))
        cosines = outputs["image_features"][:count] @ outputs["text_features"][:count].T
        captions = [self.label_name(label) for label in predictions.labels[:count]]
        images = [image(index) for index in predictions.indices[:count]]
        pairs = f"the first {count} images and captions" if count < len(predictions.indices) else "images and captions"
        heading = f"{heading}: R@1 {evaluator.result()['r1']:.4f}\ncosines of {pairs}, in hundredths"
        yield from draw_similarity(images, captions, cosines, folder / "similarity", heading=heading)


class RetrievalEvaluator:
    """Streaming recall of what `Contrastive.predictions` returns."""

    def __init__(self) -> None:
        self.metrics = RetrievalMetrics()
        self._count = 0

    def update(self, outputs: Rows, batch: Mapping[str, Any]) -> None:
        """Adds pairs. Without "image_key" in `batch`, int [N], each image has one caption; without "caption_key",
        int [N], captions are equal whose tokens are.
        """
        rows = np.flatnonzero(np.asarray(batch["mask"]))
        keys = np.asarray(batch["image_key"])[rows] if "image_key" in batch else self._count + np.arange(len(rows))
        self._count += len(rows)
        images, texts = (np.asarray(outputs[name])[rows] for name in ("image_features", "text_features"))
        self.metrics.update(images, texts, keys, np.asarray(batch.get("caption_key", batch["label"]))[rows])

    def result(self) -> dict[str, float]:
        """See `RetrievalMetrics.result`."""
        return self.metrics.result()
