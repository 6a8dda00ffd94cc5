"""Config -> checked RunPlan. Mistakes raise here, before any device is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, cast

import flax.linen as nn
import optax

from resnet_jax.checkpoints.best import Measure
from resnet_jax.config import Config, ModelConfig, check_config, check_moments, class_weight
from resnet_jax.data import Loader
from resnet_jax.data.loading.dense import with_masks
from resnet_jax.data.loading.loader import ImageLoader
from resnet_jax.data.loading.samplers import epoch_steps
from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.data.sources.held_out import HELD_OUT
from resnet_jax.data.sources.identity import MANY, Identity
from resnet_jax.data.sources.subsets import identify
from resnet_jax.errors import did_you_mean
from resnet_jax.inputs import SequencePreprocess
from resnet_jax.models import create_model, get_spec, shapes
from resnet_jax.models.phases import Phase, training_phases
from resnet_jax.runs.files.image_record import ImageRecord
from resnet_jax.runs.planning.checks import (
    check_batch_and_shape,
    check_data_path,
    check_evaluator,
    check_model_options,
    check_net_of_task,
    check_objective,
    check_objects,
    constant_targets,
    count_soft_gate_steps,
    count_steps,
)
from resnet_jax.runs.planning.datasets import caption_notes, data_notes, open_data
from resnet_jax.runs.planning.model_options import parse_options
from resnet_jax.runs.planning.optimizer import (
    frozen,
    frozen_note,
    lowest_note,
    make_schedule,
    plateau_rule,
    warmup_steps,
)
from resnet_jax.runs.planning.sequence_data import data_kind, open_sequence_data, sequence_notes
from resnet_jax.runs.planning.transcripts import transcript_notes
from resnet_jax.tasks import TASKS, Task, TaskOptions, check_definition, check_record, get_task
from resnet_jax.types import Preprocess, nouns_of


@dataclass(frozen=True)
class RunPlan:
    """A checked run: its config, model, data, schedule and length."""

    config: Config
    splits: tuple[str, str]  # names of the training and the test split
    task: Task
    model: nn.Module
    overrides: dict[str, Any]  # options of create_model
    train: Loader
    test: Loader
    data_name: str
    own_classes: tuple[str, ...]  # the data's class names in the order of their labels, before they were renamed
    preprocess: Any  # a Preprocess; of series, sounds and texts a SequencePreprocess
    schedule: optax.Schedule
    steps: int
    steps_per_epoch: int
    eval_every_steps: int
    notes: tuple[str, ...] = ()  # for the user, on the data and on how the config was understood
    best: Measure = Measure("loss", -1)  # test result by which the best state is chosen
    record: ImageRecord | None = None  # images of the run to resume

    @property
    def nouns(self) -> tuple[str, str]:
        """What messages call an example, and several: ("image", "images")."""
        return nouns_of(self.preprocess.kind, self.task.label_kind)

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """The nets that are trained, in order."""
        soft_gate_steps = count_soft_gate_steps(self.config, self.steps_per_epoch)
        penalty = self.config.optim.gate_penalty
        return training_phases(self.model, gate_penalty=penalty, soft_gate_steps=soft_gate_steps)

    @cached_property
    def identities(self) -> tuple[Identity, Identity]:
        """Identities of the training and the test images. Large sets of files are identified without reading them.

        A resumed run keeps its kind of fingerprint, because fingerprints of two kinds cannot be compared.
        """
        examples = self.train.examples, self.test.examples
        by_contents = sum(map(len, examples)) <= MANY or any(split.endswith(f"[{HELD_OUT}]") for split in self.splits)
        kind = "contents" if by_contents else "names"
        if self.record is not None:
            kind = self.record.train.kind
        train, test = (identify(one, kind) for one in examples)
        return train, test


def make_plan(
    config: Config,
    record: ImageRecord | None = None,
    task: Task | None = None,
    tokens: tuple[str, ...] | None = None,
) -> RunPlan:
    """Checks a config, opens its data and builds its model; uses no device.

    Args:
      record: images of a run to resume; each stays on its side, training or held out.
      task: replaces the task that the config names.
      tokens: of captions; see `open_data`.

    Raises:
      ValueError, TypeError, OSError: a mistake, with the nearest valid choice.
    """
    _check_without_data(config, task)
    label_kind = (get_task(config.task) if task is None else task).label_kind
    train: Loader
    test: Loader
    if (kind := data_kind(config)) == "images":
        dataset, splits, train, test = open_data(config.data, record, label_kind, tokens)
    else:
        takes = get_spec(config.model.name).input_kind
        dataset, splits, train, test = open_sequence_data(config.data, kind, takes, record, label_kind)
    nouns = nouns_of(train.kind, label_kind)
    check_batch_and_shape(config, f"{dataset.name} ({splits[0]})", train, test, nouns)
    check_objects(f"{dataset.name} ({splits[0]})", train)
    fitted = make_task(config, train, task)
    if getattr(fitted, "compares_examples", False) and config.data.batch_size < 2:
        raise ValueError(
            f"--data.batch-size: expected at least 2 pairs, which are compared, got {config.data.batch_size}"
        )
    overrides = model_overrides(config.model, **{"num_classes": fitted.num_outputs, **train.model_options()})
    model = fitted.build(config.model.name, overrides, train)
    if getattr(model, "needs_masks", False):
        train = with_masks(train)
    outputs, variables = (traced := shapes(model, train.spatial_shape)).outputs, traced.variables
    if task is not None and not is_of_package(task):
        check_record(fitted)
        check_objective(fitted.objective, model, variables, train, gradient_flow=config.train.gradient_flow)
        check_evaluator(fitted, model, variables, test)
    preprocess = _preprocess(config, train)
    steps_per_epoch = epoch_steps(train.num_examples, config.data.batch_size, keeps_last=train.keeps_last)
    steps = count_steps(config, steps_per_epoch)
    schedule = make_schedule(
        config.optim, batch_size=config.data.batch_size, steps_per_epoch=steps_per_epoch, steps=steps
    )
    plateau_rule(config.optim, config.data.batch_size)  # raises for values that contradict each other
    notes = (
        *(data_notes if kind == "images" else sequence_notes)(config.data, dataset, splits[0]),
        *caption_notes(train),
        *(constant_targets(splits, train, test) if label_kind == "targets" else ()),
        *warmup_steps(config.optim, steps_per_epoch, steps)[1],
        *frozen_note(frozen(config.optim, model), variables["params"]),
        *lowest_note(config.optim),
    )
    if label_kind == "transcript" and isinstance(train, SequenceLoader) and isinstance(test, SequenceLoader):
        skips = config.data.unreadable == "skip"
        notes += transcript_notes(train, test, outputs.logits.shape, skips=skips)
    eval_every_steps = max(1, round(config.train.eval_every_epochs * steps_per_epoch))
    notes += steps_per_call_note(config, steps, eval_every_steps)
    is_renamed = config.data.class_names is not None
    return RunPlan(
        config=config,
        splits=splits,
        task=fitted,
        model=model,
        overrides=overrides,
        train=train,
        test=test,
        data_name=f"{dataset.name} ({splits[0]}; test: {splits[1]})",
        own_classes=dataset.examples(splits[0]).classes if is_renamed else train.classes,
        preprocess=preprocess,
        schedule=schedule,
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        eval_every_steps=eval_every_steps,
        notes=notes,
        best=best_measure(config, fitted),
        record=record,
    )


def steps_per_call_note(config: Config, steps: int, eval_every_steps: int) -> tuple[str, ...]:
    """A note where the steps of a call are never together: a call ends at each save, test and the end of the run."""
    every = config.checkpoint.every_steps
    ends = [(steps, "a run"), (eval_every_steps, "--train.eval-every-epochs")]
    ends += [(every, "--checkpoint.every-steps")] if every else []
    fewest, what = min(ends)
    if config.train.steps_per_call <= fewest:
        return ()
    limit = f"expected at most {fewest:,}, the steps of {what}"
    return (f"--train.steps-per-call {config.train.steps_per_call} has no effect; {limit}",)


def with_tokens(plan: RunPlan, tokens: Sequence[str]) -> RunPlan:
    """The plan whose captions have these tokens, those of a checkpoint; (): its own, or none that are words."""
    own = plan.train.classes
    if plan.task.label_kind != "caption" or not own or not tokens or own == tuple(tokens):
        return plan
    return make_plan(plan.config, plan.record, plan.task, tuple(tokens))


def _check_without_data(config: Config, task: Task | None) -> None:
    """Checks all that needs no data, because opening the data may take long."""
    check_config(config)
    check_moments(config.data)
    kind = data_kind(config)
    if task is not None:
        check_definition(task)
    if task is None or type(task) is type(TASKS.get(config.task)):
        check_net_of_task(config)
    takes = get_spec(config.model.name).input_kind
    of_input = {} if takes == "tokens" else {"in_channels": 1}
    overrides = model_overrides(config.model, num_classes=0 if takes == "image-text" else 2, **of_input)
    try:
        model = create_model(config.model.name, **overrides)
    except TypeError as error:
        raise ValueError(f"--model.options: {error}") from None
    except ValueError as error:
        option = str(error).partition(":")[0]
        is_typed_there = option.isidentifier() and option not in asdict(config.model)
        raise ValueError(f"--model.options {error}" if is_typed_there else str(error)) from None
    check_model_options(config, model)
    check_data_path(config.data.path, kind)


def make_task(config: Config, train: Loader, task: Task | None = None) -> Task:
    """The task that a config names, or `task`, for this training data.

    Raises:
      ValueError: an unknown name, or data without labels for the task.
    """
    weights: Any = config.optim.class_weights
    if weights is not None and isinstance(weights[0], str) and weights != "balanced":
        weights = dict(map(class_weight, weights))
    values = {field.name: getattr(config.optim, field.name) for field in fields(TaskOptions)}
    options = TaskOptions(**values | {"class_weights": weights})
    return (get_task(config.task) if task is None else task).for_data(train, options)


def is_of_package(task: Task) -> bool:
    """Whether a task is one of this package, perhaps with options, and no subclass."""
    return type(task) is type(TASKS.get(getattr(task, "name", "")))


def with_task(config: Config, task: Task | None) -> Config:
    """The config with the name and options of a task of this package, where it has the defaults: runs record them."""
    if task is None or not is_of_package(task):
        return config
    passed, defaults = task.options(), TaskOptions()
    options = {field.name: _as_config_has(getattr(passed, field.name)) for field in fields(TaskOptions)}
    unset = {name: x for name, x in options.items() if getattr(config.optim, name) == getattr(defaults, name)}
    return replace(config, task=task.name, optim=replace(config.optim, **unset))


def _as_config_has(value: Any) -> Any:
    """An option of a task as a config has it: {"cat": 2.0} as ("cat=2.0",), other sequences as tuples of numbers."""
    if isinstance(value, Mapping):
        return tuple(f"{name}={weight}" for name, weight in value.items())
    return value if value is None or isinstance(value, str | int | float) else tuple(map(float, value))


def best_measure(config: Config, task: Task) -> Measure:
    """The test result by which the best state is chosen: `checkpoint.best`, or the first one of the task.

    Raises:
      ValueError: the task has no such result.
    """
    name = config.checkpoint.best or next(iter(task.measures))
    try:
        return Measure.of(name, task.measures)
    except ValueError:
        expected = did_you_mean(name.removeprefix("ema_"), task.measures)
        raise ValueError(f"--checkpoint.best {name}: the task {task.name} has no such result; {expected}") from None


def model_overrides(config: ModelConfig, *, num_classes: int, **of_input: Any) -> dict[str, Any]:
    """Options of `create_model` beside the name; `of_input` are those that the data decides, such as in_channels.

    Raises:
      ValueError: an option that differs from what the data decides.
    """
    overrides = {name: value for name, value in asdict(config).items() if name not in ("name", "options")}
    options = parse_options(config.options, overrides)
    for name in options.keys() & of_input.keys():
        if options[name] != of_input[name]:
            raise ValueError(f"model.options {name}: expected {of_input[name]}, as the data has, got {options[name]}")
    if config.stem is None:
        del overrides["stem"]
    # A task without outputs of its own takes the net's, such as the features of pairs.
    return overrides | options | ({"num_classes": num_classes} if num_classes else {}) | of_input


def _preprocess(config: Config, train: Loader) -> Preprocess | SequencePreprocess:
    """Preprocessing of the images: mean and deviation are the config's, or else those of the training images."""
    if isinstance(train, SequenceLoader):
        return train.preprocess
    images = cast(ImageLoader, train)
    data, (height, _, channels) = config.data, images.image_shape
    measured = images.moments() if data.mean is None or data.std is None else ((), ())
    mean = measured[0] if data.mean is None else data.mean
    std = measured[1] if data.std is None else data.std
    if not len(mean) == len(std) == channels:
        values = f"--data.mean {' '.join(map(str, mean))} and --data.std {' '.join(map(str, std))}"
        raise ValueError(f"expected {channels} numbers, one per channel, in {values}")
    return Preprocess(height, images.resize, mean, std, interpolation=data.interpolation, crop_mode=images.crop_mode)


def adopt_preprocess(plan: RunPlan, preprocess: Preprocess | SequencePreprocess) -> RunPlan:
    """The plan with the normalisation that its first weights were trained with, unless the config sets another.

    Series, sounds and texts get the whole preprocessing, but for the length of examples.

    Raises:
      ValueError: they were trained on data of another kind, or on texts with another vocabulary.
    """
    if preprocess.kind != plan.preprocess.kind:
        raise ValueError(f"expected weights of a net of {plan.preprocess.kind}, got one of {preprocess.kind}")
    if not (isinstance(preprocess, Preprocess) and isinstance(plan.preprocess, Preprocess)):
        adopted = plan.preprocess.adopt(preprocess)
        if adopted == plan.preprocess:  # the loaders may have read all lengths already
            return plan
        train, test = (replace(cast(Any, loader), preprocess=adopted) for loader in (plan.train, plan.test))
        return replace(plan, preprocess=adopted, train=train, test=test)
    data = plan.config.data
    mean = preprocess.mean if data.mean is None else plan.preprocess.mean
    std = preprocess.std if data.std is None else plan.preprocess.std
    return replace(plan, preprocess=replace(plan.preprocess, mean=mean, std=std))
