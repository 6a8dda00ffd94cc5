"""Evaluates runs, or other weights, over a split. Nothing is printed here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resnet_jax import data
from resnet_jax.checkpoints.reader import saved_steps
from resnet_jax.config import DataConfig, check_data
from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.data.loading.pairs import PairLoader
from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.data.sources.annotations import DENSE_KINDS
from resnet_jax.distributed.devices import Parallel
from resnet_jax.evaluation.dense import predict_dense
from resnet_jax.evaluation.examples import FirstExamples
from resnet_jax.evaluation.prediction_files import PredictionFile
from resnet_jax.evaluation.sequences import predict_sequences
from resnet_jax.evaluation.views import (
    ViewProtocol,
    Views,
    ensemble,
    make_views,
    predict_views,
    shorter_sides,
)
from resnet_jax.metrics.evaluator import Evaluator
from resnet_jax.runs.files.image_record import select
from resnet_jax.runs.saved.evaluation_files import EvaluationResult, Source, measure
from resnet_jax.runs.saved.evaluation_images import TestImages, choose_images, images_to_test, open_images
from resnet_jax.runs.saved.nets import TrainedNet, open_net
from resnet_jax.runs.saved.zero_shot import ZeroShot, classifier_of, open_clip
from resnet_jax.tasks import Classification, Predictions, Task
from resnet_jax.types import NOUNS


@dataclass(frozen=True)
class _Net:
    """A net with the images it is evaluated on, preprocessed as in its training."""

    trained: TrainedNet
    source: Source
    views: Views | None  # None: of a dense task, whose images are on a canvas, of sequences and of pairs

    def predict(
        self, evaluator: Evaluator, *, batch_size: int, parallel: Parallel
    ) -> tuple[Predictions, dict[str, float]]:
        """Predictions and what modules of the net sow; `evaluator` gets those of sequences and pairs."""
        net, task, source = self.trained.folded, self.trained.task, self.source
        if isinstance(source, SequenceLoader | PairLoader):
            return predict_sequences(net, task, source, evaluator, batch_size=batch_size, parallel=parallel)
        assert isinstance(source, StreamingLoader) and self.views is not None
        return predict_views(net, task, source, self.views, batch_size=batch_size, parallel=parallel)


@dataclass(frozen=True)
class Evaluation:
    """Runs, or other weights, to evaluate together, opened and checked."""

    runs: Sequence[str]  # sources as the user named them
    steps: Sequence[int | None]  # None: other weights than a run's
    ema: bool
    protocol: ViewProtocol
    scales: Sequence[int] | None
    images: TestImages
    nets: Sequence[_Net]
    is_newest: bool  # whether the weights are those of the first run's newest checkpoint
    counts: dict[str, int | None]  # images "dropped" and "trained_on"; None: not known
    note: str  # for a person; "" for none
    templates: int = 0  # of a zero-shot evaluation

    @property
    def source(self) -> Source:
        return self.nets[-1].source

    @property
    def task(self) -> Task:
        """The first net's, for the images."""
        return self.nets[0].trained.task.for_examples(self.nets[0].source.examples)

    def evaluate(self, file: PredictionFile | None = None) -> EvaluationResult:
        """Predictions for every image, as means over its views and over the nets, and their metrics.

        `file` of the evaluation's task gets all of them, to be written.
        """
        parallel = Parallel()
        config = self.images.config
        devices = len(parallel.devices)
        batch = -(-(config.eval_batch_size or config.batch_size) // devices) * devices
        task = self.task
        if isinstance(loader := self.nets[0].source, DenseLoader):
            evaluator, net = task.evaluator(), self.nets[0].trained.folded
            first, add = FirstExamples(evaluator), None if file is None else file.add
            predictions, sown = predict_dense(net, task, loader, first, batch_size=batch, parallel=parallel, add=add)
            return replace(measure(task, predictions, sown, evaluator), examples=first.examples)
        evaluator = task.evaluator()
        each = [one.predict(evaluator, batch_size=batch, parallel=parallel) for one in self.nets]
        predictions = ensemble(task, [predictions for predictions, _ in each])
        if file is not None:
            file.add_all(predictions)
        # Metrics that a net sows are of that net, not of an ensemble.
        is_single = len(each) == 1
        has_all = is_single and isinstance(loader, SequenceLoader | PairLoader)
        result = measure(task, predictions, each[0][1] if is_single else {}, evaluator if has_all else None)
        # The loss may depend on data of each run's training, such as the deviation of its targets.
        others = [one.trained.task for one in self.nets if one.trained.task.record() != task.record()]
        if any(measure(other, predictions, {}).metrics.get("loss") != result.metrics.get("loss") for other in others):
            result.metrics.pop("loss", None)
        return result

    def record(self, result: EvaluationResult) -> dict[str, Any]:
        """The nets, the images and the metrics as JSON holds them."""
        first, *others = self.nets
        if others:
            which: dict[str, Any] = {"runs": self.runs, "steps": self.steps}
        elif first.trained.run is None:
            which = {"weights": self.runs[0], "model": first.trained.net.name}
        else:
            which = {"run": self.runs[0], "step": self.steps[0]}
        where = {
            "ema": self.ema,
            "data": self.images.dataset.name,
            "split": self.images.split,
            "protocol": self.protocol,
        }
        if self.protocol == "multi-scale":
            where["scales"] = self._shorter_sides
        if self.templates:
            where["templates"] = self.templates
        count = {"skipped": len(self.source.skipped), **self.counts, "images": len(result.predictions.labels)}
        return {**which, **where, **count, **result.metrics}

    def heading(self, count: int) -> str:
        """One line on what was evaluated; `count` images."""
        heading = " + ".join(one.trained.description for one in self.nets)
        heading += ", averaged weights" if self.ema else ""
        if self.templates:
            heading += f", zero-shot with {self.templates} template{'s' * (self.templates > 1)}"
        if self.protocol != "single":
            heading += f", {self.protocol}"
        if self.protocol == "multi-scale":
            heading += f" ({' '.join(map(str, self._shorter_sides))} pixels)"
        first = self.nets[0].trained
        noun = "windows" if first.task.label_kind == "next-token" else first.nouns[1]
        return f"{heading}, on {self.images.dataset.name} ({self.images.split}), {count} {noun}"

    @property
    def _shorter_sides(self) -> list[int]:
        assert isinstance(source := self.source, StreamingLoader)
        return shorter_sides(source.image_size, self.scales)

    def variant(self) -> tuple[str, ...]:
        """Names of what differs from the test at the end of the run: images, views, step, averaged weights."""
        views = () if self.protocol == "single" else (self.protocol,)
        step = () if self.is_newest else (f"step-{self.steps[0]}",)
        return (*self._other_images(), *views, *step, *(("ema",) if self.ema else ()))

    def _other_images(self) -> tuple[str, ...]:
        images = self.images
        if not images.is_own:
            return Path(os.path.abspath(images.dataset.name)).name, images.split
        trained = images.run_config
        try:
            tested = data.default_splits(images.dataset, trained.train_split, trained.test_split, trained.holdout)[1]
        except ValueError:  # the dataset has other splits by now
            return (images.split,)
        return () if images.split == tested else (images.split,)


def open_evaluation(
    runs: Sequence[str],
    config: DataConfig,
    *,
    step: str = "latest",
    split: str | None = None,
    protocol: ViewProtocol = "single",
    scales: Sequence[int] | None = None,
    ema: bool = False,
    task: Task | None = None,
    model: str | None = None,
    zero_shot: ZeroShot | None = None,
) -> Evaluation:
    """Opens runs, or weights from other sources, and images, and checks that they fit; evaluates nothing yet.

    Args:
      runs: folders of runs of one task, or sources of `load_pretrained`, with the same classes.
      config: the images: the data of the first run, or other data.
      split: to evaluate; None: as the first run was tested; of other data the test split, else all.
      step, ema: the weights; see `load_checkpoint`.
      task: that of runs of a task of your own.
      model: the net of weights; None: as their source says.
      zero_shot: classify the images by texts, with a CLIP.

    Raises:
      ValueError, OSError: runs, weights, images or options are missing, invalid or do not fit each other.
    """
    check_data(config)
    if zero_shot is None:
        opened = [open_net(run, step=step, ema=ema, model=model, task=task, allow_nonfinite=True) for run in runs]
    else:
        clips = [open_clip(run, step=step, ema=ema, model=model) for run in runs]
        opened = [replace(one, task=Classification()) for one in clips]  # of classes that are known below
        how: Any = clips[0].net.preprocess
        config = replace(config, image_size=config.image_size or how.image_size)
    first = opened[0]
    if len(names := dict.fromkeys(one.task.name for one in opened)) > 1:
        raise ValueError(f"expected runs of one task, got runs of {', '.join(names)}")
    if others := [one.task for one in opened[1:]]:
        first.task.check_ensemble(others)
    _check_views(opened, protocol, scales)
    images, templates = choose_images(first, config, split), 0
    if zero_shot is not None:
        classes = data.open_examples(images.dataset, images.split, config.class_names, config.classes).classes
        texts = zero_shot.texts(classes)
        classifiers = [classifier_of(one, texts, zero_shot.templates, classes) for one in opened]
        opened, templates = [one for one, _ in classifiers], len(classifiers[0][1])
        first = opened[0]
    nets: list[_Net] = []
    for one in opened:
        if one.classes != first.classes:
            raise ValueError(f"expected nets with the classes of {first.source}, got {one.source}")
        source = open_images(images, one)
        if not nets:
            mask, counts, note = images_to_test(opened, source.examples, images, bool(split))
        source = select(source, mask)
        views = make_views(protocol, source, scales) if isinstance(source, StreamingLoader) else None
        nets.append(_Net(one, source, views))
    steps = [None if one.run is None else one.run.step for one in opened]
    is_newest = first.run is None or steps[0] == max(saved_steps(first.run.checkpoint.path.parent))
    return Evaluation(runs, steps, ema, protocol, scales, images, nets, is_newest, counts, note, templates)


def _check_views(opened: Sequence[TrainedNet], protocol: ViewProtocol, scales: Sequence[int] | None) -> None:
    """Raises ValueError for several views of what has one, and for nets that have no mean or other data."""
    task, kind = opened[0].task, opened[0].kind
    if other := next((one for one in opened if one.kind != kind), None):
        raise ValueError(
            f"expected nets of {NOUNS[kind][1]}, as {opened[0].source}; {other.source} is one of {other.kind}"
        )
    if kind != "images" and (protocol != "single" or scales is not None):
        option = "--scales" if protocol == "single" else f"--protocol {protocol}"
        raise ValueError(f"{option}: expected --protocol single for {NOUNS[kind][1]}, which have one view")
    if task.label_kind not in (*DENSE_KINDS, "caption"):  # boxes, classes of pixels and pairs have no mean
        return
    if protocol != "single":
        raise ValueError(f"--protocol {protocol}: expected single for the task {task.name}, which has one view")
    if len(opened) > 1:
        raise ValueError(f"expected one net of the task {task.name}, got {len(opened)}; evaluate each on its own")
