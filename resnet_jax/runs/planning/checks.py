"""Checks of a run's config against its model, data and devices. Each raises ValueError with what to change."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.config import Config
from resnet_jax.data import Loader, MemoryLoader
from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.data.sources.label_kinds import compact
from resnet_jax.data.sources.subsets import Subset, dense, labels_of
from resnet_jax.errors import did_you_mean, one_of
from resnet_jax.evaluation.evaluate import checked_results
from resnet_jax.files import expanded
from resnet_jax.metrics.coco import MASK_PREFIX
from resnet_jax.models import get_spec, list_models, shapes
from resnet_jax.models.inspect import backbone_of
from resnet_jax.models.phases import Gated
from resnet_jax.runs.planning.optimizer import check_patterns, frozen
from resnet_jax.tasks import Task
from resnet_jax.training.core import batch_inputs, forward_totals, step_rngs
from resnet_jax.training.freeze import keep_statistics
from resnet_jax.training.objective import Objective
from resnet_jax.training.optim import PathPredicate
from resnet_jax.training.sown import SOWN, sown_metrics
from resnet_jax.types import NOUNS, Array, DataKind, Variables

PACKAGES = {"/usr/share/datasets/fashion-mnist": "dataset-fashion-mnist"}  # of Debian, by the directory they fill
# Without the second flag XLA times several kernels and takes the fastest, which differs between processes: on an H200
# two runs differed in the first step (jax 0.11.2).
DETERMINISTIC = {"--xla_gpu_deterministic_ops": "true", "--xla_gpu_autotune_level": "0"}
DENSE_TASKS = ("segmentation", "detection")  # and families of nets
# The task of each family whose nets have other outputs than one for each example.
OF_FAMILIES = {
    **{task: task for task in (*DENSE_TASKS, "contrastive")},
    **{"gcnn": "language_model", "quartznet": "transcription"},
}
CHECKED = 256  # test labels, at most, on which the evaluator of a task of one's own is tried


def check_model_options(config: Config, model: nn.Module) -> None:
    """Options that need a net of some family, and patterns of parameters. It reads no data."""
    for option, value in (
        ("--optim.gate-penalty", config.optim.gate_penalty),
        ("--train.soft-gate-epochs", config.train.soft_gate_epochs),
    ):
        if value and not isinstance(model, Gated):
            gated = one_of(name for name in list_models() if get_spec(name).is_gated)
            raise ValueError(f"{option} {value} needs gates, and {config.model.name} has none; expected {gated}")
    needs_bias = config.task == "contrastive" and config.optim.contrastive_loss == "sigmoid"
    if needs_bias and getattr(model, "init_logit_bias", 0) is None:
        others = [one for one in config.model.options if not one.startswith(("init_logit_bias=", "init_logit_scale="))]
        options = shlex.join([*others, "init_logit_bias=-10.0", "init_logit_scale=2.3"])
        problem = "--optim.contrastive-loss sigmoid: expected a net with a bias of the logits"
        raise ValueError(f"{problem}; --model.options {options}")
    if config.optim.freeze is not None or config.optim.lr_multiplier:
        check_patterns(config.optim, shapes(model, model.image_size).variables["params"])


def check_net_of_task(config: Config) -> None:
    """That the net predicts what the config's task needs.

    Classes of pixels, boxes, an output for each position of a sequence, or one for each example.
    """
    name, task = config.model.name, config.task
    takes_texts = get_spec(name).input_kind == "image-text"
    if takes_texts != (task == "contrastive"):
        pairs = one_of(net for net in list_models(input_kind="any") if get_spec(net).input_kind == "image-text")
        hint = "did you mean --task contrastive?" if takes_texts else f"expected {pairs}"
        raise ValueError(f"--model.name {name} is not for --task {task}; {hint}")
    family = get_spec(name).family
    actual = OF_FAMILIES.get(family)
    expected = task if task in OF_FAMILIES.values() else None
    if actual == expected:
        return
    if expected is None:
        hint = f"did you mean --task {actual}?"
        raise ValueError(f"--model.name {name} is for --task {actual}, got --task {task}; {hint}")
    if expected not in DENSE_TASKS:
        nets = one_of(net for net in list_models(input_kind="any") if OF_FAMILIES.get(get_spec(net).family) == task)
        raise ValueError(f"--model.name {name} is not for --task {task}; expected {nets}")
    nets = one_of(net for net in list_models() if get_spec(net).family == expected and get_spec(net).takes_backbone)
    backbone = "resnet18" if actual else name
    option = f"as --model.options backbone={backbone}"
    raise ValueError(f"--model.name {name} is not for --task {task}; expected {nets}, on a backbone, {option}")


def check_data_path(path: str | None, kind: DataKind = "images") -> None:
    if path is not None and not (location := expanded(path)).exists():
        expected = f"the folder of the {NOUNS[kind][1]}, or a file of {NOUNS[kind][1]}"
        package = PACKAGES.get(str(location))
        hint = f"; Debian and Ubuntu have it in the package {package}" if package else ""
        raise FileNotFoundError(f"no file or folder {str(location)!r}; expected --data.path PATH, {expected}{hint}")


def constant_targets(splits: tuple[str, str], *loaders: Loader) -> list[str]:
    """Notes on targets that are the same number in all images of a split."""
    return [
        f"target {name!r} is {column[0]:g} in all {len(column):,} {NOUNS[loader.kind][1]} of {split!r}"
        for split, loader in zip(splits, loaders, strict=True)
        for name, column in zip(loader.classes, loader.labels.T, strict=True)
        if (column == column[0]).all()
    ]


def check_objective(
    objective: Objective, model: nn.Module, variables: Variables, train: Loader, *, gradient_flow: bool = False
) -> None:
    """Traces the objective of a task of one's own on two examples, before any work.

    Raises:
      TypeError, ValueError: its terms or metrics are none (see `training.objective`), or the terms have several weights
        and `gradient_flow` needs one.
    """
    first = first_batch(train, 2, training=True)

    def totals() -> Any:
        key, count = jax.random.key(0), len(first["label"])
        batch = {name: jnp.zeros(x.shape, x.dtype) for name, x in first.items()}
        image = input_struct(train, count)
        batch |= {"image": jnp.zeros(image.shape, image.dtype)}
        batch |= {"mask": jnp.ones(count, jnp.float32), "index": jnp.arange(count)}
        arrays = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), dict(variables))
        rngs = step_rngs(key, key)
        return forward_totals(model, objective, None)(arrays["params"], arrays.get("batch_stats", {}), batch, rngs)

    sums, _ = jax.eval_shape(totals)
    if gradient_flow and len(sums) > 1:
        names = ", ".join(name or "the mean over examples" for name in sums)
        raise ValueError(f"--train.gradient-flow: expected terms of one weight, got {len(sums)}: {names}")


def first_batch(loader: Loader, count: int, *, training: bool = False) -> dict[str, np.ndarray]:
    """A batch of `count` examples without their images: the first ones, or with `training` any of a sequence loader.

    That of label maps, boxes and sequences is whole; other loaders have a label alone.
    """
    if isinstance(loader, DenseLoader | SequenceLoader):
        size = min(count, loader.num_examples)
        is_cut = training and isinstance(loader, SequenceLoader)  # only training cuts windows of a text
        batch = next(loader.batches(0, batch_size=size) if is_cut else loader.eval_batches(size))
        return {name: np.asarray(x) for name, x in batch.items() if name != "image"}
    return {"label": first_labels(loader, count)}


def first_labels(loader: Loader, count: int) -> np.ndarray:
    """Labels of the first `count` examples; -1 for one that cannot be read. Of large sets no other is read."""
    if isinstance(loader, MemoryLoader):
        return loader.labels[:count]
    some = Subset(loader.examples, np.arange(min(count, loader.num_examples)))
    return compact(labels_of(some, skip_unreadable=True))


def check_evaluator(task: Task, model: nn.Module, variables: Variables, test: Loader) -> None:
    """Evaluates predictions of zeros for the first test labels with a task of one's own, before any work.

    Raises:
      TypeError, ValueError: results that are no numbers, have a reserved name or lack one of the task's measures.
    """
    is_dense = isinstance(test, DenseLoader | SequenceLoader)
    batch = first_batch(test, 2 if is_dense else CHECKED)
    labels = batch["label"]
    if not is_dense:
        mask = labels >= 0 if task.label_kind == "class" else np.ones(len(labels))  # -1: an image that cannot be read
        batch["mask"] = mask.astype(np.float32)

    def predict(variables: Variables, images: Array) -> Any:
        inputs = batch_inputs(model, batch, train=False)
        outputs, sown = model.apply(variables, images, train=False, **inputs, mutable=[*SOWN])
        rows = task.predict_batch(outputs, {**batch, "image": images})
        return rows, sown_metrics(sown, jnp.ones(len(labels)))

    images = input_struct(test, len(labels))
    rows, sown = jax.eval_shape(predict, variables, images)
    evaluator = task.for_examples(test.examples).evaluator()
    evaluator.update({name: np.zeros(x.shape, x.dtype) for name, x in rows.items()}, batch)
    results = checked_results(evaluator.result(), sown)
    of_masks = () if "masks" in rows else [name for name in task.measures if name.startswith(MASK_PREFIX)]
    if missing := [name for name in task.measures if name not in results and name not in of_masks]:
        expected = did_you_mean(missing[0], results)
        raise ValueError(
            f"task {task.name!r}: expected the measure {missing[0]!r} among its evaluator's results; {expected}"
        )


def check_objects(name: str, train: Loader) -> None:
    """That a training set of boxes, `name`, has some."""
    if isinstance(train, DenseLoader) and train.label_kind == "boxes" and not dense(train.examples).presence().any():
        raise ValueError(f"expected objects to train on, got none in the {train.num_examples:,} images of {name}")


def check_batch_and_shape(
    config: Config, name: str, train: Loader, test: Loader, nouns: tuple[str, str] = NOUNS["images"]
) -> None:
    """The batch size against the number of images, and one square shape of all images; `name` is the dataset's.

    `nouns`: what the message calls an example, and several.

    Raises:
      ValueError: either is wrong. DataError: a sequence whose length cannot be read.
    """
    batch_size, count = config.data.batch_size, train.num_examples
    if batch_size > count and not train.keeps_last:
        smaller = 1 << (count.bit_length() - 1)
        images = f"the {nouns[1]} of {name}"
        problem = f"expected --data.batch-size of at most {count}, {images}, got {batch_size}"
        or_keep = "" if train.kind == "images" else ", or --data.last-batch keep"
        raise ValueError(f"{problem}; try {smaller}{or_keep}")
    if isinstance(train, SequenceLoader) and isinstance(test, SequenceLoader):
        _ = train.ends, test.ends  # the lengths are read now: the test must not be the first to meet a broken file
        return
    height, width, _ = train.image_shape
    if height != width or test.image_shape != train.image_shape:
        shapes = dict.fromkeys((train.image_shape, test.image_shape))
        sizes = " and ".join(" x ".join(map(str, shape)) for shape in shapes)
        raise ValueError(f"expected square images of one size, got {sizes} in {name}; set --data.image-size")


def input_struct(loader: Loader, count: int) -> jax.ShapeDtypeStruct:
    """Shape and type of a batch of the net's input."""
    return jax.ShapeDtypeStruct((count, *loader.image_shape), loader.input_dtype)


def length_option(config: Config) -> str:
    """The option that sets the length of the run, with its value."""
    train = config.train
    return f"--train.epochs {train.epochs}" if train.steps is None else f"--train.steps {train.steps}"


def count_steps(config: Config, steps_per_epoch: int) -> int:
    """Steps of the run."""
    steps = config.train.steps or round(config.train.epochs * steps_per_epoch)
    if not steps:
        problem = f"--train.epochs {config.train.epochs} gives no step: an epoch has {steps_per_epoch}"
        raise ValueError(f"{problem}; expected at least {1 / steps_per_epoch:.2g}")
    if steps >= 2**31:
        problem = f"{length_option(config)} is {steps:,} steps, an epoch has {steps_per_epoch}"
        raise ValueError(f"{problem}; expected less than 2**31 steps")
    soft_gate_steps = count_soft_gate_steps(config, steps_per_epoch)
    if soft_gate_steps >= steps:
        problem = f"--train.soft-gate-epochs {config.train.soft_gate_epochs} is {soft_gate_steps} of {steps} steps"
        raise ValueError(f"{problem}; expected fewer, because the net is tested with hard gates")
    return steps


def count_soft_gate_steps(config: Config, steps_per_epoch: int) -> int:
    """Steps with soft gates, the first ones of the run."""
    return round(config.train.soft_gate_epochs * steps_per_epoch)


def check_deterministic(platform: str, flags: str) -> None:
    """That XLA picks no operations whose results differ between runs; `flags` are XLA_FLAGS."""
    values = dict(flag.partition("=")[::2] for flag in flags.split())  # the last of equal flags counts
    if platform in ("gpu", "cuda", "rocm") and DETERMINISTIC != {name: values.get(name) for name in DETERMINISTIC}:
        expected = " ".join(f"{name}={value}" for name, value in DETERMINISTIC.items())
        actual = repr(flags) if flags else "nothing"
        raise ValueError(
            f"--train.deterministic: expected {expected} in the environment variable XLA_FLAGS, got {actual}"
        )


def eval_batch_size(config: Config) -> int:
    """Images of an evaluation batch."""
    return config.data.eval_batch_size or config.data.batch_size


def check_split(config: Config, devices: int, processes: int = 1) -> None:
    """That this many devices and processes can share a batch."""
    if devices % processes:
        raise ValueError(f"expected equally many devices in {processes} processes, got {devices} devices in all")
    parts = devices * config.optim.accumulate
    sizes = {
        "--data.batch-size": (config.data.batch_size, parts, " (devices x --optim.accumulate)"),
        "--data.eval-batch-size": (eval_batch_size(config), devices, " devices"),
    }
    for option, (size, parts, unit) in sizes.items():
        if size % parts:
            multiples = one_of(str(n) for n in (size // parts * parts, -(-size // parts) * parts) if n)
            problem = f"expected {option} to be a multiple of {parts}{unit}, got {size}"
            raise ValueError(f"{problem}; did you mean {multiples}?")
    if (config.data.mixup or config.data.cutmix or config.data.audio.mixup) and config.data.batch_size // devices % 2:
        what = "data.audio.mixup pairs sounds" if config.data.audio.mixup else "mixup and CutMix pair images"
        problem = f"{what}: expected an even number on each device"
        raise ValueError(f"{problem}, got --data.batch-size {config.data.batch_size} on {devices} devices")
    group = config.model.bn_group_size
    if group is not None and devices % group:
        raise ValueError(f"expected --model.bn-group-size to divide {devices} devices, got {group}")


def _inside(is_frozen: PathPredicate | None, inner: str, path: str) -> bool:
    """The predicate of a net around another one for the paths of that."""
    return is_frozen is not None and is_frozen(f"{inner}/{path}")


def check_values_per_channel(
    config: Config, model: nn.Module, image_shape: tuple[int, ...], devices: int, noun: str = "image"
) -> None:
    """That no norm computes statistics of one value per channel, as when a device gets one image at a time.

    `noun` is what the message calls an example.
    """
    if config.data.batch_size > devices * config.optim.accumulate or (config.model.bn_axis and devices > 1):
        return
    model = model.clone(bn_axis=None, bn_group_size=None, drop_rate=0.0, drop_path=0.0)
    takes_tokens = getattr(model, "takes_tokens", False)
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.int32 if takes_tokens else model.dtype)
    size = image_shape if takes_tokens else image_shape[:-1]
    variables, is_frozen = shapes(model, size).variables, frozen(config.optim, model)
    is_detector = hasattr(model, "batch_inputs") and hasattr(model, "backbone")  # only its backbone has small maps
    if is_detector or getattr(model, "takes_texts", False):  # whose texts have no such norms
        inner: str = model.inner
        variables = {collection: tree[inner] for collection, tree in variables.items()}
        is_frozen, model = partial(_inside, is_frozen, inner), backbone_of(model)
    key = jax.random.key(0)  # of the dropout of a decoder
    run = partial(model.apply, train=True, mutable=["batch_stats", *SOWN], rngs=step_rngs(key, key))
    try:
        with nn.intercept_methods(keep_statistics(is_frozen)) if is_frozen else nullcontext():
            jax.eval_shape(run, variables, image)
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"--data.batch-size {config.data.batch_size} is one {noun} at a time on each device: {reason}"
        ) from None
