"""From a Config to a checked run: everything that can be wrong is found here, before any work."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import flax.linen as nn
import jax
import numpy as np
import optax
from flax.traverse_util import flatten_dict

from resnet_jax import data
from resnet_jax.config import (
    DEFAULT_WARMUP,
    Config,
    DataConfig,
    ModelConfig,
    OptimConfig,
    check_config,
    check_data,
    check_moments,
    class_weight,
)
from resnet_jax.data import Dataset, Loader
from resnet_jax.data.loading.statistics import depth_note
from resnet_jax.data.sources.class_names import shortened
from resnet_jax.data.sources.held_out import HELD_OUT, Sides, shared
from resnet_jax.data.sources.identity import MANY, Identity, differences, repaired
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.data.sources.subsets import identify
from resnet_jax.errors import composed
from resnet_jax.files import expanded
from resnet_jax.models import MODELS, create_model, list_models, shapes, sort_components
from resnet_jax.models.skipnet import SkipNet
from resnet_jax.runs.directory import read_config
from resnet_jax.runs.image_record import Record, make_record, read_record
from resnet_jax.tasks import Task, TaskOptions, get_task
from resnet_jax.training import optim
from resnet_jax.training.freeze import keep_statistics
from resnet_jax.training.sown import SOWN
from resnet_jax.types import Preprocess

PACKAGES = {"/usr/share/datasets/fashion-mnist": "dataset-fashion-mnist"}  # of Debian, by the folder they fill


@dataclass(frozen=True)
class Plan:
    """A checked run, before any device is touched."""

    config: Config
    splits: tuple[str, str]  # of training and of test images
    task: Task
    model: nn.Module
    overrides: dict[str, Any]  # of create_model
    train: Loader
    test: Loader
    data_name: str
    own_classes: tuple[str, ...]  # the data's class names, in the order of their labels, before they were renamed
    preprocess: Preprocess
    schedule: optax.Schedule
    steps: int
    steps_per_epoch: int
    eval_every_steps: int
    soft_gate_steps: int  # the first ones
    notes: tuple[str, ...] = ()  # what a person should know of the data and of how the config was understood
    record: Record | None = None  # of a run that was begun: its images

    @cached_property
    def identities(self) -> tuple[Identity, Identity]:
        """Which training and test images there are. Where files are many, none is read for this.

        A run that is resumed stays with what it has begun with: fingerprints of two kinds cannot be compared.
        """
        examples = self.train.examples, self.test.examples
        by_contents = sum(map(len, examples)) <= MANY or any(split.endswith(f"[{HELD_OUT}]") for split in self.splits)
        kind = "contents" if by_contents else "names"
        if self.record is not None:
            kind = self.record.train.kind
        train, test = (identify(own, kind) for own in examples)
        return train, test


def make_plan(config: Config, record: Record | None = None, task: Task | None = None) -> Plan:
    """Checks a config, reads its data and builds its net; touches no device.

    Args:
      record: of the images of a run that is resumed: those it has keep their side, training or held out.
      task: instead of the one that config.task names.

    Raises:
      ValueError, TypeError, OSError: what is wrong, with the nearest valid choice.
    """
    check_config(config)
    check_moments(config.data)
    # Names and rates first: reading the data may take long.
    named = create_model(config.model.name, **model_overrides(config.model, num_classes=1, in_channels=1))
    for name, value in (
        ("optim.gate_penalty", config.optim.gate_penalty),
        ("train.soft_gate_epochs", config.train.soft_gate_epochs),
    ):
        if value and not isinstance(named, SkipNet):
            gated = ", ".join(known for known in list_models() if MODELS[known].family == "skipnet")
            raise ValueError(f"{name}={value} is for SkipNets; {config.model.name} has no gates; valid: {gated}")
    if config.optim.freeze is not None or config.optim.lr_multiplier:
        check_patterns(config.optim, shapes(named, named.image_size).variables["params"])
    if config.data.path is not None and not (path := expanded(config.data.path)).exists():
        wanted = "a folder with a sub-folder of images per class, or a file of images"
        hint = f"; Debian and Ubuntu have it in the package {PACKAGES[str(path)]}" if str(path) in PACKAGES else ""
        raise FileNotFoundError(f"no file or folder {str(path)!r}; expected --data.path PATH, {wanted}{hint}")
    dataset, splits, train, test = open_data(config.data, record)
    batch_size = config.data.batch_size
    if batch_size > train.num_examples:
        count = f"{dataset.name} ({splits[0]}) has {train.num_examples} images"
        smaller = 1 << max(0, train.num_examples.bit_length() - 2)
        raise ValueError(
            f"data.batch_size={batch_size}, but {count}; wanted: at most that many, as --data.batch-size {smaller}"
        )
    height, width, channels = train.image_shape
    if height != width or test.image_shape != train.image_shape:
        sizes = " and ".join(" x ".join(map(str, source.image_shape)) for source in (train, test))
        raise ValueError(f"images of {dataset.name} are {sizes}; wanted: squares of one size; set data.image_size")
    task = make_task(config, train, task)
    overrides = model_overrides(config.model, num_classes=task.num_outputs, in_channels=channels)
    model = task.build(config.model.name, overrides, train)
    shapes(model, height)
    own = train.moments() if config.data.mean is None or config.data.std is None else ((), ())
    mean = own[0] if config.data.mean is None else config.data.mean
    std = own[1] if config.data.std is None else config.data.std
    if not len(mean) == len(std) == channels:
        raise ValueError(f"data.mean={mean}, data.std={std}; wanted: {channels} numbers each, one per channel")
    steps_per_epoch = train.num_examples // batch_size
    steps = config.train.steps or round(config.train.epochs * steps_per_epoch)
    if not steps:
        raise ValueError(f"train.epochs={config.train.epochs} is no step at all; an epoch has {steps_per_epoch}")
    if steps >= 2**31:
        said = f"{length(config)} is {steps:,} steps, and an epoch has {steps_per_epoch}"
        raise ValueError(f"{said}; wanted: less than 2**31 steps")
    soft_gate_steps = round(config.train.soft_gate_epochs * steps_per_epoch)
    if soft_gate_steps >= steps:
        said = f"train.soft_gate_epochs={config.train.soft_gate_epochs} is {soft_gate_steps} steps of a run of {steps}"
        raise ValueError(f"{said}; wanted: less, so that the net is trained with the hard gates it is tested with")
    names = config.data.class_names
    own_classes = train.classes if names is None else dataset.examples(splits[0]).classes
    return Plan(
        config=config,
        splits=splits,
        data_name=f"{dataset.name} ({splits[0]}; test: {splits[1]})",
        own_classes=own_classes,
        task=task,
        model=model,
        overrides=overrides,
        train=train,
        test=test,
        preprocess=Preprocess(
            image_size=height,
            resize=train.resize,
            mean=mean,
            std=std,
            interpolation=config.data.interpolation,
        ),
        schedule=make_schedule(config.optim, batch_size=batch_size, steps_per_epoch=steps_per_epoch, steps=steps),
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        soft_gate_steps=soft_gate_steps,
        eval_every_steps=max(1, round(config.train.eval_every_epochs * steps_per_epoch)),
        notes=(
            *data_notes(config.data, dataset, splits[0]),
            *_warmup(config.optim, steps_per_epoch, steps)[1],
            *_frozen_note(config.optim, shapes(model, height).variables["params"]),
        ),
        record=record,
    )


def length(config: Config) -> str:
    """The option that says how long the run is, with its value."""
    train = config.train
    return f"train.epochs={train.epochs}" if train.steps is None else f"train.steps={train.steps}"


def make_task(config: Config, train: Loader, task: Task | None = None) -> Task:
    """The task that a config names, or `task`, for this training data.

    Raises:
      ValueError: an unknown name, or data that the task is not for.
    """
    weights: Any = config.optim.class_weights
    if weights is not None and isinstance(weights[0], str) and weights != "balanced":
        weights = dict(map(class_weight, weights))
    options = TaskOptions(config.optim.label_smoothing, weights, config.optim.regression_loss)
    return (get_task(config.task) if task is None else task).for_data(train, options)


def adopt_preprocess(plan: Plan, preprocess: Preprocess) -> Plan:
    """The plan of a run that goes on, or begins from other weights: it normalises images as those were trained with.

    A mean and a deviation in the config count before that.
    """
    data = plan.config.data
    mean = preprocess.mean if data.mean is None else plan.preprocess.mean
    std = preprocess.std if data.std is None else plan.preprocess.std
    return replace(plan, preprocess=replace(plan.preprocess, mean=mean, std=std))


def data_facts(plan: Plan) -> dict[str, Any]:
    """What must not change between the starts of a run: it would change which images are trained on."""
    images = {"train": plan.train.num_examples, "test": plan.test.num_examples}
    digests = {split: own.digests for split, own in zip(images, plan.identities, strict=True)}
    facts = {"images": images, "classes": list(plan.train.classes), "digests": digests}
    if plan.config.data.class_names is not None:  # names by place mean other classes when the order changes
        facts["own_classes"] = list(plan.own_classes)
    return facts


def with_recorded_classes(plan: Plan, meta: Mapping[str, Any]) -> Plan:
    """The plan with classes in the order that a checkpoint has them in, where that is all that differs."""
    recorded, classes = tuple(meta["classes"]), plan.train.classes
    if recorded == classes or sorted(map(composed, recorded)) != sorted(map(composed, classes)):
        return plan
    if plan.config.data.classes is not None or plan.config.data.class_names is not None:  # an order that was asked for
        return plan
    train, test = (data.with_classes(source, recorded) for source in (plan.train, plan.test))
    return replace(plan, train=train, test=test, task=make_task(plan.config, train, plan.task))


def data_changes(
    plan: Plan, meta: Mapping[str, Any], record: Record | None = None, *, exact: bool = False
) -> tuple[list[str], list[str]]:
    """Data facts that differ from `meta`, a checkpoint's; the run's `record` of its images says more of them.

    Returns what changes the steps that are made, a line or none; and notes. Those are on other test images, and on
    few training images with other contents, as after a file was repaired (see `repaired`).

    Args:
      exact: the steps of before are to be made again, so that a repaired training image changes them.
    """
    before, now = meta.get("data", {}), data_facts(plan)
    earlier = {name: before.get(name, value) for name, value in now.items()}
    names = [name for name in now if name not in ("digests", "images") and earlier[name] != now[name]]
    changes = [f"{name} {earlier[name]}, now {now[name]}" for name in names]
    if earlier["images"]["train"] != now["images"]["train"]:
        changes.append(f"images {earlier['images']}, now {now['images']}")
    notes = []
    pairs = dict(zip(now["images"], plan.identities, strict=True))
    for split, own in pairs.items():
        recorded = None if record is None else getattr(record, split)
        details = [] if recorded is None else differences(recorded, own)
        had, has = before.get("digests", {}).get(split), now["digests"][split]
        comparable = had is not None and had["kind"] == has["kind"]
        count = 0
        if record is not None and recorded is not None and not (exact and split == "train"):
            count = repaired(recorded, own, np.union1d(record.trained, record.test.fingerprints))
        changed = had["set"] != has["set"] if comparable else count > 0
        if count and (changed or not comparable):
            images = f"{count:,} {split} image{'s have' if count > 1 else ' has'}"
            notes.append(f"{images} other contents than before, under the same name and label")
        elif split == "test" and (changed or earlier["images"][split] != now["images"][split]):
            said = ", ".join(details) or f"{earlier['images'][split]:,} before, now {now['images'][split]:,}"
            notes.append(f"the test images are others than before ({said}): results before and after do not compare")
        elif changed:
            changes.append(f"{split} images: {', '.join(details) or 'others than before'}")
        elif split == "train" and comparable and had["order"] != has["order"]:
            reason = f" ({', '.join(details)})" if details else ""
            changes.append(f"train images in another order{reason}, so that batches are others")
    if (changes or notes) and record is not None:
        count = int(np.isin(pairs["test"].fingerprints, record.trained).sum())
        said = f"{count:,} of {len(pairs['test'].fingerprints):,} test images were trained on before"
        (changes or notes).extend([said] if count else [])
    return [f"the data has changed since this run began: {'; '.join(changes)}"] if changes else [], notes


def record_of(run: str | Path, meta: Mapping[str, Any]) -> Record | None:
    """The record of a run's images; `meta` is a checkpoint's.

    A run of version 0.1.0 has none: what it would be is found in its data, if that has as many images of the same
    classes as it had, and else None is returned.

    Raises:
      ValueError: the record is corrupted.
    """
    if (record := read_record(run)) is not None:
        return record
    try:
        *_, train, test = open_data(read_config(run).data)
    except (ValueError, OSError):  # the data is not there
        return None
    now = {"images": {"train": train.num_examples, "test": test.num_examples}, "classes": list(train.classes)}
    if any(_differ(name, meta.get("data", {}), now) for name in now):
        return None
    many = len(train.examples) + len(test.examples) > MANY
    kind = "names" if many else "contents"
    return make_record(identify(train.examples, kind), identify(test.examples, kind))


def _differ(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return before.get(name, now[name]) != now[name]


def shared_note(plan: Plan) -> list[str]:
    """What there is to say of test images that are trained on too, or of which copies are."""
    train, test = plan.identities
    count = int(np.isin(test.fingerprints, train.fingerprints).sum()) if train.kind == test.kind else 0
    of = f"{count:,} of the {len(test.fingerprints):,} test images"
    return [f"{of} are also trained on, as the same file or a copy: their test numbers are too good"] if count else []


def open_dataset(config: DataConfig, record: Record | None = None) -> Dataset:
    """The dataset that a config names.

    Args:
      record: of a run that was begun on it; see `make_plan`.

    Raises:
      ValueError, OSError: it is not there or cannot be understood.
    """
    dataset = data.open_dataset(
        config.name,
        path=config.path,
        data_dir=config.data_dir,
        labels=config.labels,
        label_column=config.label_column,
        image_column=config.image_column,
        classes=config.classes,
        as_0_1_0=config.holdout == "position",
        skip_unreadable=config.unreadable == "skip",
    )
    return keep_sides(dataset, record)


def keep_sides(dataset: Dataset, record: Record | None) -> Dataset:
    """The dataset, whose images are held out, or not, as in the run that has this record of them."""
    if record is None or not isinstance(dataset, StoredDataset):
        return dataset
    return replace(dataset, sides=Sides(record.trained, record.train, record.test))


def data_notes(config: DataConfig, dataset: Dataset, split: str) -> tuple[str, ...]:
    """What a user should know about the data, a line each; renamed classes with their own names."""
    examples, notes = dataset.examples(split), [*dataset.notes]
    if (note := depth_note(examples)) is not None:
        notes.append(note)
    if config.class_names is not None:
        renamed = zip(examples.classes, data.rename_classes(examples.classes, config.class_names), strict=True)
        notes.append(f"classes renamed: {shortened([f'{old}={new}' for old, new in renamed])}")
    return tuple(notes)


def open_data(config: DataConfig, record: Record | None = None) -> tuple[Dataset, tuple[str, str], Loader, Loader]:
    """The dataset, its splits to train and to test on, and those two, ready to be served.

    Args:
      record: of a run that was begun on this dataset; see `make_plan`.

    Raises:
      ValueError, OSError: what is missing or cannot be read.
    """
    check_data(config)
    dataset = open_dataset(config, record)
    splits = data.default_splits(dataset, config.train_split, config.test_split, config.holdout)
    if config.holdout == "digest" and (count := shared(dataset, *splits)):
        said = f"data.train_split={splits[0]!r} and data.test_split={splits[1]!r} share {count:,} images"
        raise ValueError(f"{said} of {dataset.name}; expected parts that share none, as train[:80%] and train[80%:]")
    train = open_split(config, dataset, splits[0])
    if len(train.classes) < 2:
        where = "data.classes" if config.classes is not None else dataset.name
        raise ValueError(f"{where} has one class, {train.classes[0]!r}; expected two or more")
    if config.balance:
        train = replace(cast(Any, train), balance=True)
    channels: Any = train.image_shape[-1]
    if any(config.color_jitter) and channels != 3:
        raise ValueError(
            "data.color_jitter is for three channels; these images are grey (--data.channels 3 makes three)"
        )
    # In both splits as many channels, even if one should be all grey; of classes the test has all there is.
    tested = replace(config, channels=channels, per_class=None)
    return dataset, splits, train, open_split(tested, dataset, splits[1])


def open_split(
    config: DataConfig, dataset: Dataset, split: str, known_classes: tuple[str, ...] | None = None
) -> Loader:
    """A split of a dataset, as `config` has images served; see `data.open_loader`."""
    return data.open_loader(
        dataset,
        split,
        image_size=config.image_size,
        resize=config.resize,
        crop_area=config.crop_area,
        interpolation=config.interpolation,
        threads=config.threads,
        channels=config.channels,
        class_names=config.class_names,
        classes=config.classes,
        per_class=config.per_class,
        known_classes=known_classes,
        skip_unreadable=config.unreadable == "skip",
    )


# Without the second one XLA times several kernels and takes the fastest, which is not the same in every process: on an
# H200 two runs differed in the first step (jax 0.11.2).
DETERMINISTIC = {"--xla_gpu_deterministic_ops": "true", "--xla_gpu_autotune_level": "0"}


def check_deterministic(platform: str, flags: str) -> None:
    """Raises ValueError where XLA may pick operations whose results differ from run to run."""
    values = dict(flag.partition("=")[::2] for flag in flags.split())  # the last one counts
    if platform in ("gpu", "cuda", "rocm") and DETERMINISTIC != {name: values.get(name) for name in DETERMINISTIC}:
        expected = " ".join(f"{name}={value}" for name, value in DETERMINISTIC.items())
        got = repr(flags) if flags else "nothing"
        raise ValueError(f"--train.deterministic: expected {expected} in the environment variable XLA_FLAGS, got {got}")


def check_split(config: Config, devices: int, processes: int = 1) -> None:
    """Raises ValueError for batches that so many devices, or the processes that have them, cannot share."""
    if devices % processes:
        raise ValueError(f"{devices} devices in {processes} processes; wanted: as many in each")
    parts = devices * config.optim.accumulate
    sizes = {"data.batch_size": (config.data.batch_size, parts), "data.eval_batch_size": (eval_batch(config), devices)}
    for name, (size, parts) in sizes.items():
        if size % parts:
            near = ", ".join(str(n) for n in (size // parts * parts, -(-size // parts) * parts) if n)
            raise ValueError(f"{name}={size} cannot be split evenly into {parts} (devices x accumulate); close: {near}")
    if (config.data.mixup or config.data.cutmix) and config.data.batch_size // devices % 2:
        raise ValueError(
            f"mixup and CutMix pair images: data.batch_size={config.data.batch_size} leaves an odd number on "
            f"each of {devices} devices"
        )
    group = config.model.bn_group_size
    if group is not None and devices % group:
        raise ValueError(f"model.bn_group_size={group} does not divide {devices} devices")


def check_values_per_channel(plan: Plan, devices: int) -> None:
    """Raises ValueError where a device gets one image at a time, of which a norm has one value per channel."""
    config, parts = plan.config, devices * plan.config.optim.accumulate
    if config.data.batch_size > parts or (config.model.bn_axis is not None and devices > 1):
        return
    model = plan.model.clone(bn_axis=None, bn_group_size=None, drop_rate=0.0, drop_path=0.0)
    image = jax.ShapeDtypeStruct((1, *plan.train.image_shape), model.dtype)
    variables, kept = shapes(model, plan.train.image_shape[0]).variables, frozen(config.optim)
    train = partial(model.apply, train=True, mutable=["batch_stats", *SOWN])
    try:
        with nn.intercept_methods(keep_statistics(kept)) if kept else nullcontext():
            jax.eval_shape(train, variables, image)
    except ValueError as error:
        said = str(error).partition("\n")[0]
        raise ValueError(f"data.batch_size={config.data.batch_size} is one image at a time: {said}") from None


def eval_batch(config: Config) -> int:
    """Images of an evaluation batch."""
    return config.data.eval_batch_size or config.data.batch_size


def model_overrides(config: ModelConfig, *, num_classes: int, in_channels: int) -> dict[str, Any]:
    """What `create_model` is called with, beside the name."""
    overrides = {name: value for name, value in asdict(config).items() if name != "name"}
    if config.stem is None:
        del overrides["stem"]
    return overrides | {"num_classes": num_classes, "in_channels": in_channels}


def make_schedule(config: OptimConfig, *, batch_size: int, steps_per_epoch: float, steps: int) -> optax.Schedule:
    """The learning rate of each step.

    Raises:
      ValueError: a warmup as long as the run, or a decay outside it.
    """
    scale = batch_size / config.lr_reference_batch if config.lr_reference_batch else 1.0
    peak, warmup = config.peak_lr * scale, _warmup(config, steps_per_epoch, steps)[0]
    if config.warmup_flat and not (warmup and config.warmup_from):
        raise ValueError("optim.warmup_flat wants warmup_epochs and warmup_from, the share of peak_lr it stays at")
    if not 0 <= warmup < steps:
        said = f"optim.warmup_epochs={config.warmup_epochs} is {warmup} steps of a run of {steps}"
        raise ValueError(f"{said}; wanted: less than the run; set --optim.warmup-epochs lower, or leave it out")
    if config.schedule == "cosine":
        if config.warmup_flat:
            raise ValueError("optim.warmup_flat is for optim.schedule=step")
        return optim.warmup_cosine(
            peak_lr=peak,
            steps=steps,
            warmup_steps=warmup,
            final_lr=config.final_lr,
            initial_lr=config.warmup_from * peak,
        )
    boundaries = [round(epoch * steps_per_epoch) for epoch in config.decay_epochs]
    if not boundaries:
        raise ValueError("optim.schedule=step wants optim.decay_epochs, where the rate falls; got none")
    if not 0 < min(boundaries) <= max(boundaries) < steps:
        raise ValueError(f"optim.decay_epochs={config.decay_epochs} are {boundaries} steps of a run of {steps}")
    return optim.step_decay(
        peak_lr=peak,
        boundaries=boundaries,
        factor=config.decay_factor,
        warmup_steps=warmup,
        initial_lr=config.warmup_from * peak,
        flat=config.warmup_flat,
    )


def _warmup(config: OptimConfig, steps_per_epoch: float, steps: int) -> tuple[int, tuple[str, ...]]:
    """Steps of the warmup, and a note where one that may shrink is too long for the run and a fifth of it is taken."""
    is_default = config.warmup_epochs is None
    epochs = DEFAULT_WARMUP if config.warmup_epochs is None else config.warmup_epochs
    configured = round(epochs * steps_per_epoch)
    if configured < steps or not (is_default or config.warmup_shrinks):
        return configured, ()
    warmup = steps // 5
    which = "default" if is_default else "config's"
    said = f"the {which} warmup of {epochs:g} epochs ({configured} steps) is not shorter than this run"
    return warmup, (f"{said}: it takes a fifth of it, {warmup} of {steps} steps; see --optim.warmup-epochs",)


def make_augmentation(config: DataConfig, preprocess: Preprocess, num_classes: int) -> Callable[..., Any]:
    """What training does to a batch on the device."""
    return data.make_augment(
        preprocess,
        padding=config.padding,
        horizontal_flip=config.horizontal_flip,
        jitter=config.color_jitter,
        cutout_size=config.cutout,
        mixup=config.mixup,
        cutmix=config.cutmix,
        num_classes=num_classes,
    )


def _frozen_note(config: OptimConfig, params: Any) -> tuple[str, ...]:
    """Number and components of the parameters that stay as they are."""
    if (is_frozen := frozen(config)) is None:
        return ()
    sizes = {"/".join(path): math.prod(leaf.shape) for path, leaf in flatten_dict(params).items()}
    kept = {path: size for path, size in sizes.items() if is_frozen(path)}
    components = shortened(sorted({path.partition("/")[0] for path in kept}))
    return (f"frozen: {sum(kept.values()):,} of {sum(sizes.values()):,} parameters, in {components}",)


def frozen(config: OptimConfig) -> optim.PathPredicate | None:
    """Which parameters stay as they are, by path; None: none."""
    return None if config.freeze is None else optim.match_path(config.freeze)


def _multipliers(config: OptimConfig) -> list[tuple[str, float]]:
    found = []
    for rule in config.lr_multiplier:
        pattern, _, factor = rule.rpartition("=")
        try:
            found.append((pattern, float(factor)))
        except ValueError:
            pattern = ""
        if not pattern or not 0 <= found[-1][1] < math.inf:
            wanted = "PATTERN=FACTOR, as 'stem|stage=0.1', the factor 0 or more"
            raise ValueError(f"optim.lr_multiplier={rule!r}; wanted: {wanted}")
    return found


def check_patterns(config: OptimConfig, params: Any) -> None:
    """Raises ValueError for patterns that choose nothing, and for a net that is frozen as a whole."""
    paths = ["/".join(path) for path in flatten_dict(params)]
    patterns = {"optim.lr_multiplier": [pattern for pattern, _ in _multipliers(config)]}
    patterns["optim.freeze"] = [] if config.freeze is None else [config.freeze]
    for name, given in patterns.items():
        left = paths
        for pattern in given:
            try:
                holds = optim.match_path(pattern)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            if not any(map(holds, left)) and any(map(holds, paths)):
                raise ValueError(f"{name}: {pattern!r} is found in no path that an earlier one has left")
            left = [path for path in left if not holds(path)]
            if not any(map(holds, paths)):
                parts = ", ".join(sort_components(params))
                raise ValueError(f"{name}: {pattern!r} is found in no parameter's path; the net's parts: {parts}")
            if name == "optim.freeze" and all(map(holds, paths)):
                raise ValueError(f"{name}: {pattern!r} is found in every parameter's path: nothing would be trained")


def make_optimizer(config: OptimConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    shared: dict[str, Any] = {
        "weight_decay": config.weight_decay,
        "decay_all": config.decay_all,
        "clip_norm": config.clip_norm,
    }
    optimizers = {
        "sgd": partial(optim.sgd, momentum=config.momentum, nesterov=config.nesterov),
        "adamw": partial(optim.adamw, b1=config.b1, b2=config.b2),
    }
    tx = optimizers[config.optimizer](schedule, **shared)
    if (kept := frozen(config)) is not None:
        tx = optim.without(tx, kept)
    if not config.lr_multiplier and config.layer_decay is None:
        return tx
    multipliers = _multipliers(config)
    return optim.with_rates(tx, lambda params: optim.rate_factors(params, multipliers, config.layer_decay))
