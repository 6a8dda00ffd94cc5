"""Trained nets to evaluate: those of runs, and weights from any source of `load_pretrained`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from resnet_jax.config import CaptionConfig
from resnet_jax.config.messages import with_model_option
from resnet_jax.errors import AmbiguousWeights, NotFinite
from resnet_jax.files import expanded
from resnet_jax.inputs.captions import options_of
from resnet_jax.models import MODELS, fold_norms, get_spec
from resnet_jax.models.published import published
from resnet_jax.runs.files.directory import is_run
from resnet_jax.runs.starting.opening import SavedRun, open_run
from resnet_jax.tasks import Classification, Contrastive, Detection, LanguageModel, Segmentation, Task
from resnet_jax.types import DataKind, Preprocess, Pretrained, nouns_of
from resnet_jax.weights import load_pretrained
from resnet_jax.weights.checkpoint import pretrained
from resnet_jax.weights.labels import label_set
from resnet_jax.weights.sources import nearest
from resnet_jax.weights.wrappers import SKIPPED

LENGTH = 2**14  # of an example, to trace a net whose examples have any length


@dataclass(frozen=True)
class TrainedNet:
    """A net with its variables, its task and the names of its outputs."""

    source: str  # as the user named it
    net: Pretrained
    task: Task
    classes: tuple[str, ...]  # numbers where the names are not known
    run: SavedRun | None = None  # None: weights that no run of this package wrote
    notes: tuple[str, ...] = ()  # on what differs from the file, and on what is assumed

    @property
    def kind(self) -> DataKind:
        """Of the data that it was trained on."""
        return self.net.preprocess.kind

    @property
    def nouns(self) -> tuple[str, str]:
        """What messages call an example, and several."""
        return nouns_of(self.kind, self.task.label_kind)

    @cached_property
    def folded(self) -> Pretrained:
        """The net for inference: norms folded into convolutions, and the same outputs up to rounding."""
        how: Any = self.net.preprocess
        size = how.image_size if isinstance(how, Preprocess) else how.spatial_shape(how.fixed_length or LENGTH)
        model, variables = fold_norms(self.net.model, self.net.variables, size)
        return self.net._replace(model=model, variables=variables)

    @property
    def missing(self) -> Literal["error", "linear"]:
        """What its run does with missing values inside a series."""
        if self.run is None or not (self.run.directory / "config.json").is_file():
            return "error"
        return self.run.config.data.series.missing

    @property
    def description(self) -> str:
        """For a heading: the source with the step of a run or the name of the net."""
        return f"{self.source} ({self.net.name})" if self.run is None else f"{self.source}, step {self.run.step}"


def open_net(
    source: str,
    *,
    step: str = "latest",
    ema: bool = False,
    model: str | None = None,
    task: Task | None = None,
    allow_nonfinite: bool = False,
) -> TrainedNet:
    """Opens a run, or weights from another source: their task is that of their net.

    Args:
      step: checkpoint of a run.
      ema: the averaged weights of a run or of a file that has both.
      model: the net of weights; None: as their source says.
      task: that of a run of a task of your own.

    Raises:
      ValueError, OSError: as `open_run` and `load_pretrained`; a step of weights, or a model for a run.
    """
    if is_run(source):
        if not expanded(source).exists():
            raise FileNotFoundError(
                f"no run, file or folder {source!r}; {nearest(source) or 'expected a run or weights'}"
            )
        if model is not None:
            raise ValueError(f"--model is for weights, and {source} is a run: its checkpoints name their net")
        return _open_run(source, step, ema, task, allow_nonfinite)
    if step != "latest":
        raise ValueError(f"--step is for runs, and {source} is a file of weights")
    net = _on_canvas(load_weights(source, model=model, ema=ema, allow_nonfinite=allow_nonfinite))
    _check_known_input(source, net)
    classes, note = (net.classes, "") if net.classes is not None else _assumed_classes(source, net)
    notes = (*notes_of(net), note) if note else notes_of(net)
    return TrainedNet(source, net, _task_of(net, classes), classes, notes=notes)


def _check_known_input(source: str, net: Pretrained) -> None:
    """Raises ValueError for a net of series, sounds or texts whose preprocessing the file does not have."""
    takes = get_spec(net.name).input_kind if net.name in MODELS else "images"
    if takes not in ("images", "image-text") and net.preprocess.kind == "images":
        problem = f"{source} does not say how {takes} are preprocessed for its net, {net.name}"
        raise ValueError(f"{problem}; expected a run, or a file that resnet-jax convert wrote of one")


def captions_of(trained: TrainedNet) -> CaptionConfig:
    """How the net reads captions. Raises ValueError as `options_of`."""
    try:
        return CaptionConfig(**options_of(trained.net)._asdict())
    except ValueError as error:
        raise ValueError(f"{trained.source}: {error}") from None


def _task_of(net: Pretrained, classes: tuple[str, ...]) -> Task:
    """The task of weights that are not a run's: a language model, a segmenter, a detector or a classifier."""
    how: Any = net.preprocess
    if how.kind == "text" and how.next_token:
        return LanguageModel(tokens=classes)
    if (family := _family(net)) == "contrastive":
        return Contrastive()
    if family == "segmentation":
        return Segmentation(classes=classes)
    return Detection(classes=classes) if family == "detection" else Classification(classes=classes)


def _family(net: Pretrained) -> str:
    return get_spec(net.name).family if net.name in MODELS else ""


def _on_canvas(net: Pretrained) -> Pretrained:
    """A segmenter whose images are not cropped, but padded: those of up to 4:3 have its shorter side."""
    how = net.preprocess
    if _family(net) != "segmentation" or how.kind != "images" or how.crop_mode == "pad":
        return net
    side = -(-how.resize * 4 // 3 // 32) * 32
    return net._replace(preprocess=replace(how, image_size=side, crop_mode="pad"))


def notes_of(net: Pretrained) -> tuple[str, ...]:
    """Notes on the weights of a file, without those that a warning has, and on an assumed preprocessing."""
    notes = tuple(note for note in net.notes if not note.startswith(SKIPPED))
    how = net.preprocess
    if how.kind != "images" or not how.source.startswith("assumed: "):
        return notes
    sides = f"a side of {how.resize} pixels cropped to {how.image_size}, {how.interpolation}"
    return (*notes, f"the preprocessing is not known: {sides}, is assumed")


def _assumed_classes(source: str, net: Pretrained) -> tuple[tuple[str, ...], str]:
    """Names of the classes of the net's first published weights, if it has as many; otherwise numbers; and a note."""
    if _family(net) == "contrastive":  # its outputs are features
        return (), ""
    problem = f"the names of the classes of {source} are not known"
    count = net.model.num_classes - (_family(net) == "detection")  # whose background has no name
    for row in published(net.name):
        if row.labels is not None and row.classes == count:
            return label_set(row.labels).names, f"{problem}: those of {row.labels} are assumed"
    return tuple(map(str, range(count))), f"{problem}: they are numbers" if count else ""


def _open_run(source: str, step: str, ema: bool, task: Task | None, allow_nonfinite: bool) -> TrainedNet:
    saved = open_run(source, step, task=task)
    fitted = saved.task  # before the weights: another task is the clearer error
    try:
        net = pretrained(saved.checkpoint, ema=ema, allow_nonfinite=allow_nonfinite)
    except NotFinite as error:
        raise ValueError(f"{error.problem}; --step takes another checkpoint") from None
    return TrainedNet(source, net, fitted, tuple(saved.checkpoint.metadata["classes"]), saved)


def load_weights(source: str, *, model: str | None, ema: bool, allow_nonfinite: bool = False) -> Pretrained:
    """`load_pretrained`; of raw and averaged weights the raw ones, with a warning, unless `ema`.

    Messages name the options of commands.
    """
    try:
        try:
            return load_pretrained(source, model=model, ema=ema or None, allow_nonfinite=allow_nonfinite)
        except AmbiguousWeights:
            net = load_pretrained(source, model=model, ema=False, allow_nonfinite=allow_nonfinite)
            warnings.warn(f"{source} has raw and averaged weights: the raw ones are read (--ema)", stacklevel=3)
            return net
    except NotFinite as error:
        raise ValueError(error.problem) from None
    except ValueError as error:
        if (message := with_model_option(str(error), "--model")) == str(error):
            raise
        raise ValueError(message) from None
