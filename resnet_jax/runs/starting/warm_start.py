"""Weights to start a run from: those of another run, or from any source of `load_pretrained`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.config import OptimConfig, place
from resnet_jax.data.sources.label_kinds import count_in_words
from resnet_jax.errors import (
    AmbiguousWeights,
    NotFinite,
    WeightsMismatch,
    WrongModel,
    composed,
    did_you_mean,
    listed,
    one_line,
    one_of,
    public_address,
)
from resnet_jax.files import expanded, sha256
from resnet_jax.inputs import SequencePreprocess
from resnet_jax.models import MODELS, registered_name, shapes
from resnet_jax.models.inspect import backbone_of, has_texts, is_dense
from resnet_jax.runs.files.directory import is_missing_file, is_run
from resnet_jax.runs.files.image_record import trained_on
from resnet_jax.runs.planning.plan import RunPlan
from resnet_jax.runs.starting.dense_weights import fit_dense, note_epsilon, read_dense
from resnet_jax.runs.starting.opening import SavedRun, open_run
from resnet_jax.runs.starting.pair_weights import TEXT_COMPONENTS, check_pairs, hint_of_message, length_hint
from resnet_jax.runs.starting.sequence_weights import adopted, described_preprocess
from resnet_jax.tasks import Task, get_task, task_name
from resnet_jax.types import Preprocess, Pretrained, Variables
from resnet_jax.weights import classes_of, load_pretrained
from resnet_jax.weights.checkpoint import pretrained
from resnet_jax.weights.fit import new_head
from resnet_jax.weights.labels import labels_of_classes
from resnet_jax.weights.readers import SUFFIXES, WEIGHT_FILES
from resnet_jax.weights.readers.shards import shard_names
from resnet_jax.weights.sources import resolve
from resnet_jax.weights.sources.local import hub_cache

CLASSIFIER = ("params", "head", "dense")
SAME_COMPONENTS = ("stages", "stem", "head", "conv", "norm", "act")  # in others the same arrays mean another net
HIGH_RATE = 0.05  # of SGD with momentum; fine-tuning usually takes 0.001 to 0.02


class WarmStart(NamedTuple):
    """Weights to start from; without those of a classifier that is to be initialised."""

    variables: Variables
    preprocess: Preprocess | SequencePreprocess  # that they were trained with
    step: int | None  # of the run; None for other weights
    message: str  # for the user
    run: SavedRun | None = None  # None for other weights
    task: Task | None = None  # that of the run to start, as a head that is kept needs it: see `Task.with_head`
    origin: Mapping[str, Any] = MappingProxyType({})  # of other weights than a run's: see `weights_origin`
    notes: tuple[str, ...] = ()  # on what differs from a file of weights


def warm_start(
    source: str | Path,
    model: nn.Module,
    classes: Sequence[str],
    *,
    head: Literal["new", "keep"] | None = None,
    step: str | int = "latest",
    ema: bool = False,
    task: Task | None = None,
    preprocess: Preprocess | SequencePreprocess | None = None,
) -> WarmStart:
    """The weights of a run, or from another source of `load_pretrained`, for `model`.

    Args:
      source: a run directory, or what `load_pretrained` reads.
      classes: names of the outputs of `model`.
      head: keep the classifier or initialise a new one; None: keep that of a run of the same task and classes. Kept
        outputs are reordered as `classes`.
      step, ema: which weights of a run, as for `load_checkpoint`. A file may have averaged weights, too.
      task: what `model` is for; None: classification.
      preprocess: that of the data; None: any, and the weights' is returned.

    Raises:
      FileNotFoundError: there are no such weights.
      ValueError: the arrays do not fit the model, or belong to one with other components; the kept classifier has
        another number of classes, or is of a run of another task; a step of a file; missing averaged weights; weights
        that were trained on other data than `preprocess` makes.
    """
    if head not in (None, "new", "keep"):
        raise ValueError(f"expected head new or keep, got {head!r}")
    check_source(source)
    task, path = get_task("classification") if task is None else task, expanded(source)
    if is_run(source):
        weights, origin = _read_run(path, classes, task, head, step, ema), {}
    else:
        if step != "latest":
            raise ValueError(f"{public_address(str(source))} is a file; only runs have steps")
        read = _read_dense_weights if is_dense(model) else _read_weights
        weights = read(source, model, classes, keeps_head=head == "keep", ema=ema)
        origin = weights_origin(source)
    if has_texts(model):
        known = weights.loaded.classes or () if weights.run is None else weights.run.checkpoint.metadata["classes"]
        check_pairs(public_address(str(source)), weights.loaded, known, classes, head)
        weights = weights._replace(num_classes=len(classes), keeps_head=True, order=None, description="both towers")
    source, theirs = public_address(str(source)), weights.loaded.preprocess
    how = theirs if preprocess is None else adopted(theirs, preprocess, source)
    if weights.keeps_head and weights.num_classes != len(classes):
        problem = f"expected a classifier of {len(classes)} classes, got one of {weights.num_classes} in {source}"
        raise ValueError(f"{problem}; --init.head new initialises one")
    if is_dense(model):
        _check_order(weights, source)
        variables = fit_dense(weights.loaded, model, source, keeps_head=weights.keeps_head)
        notes = (*weights.notes, *note_epsilon(weights.loaded, model))
    else:
        variables, notes = _fit(weights, model, source), weights.notes
    if weights.keeps_head and weights.run is not None:
        task = task.with_head(weights.run.checkpoint.metadata.get("task_record", {}), weights.order)
    step_of_run = None if weights.run is None else weights.run.checkpoint.step
    message = weights.message(source, how)
    return WarmStart(variables, how, step_of_run, message, weights.run, task, origin, notes)


class _Weights(NamedTuple):
    """Weights of a run or from elsewhere, before they are fitted to a model."""

    loaded: Pretrained
    num_classes: int
    description: str  # for messages
    keeps_head: bool
    order: list[int] | None = None  # of the outputs, as the model's classes have them; None: as they are
    run: SavedRun | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of a file, without the one on its head, which `message` has."""
        return tuple(note for note in self.loaded.notes if note != new_head(self.num_classes, 0))

    def message(self, source: str | Path, preprocess: Preprocess | SequencePreprocess) -> str:
        images, classifier = described_preprocess(preprocess), "its" if self.keeps_head else "a new"
        text = f"weights of {source} ({self.loaded.name}, {self.description}; {images})"
        return text if has_texts(self.loaded.model) else f"{text}; {classifier} classifier"


def _read_run(path: Path, classes: Sequence[str], task: Task, head: str | None, step: str | int, ema: bool) -> _Weights:
    """The weights of a run, and whether its head is kept for these classes and this task."""
    run = open_run(path, step)
    metadata = run.checkpoint.metadata
    try:
        loaded = pretrained(run.checkpoint, ema=ema)
    except NotFinite as error:
        raise ValueError(f"{error.problem}; --init.step takes another checkpoint") from None
    order = _order(metadata["classes"], classes)
    is_same_task = task_name(metadata) == task.name
    keeps_head = head == "keep" or (head is None and order is not None and is_same_task)
    if keeps_head and not is_same_task:
        problem = f"expected a head of the task {task.name!r}, got one of {task_name(metadata)!r} in {path}"
        raise ValueError(f"{problem}; --init.head new initialises one")
    count = len(metadata["classes"])
    outputs = count_in_words(task.label_kind, count) if is_same_task else f"{count} outputs"
    description = f"step {run.checkpoint.step}, {outputs}"
    run = replace(run, checkpoint=replace(run.checkpoint, arrays={}))  # those of the optimiser would stay in memory
    return _Weights(loaded, count, description, keeps_head, order, run)


def _read_weights(
    source: str | Path, model: nn.Module, classes: Sequence[str], *, keeps_head: bool, ema: bool
) -> _Weights:
    """Weights that are not a run's, with their classifier if `keeps_head`."""
    which, note = True if ema else None, ""
    try:
        count = classes_of(source, model, ema=which)
    except AmbiguousWeights:
        which, note = False, ", its raw weights (--init.ema takes the averaged ones)"
        count = classes_of(source, model, ema=which)
    try:
        number = None if has_texts(model) else count if keeps_head else 0
        loaded = load_pretrained(source, model=model, num_classes=number, ema=which)
    except WrongModel as error:
        hint = f"choose its net: --model.name {one_of(error.match.names)}"
        raise ValueError(f"{error.file} is {error.match}; {hint}") from None
    except NotFinite as error:
        raise ValueError(error.problem) from None
    except WeightsMismatch as error:
        raise ValueError(f"{error}{hint_of_message(str(error), model)}") from None
    order = _order_by_labels(loaded.classes, classes, source) if keeps_head and loaded.classes is not None else None
    return _Weights(loaded, count, f"{count} classes{note}", keeps_head, order)


def _read_dense_weights(
    source: str | Path, model: Any, classes: Sequence[str], *, keeps_head: bool, ema: bool
) -> _Weights:
    """Weights of a segmenter or detector, or of its backbone, that are not a run's."""
    which, note = True if ema else None, ""
    try:
        net = net_of(source, ema=ema)
    except ValueError:  # no registered net with its default options has these arrays; this one may
        net = net_of(source, model, ema=ema)
    try:
        loaded = read_dense(source, model, net, ema=which)
    except AmbiguousWeights:
        note = ", its raw weights (--init.ema takes the averaged ones)"
        loaded = read_dense(source, model, net, ema=False)
    if not is_dense(loaded.model):
        return _Weights(loaded, 0, f"for the backbone{note}", keeps_head)
    count = classes_of(source, model, ema=False if note else which) - (model.num_classes - len(classes))
    order = None if loaded.classes is None else _order(loaded.classes, classes)
    return _Weights(loaded, count, f"{count} classes{note}", keeps_head, order)


def _check_order(weights: _Weights, source: str | Path) -> None:
    """Raises ValueError for a kept head of a dense net whose classes have another order."""
    if weights.keeps_head and weights.order is not None and weights.order != sorted(weights.order):
        raise ValueError(f"the classes of {source} have another order; --init.head new initialises a head")


def net_of(source: str | Path, model: str | nn.Module | None = None, *, ema: bool = False) -> str:
    """The registered net of weights that are not a run's: `model` if they fit it.

    Raises:
      ValueError, OSError: as `check_source` and `load_pretrained`.
    """

    def name(which: bool | None) -> str:
        try:
            return load_pretrained(source, model=model, ema=which, allow_nonfinite=True).name
        except WrongModel as error:
            return str(error.match.names[0])

    check_source(source)
    try:
        return name(True if ema else None)
    except AmbiguousWeights:
        return name(False)


def weights_origin(source: str | Path) -> dict[str, Any]:
    """Identifies weights: the files' SHA-256 as "files", and of a repository of the hub its "revision"."""
    path = resolve(source).path
    shards = map(path.with_name, shard_names(path) if path.suffix == ".json" else ())
    files = {file.name: sha256(file) for file in (path, *shards)}
    revision = path.parent.name if hub_cache(path.parent) else None
    return {"files": files} | ({} if revision is None else {"revision": revision})


def _fit(weights: _Weights, model: nn.Module, source: str | Path) -> Variables:
    """The variables for `model`, without those of a classifier that is to be initialised.

    Raises:
      ValueError: the arrays do not fit the model, or belong to one with other components.
    """
    loaded, is_used = weights.loaded, lambda at: weights.keeps_head or at[:3] != CLASSIFIER
    variables = {at: x for at, x in flatten_dict(loaded.variables).items() if is_used(at)}
    if weights.order is not None:  # reorder the outputs by the classes' names
        order = np.array(weights.order)
        variables = {at: x[..., order] if at[:3] == CLASSIFIER else x for at, x in variables.items()}
    expected = {at: x for at, x in flatten_dict(shapes(model, model.image_size).variables).items() if is_used(at)}
    problems = _mismatches({at: x.shape for at, x in variables.items()}, {at: x.shape for at, x in expected.items()})
    if problems and weights.run is not None and loaded.name != registered_name(model):
        raise ValueError(f"{source} is a run of {loaded.name}; choose its net: --model.name {loaded.name}")
    if problems:
        hint = length_hint(getattr(loaded.model, "context_length", None), model)
        raise ValueError(f"the weights of {source} ({loaded.name}) do not fit the model: {listed(problems, 3)}{hint}")
    nets = (loaded.model, model)
    same = [(name, [getattr(backbone_of(net), name) for net in nets]) for name in SAME_COMPONENTS]
    if has_texts(model):
        same += [(name, [getattr(net, name) for net in nets]) for name in TEXT_COMPONENTS]
    for name, (theirs, ours) in same:
        if theirs != ours:
            problem = f"expected {name} {_named(ours)}, got {_named(theirs)}"
            raise ValueError(f"the weights of {source} ({loaded.name}) are of another model: {problem}")
    return unflatten_dict(variables)


def check_source(source: str | Path) -> None:
    """Downloads published weights; raises FileNotFoundError if there is neither a run nor a file of weights."""
    path = expanded(source)
    if path.exists():
        return
    if not is_run(source) and not is_missing_file(source):
        resolve(source)
        return
    beside = [other.name for other in path.parent.iterdir() if _is_source(other)] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, [] if str(path) in MODELS else beside, "set --init.from")
    raise FileNotFoundError(f"nothing at {str(path)!r}; expected a run or a file of weights ({WEIGHT_FILES}); {hint}")


def _is_source(path: Path) -> bool:
    return (path / "config.json").is_file() or path.suffix in SUFFIXES[:-1]  # .json has other things, too


def note_trained_images(start: WarmStart, plan: RunPlan) -> list[str]:
    """A note on test images that the source run was trained on, if there are any or if that is not known.

    Raises:
      ValueError: the record of the source's images is corrupted.
    """
    if start.run is None:
        return []
    record = start.run.record
    is_own = record is not None and place(plan.config.data) == place(start.run.config.data)
    mask, known = trained_on(plan.test.examples, [(record, is_own)])
    images, run = f"{int(mask.sum()):,} of the {len(mask):,} test {plan.nouns[1]}", plan.config.init.from_
    notes = [f"{run} was trained on {images}: their test results are too good"] if mask.any() else []
    return (
        notes
        if known
        else [*notes, f"whether {run} was trained on test {plan.nouns[1]} is unknown: see its images.npz"]
    )


def note_default_rate(config: OptimConfig) -> list[str]:
    """A note if pretrained weights are to be trained at a rate that usually destroys them."""
    if config.optimizer != "sgd" or config.peak_lr < HIGH_RATE or config.freeze is not None:
        return []
    rate = f"--optim.peak-lr {config.peak_lr:g} is high for weights that are already trained"
    return [f"{rate}; fine-tuning usually takes 0.001 to 0.02"]


def _order(theirs: Sequence[str], ours: Sequence[str]) -> list[int] | None:
    """The index in `theirs` of each of `ours`; None if they are not the same classes."""
    by_name = {composed(name): place for place, name in enumerate(theirs)}
    order = [by_name.get(composed(name), -1) for name in ours]
    return order if sorted(order) == list(range(len(theirs))) else None


def _order_by_labels(theirs: Sequence[str], ours: Sequence[str], source: str | Path) -> list[int] | None:
    """As `_order`, for names of a label set in any of their forms; warns where as many classes have other names."""
    order = _order(theirs, ours)
    if order is not None or len(theirs) != len(ours):
        return order
    try:
        places = labels_of_classes(theirs).match(ours)
    except ValueError as error:
        problem = (
            f"the kept outputs of {public_address(str(source))} stay in their order, as its classes have other names"
        )
        warnings.warn(f"{problem}: {one_line(error)}", stacklevel=2)
        return None
    return [places[name] for name in ours]


def _named(component: Any) -> str:
    return getattr(component, "__name__", None) or repr(component)


def _mismatches(actual: dict[Any, Any], expected: dict[Any, Any]) -> list[str]:
    return [
        f"{'/'.join(at)}: expected {list(expected[at]) if at in expected else 'nothing'}, "
        f"got {list(actual[at]) if at in actual else 'nothing'}"
        for at in sorted(actual.keys() | expected.keys())
        if actual.get(at) != expected.get(at)
    ]
