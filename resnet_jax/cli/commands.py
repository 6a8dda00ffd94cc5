"""What the commands of `resnet-jax` do. Here the rooms meet; each is used as anybody would use it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from resnet_jax import data
from resnet_jax.analysis.summary import summary, totals
from resnet_jax.checkpoints.manager import Checkpoint, kept_steps, open_checkpoint
from resnet_jax.config import LARGEST, SIDE, Config, DataConfig, check_data, place
from resnet_jax.data.loading.memory import depth_note
from resnet_jax.data.loading.streaming import Photographs
from resnet_jax.data.sources.formats.tables import SUFFIXES
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.distributed import processes as distributed
from resnet_jax.distributed.devices import Parallel
from resnet_jax.errors import (
    DataError,
    Diverged,
    NeedsImageSize,
    NotFinite,
    OutOfMemory,
    PeerFailed,
    Preempted,
    SaveFailed,
    SetupError,
    UnreadableImage,
    did_you_mean,
)
from resnet_jax.evaluation.prediction_files import check_file, write_predictions
from resnet_jax.evaluation.predictions import image_files, predict
from resnet_jax.evaluation.views import (
    Views,
    ensemble,
    make_views,
    predict_views,
    shorter_sides,
)
from resnet_jax.experiments.settings import DEFAULTS
from resnet_jax.files import expanded
from resnet_jax.models import list_models
from resnet_jax.runs.directory import read_config
from resnet_jax.runs.evaluation_files import (
    Evaluation,
    evaluation_folder,
    evaluation_lines,
    joined_name,
    make_evaluation,
    write_evaluation,
)
from resnet_jax.runs.image_record import Record, has_trained_images, select, trained_on
from resnet_jax.runs.memory import is_out_of_memory, out_of_memory
from resnet_jax.runs.plan import keep_sides, open_dataset, open_split, record_of
from resnet_jax.runs.recalibrate import recalibrate
from resnet_jax.runs.replay import replay
from resnet_jax.runs.survey import survey, verify
from resnet_jax.runs.trainer import cache_compilations, train
from resnet_jax.tasks import Task, task_of_checkpoint
from resnet_jax.types import Preprocess, Pretrained

__all__ = [
    "DataError",
    "Diverged",
    "OutOfMemory",
    "PeerFailed",
    "Preempted",
    "SaveFailed",
    "SetupError",
    "leave",
    "leave_if_others_wait",
    "run",
]

OF_THE_RUN = "its batches are those of the run; more devices, or some with more memory, hold them"
LESS_MEMORY = {  # by command
    "eval": "a lower --data.eval-batch-size or --data.batch-size uses less",
    "predict": "a lower --batch-size uses less",
    "replay": OF_THE_RUN,
    "recalibrate": OF_THE_RUN,
}


def run(name: str, request: Any) -> None:
    """Runs the command `name`; `request` is its dataclass in `cli`.

    Raises:
      SetupError: something asked for cannot be.
      DataError, Diverged, Preempted, SaveFailed, PeerFailed, OutOfMemory: what ends a run that has begun.
    """
    commands: dict[str, Callable[[Any], Any]] = {
        "train": train,
        "eval": _eval, "predict": _predict, "replay": _replay, "recalibrate": _recalibrate,
        "experiment": _experiment,
        "models": _models, "summary": _summary, "data": _data, "plot": _plot,
    }  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn  # type: ignore[assignment]
            if name in ("eval", "predict", "replay", "recalibrate", "data", "experiment"):
                _check_devices()  # before anything else is blamed for there being none
            commands[name](request)
    except UnreadableImage as error:
        skip = "" if name in ("replay", "recalibrate") else ", or skip such images: --data.unreadable skip"
        raise UnreadableImage(f"{error}; repair it{skip}") from error
    except (DataError, BrokenPipeError):
        raise
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(
            error, f"in {name}", LESS_MEMORY.get(name, "a lower --data.batch-size uses less")
        ) from error
    except (ValueError, OSError) as error:
        if name in ("train", "experiment"):  # they tell mistakes from faults themselves
            raise
        raise SetupError(str(error)) from error


def _check_devices() -> None:
    try:
        distributed.devices()
    except ValueError as error:
        raise SetupError(str(error)) from error


def _warn(message: Warning | str, *_: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


def leave(said: str, status: int) -> None:
    """Says why, in one line, and ends the process."""
    distributed.leave(status, said)
    print(said, file=sys.stderr, flush=True)
    raise SystemExit(status)


def leave_if_others_wait(said: str) -> None:
    """Of several processes, one that has failed unforeseen ends at once; alone, it does nothing."""
    distributed.leave(1, said)


@dataclass(frozen=True)
class _Images:
    """The images that `eval` is asked for."""

    dataset: data.Dataset
    config: DataConfig
    run_config: DataConfig  # of the first run
    split: str
    is_own: bool  # whether they are the first run's data


@dataclass(frozen=True)
class _Net:
    """A net with the images it is evaluated on, preprocessed as it has learned them."""

    net: Pretrained
    task: Task
    source: Photographs
    views: Views


def _eval(request: Any) -> None:
    check_data(request.data)
    checkpoints = [open_checkpoint(run, request.step) for run in request.runs]
    records = [record_of(run, saved.meta) for run, saved in zip(request.runs, checkpoints, strict=True)]
    images = _choose_images(request, records[0])
    parallel = Parallel()
    nets, trained, note = _load_nets(request, checkpoints, images, records)
    if request.out is not None:
        check_file(request.out)
    if note:
        print(f"note: {note}", file=sys.stderr)
    folder = evaluation_folder(request.runs, request.out_dir, (*_what_else(images), *_variant(request, checkpoints)))
    cache_compilations()
    asked = images.config.eval_batch_size or images.config.batch_size
    batch = -(-asked // len(parallel.devices)) * len(parallel.devices)
    task = nets[0].task
    each = [predict_views(one.net, task, one.source, one.views, batch_size=batch, parallel=parallel) for one in nets]
    # Of an ensemble, what modules have sown is of no single net.
    predictions = ensemble(task, [predictions for predictions, _ in each])
    evaluation = make_evaluation(task, predictions, each[0][1] if len(each) == 1 else {})
    source = nets[-1].source
    steps = [saved.step for saved in checkpoints]
    count = len(predictions.labels)
    facts, heading = _describe(request, images, source, steps, count)
    facts |= {"skipped": len(source.skipped), **trained, "images": count, **evaluation.metrics}
    _write_results(request, evaluation, source, facts, heading, folder)


def _choose_images(request: Any, record: Record | None) -> _Images:
    """The dataset and the split: those of the first run, which has this `record`, where nothing else is asked for.

    Raises:
      ValueError, OSError: they are not there, or which of them the run was not trained on cannot be known.
    """
    run = request.runs[0]
    own = read_config(run).data
    if request.data.per_class != own.per_class:
        raise ValueError("--data.per-class is for training; name a part of the split: --split 'test[:100]'")
    config = replace(request.data, per_class=None)
    dataset = _open_for(run, config, own)
    if is_own := place(config) == place(own) or _has_moved(dataset, config, own, record):
        # The command line has dropped these for data at another place.
        config = replace(
            config, class_names=config.class_names or own.class_names, classes=config.classes or own.classes
        )
        dataset = keep_sides(dataset, record)
    split = request.split or _eval_split(dataset, config, own, is_own)
    if is_own and not request.split:
        _check_held_out(run, dataset, config, split, record)
    return _Images(dataset, config, own, split, is_own)


def _what_else(images: _Images) -> tuple[str, ...]:
    """Names of the data and the split, of those that are not what the run was tested on."""
    if not images.is_own:
        return Path(os.path.abspath(images.dataset.name)).name, images.split
    own = images.run_config
    try:
        tested = data.default_splits(images.dataset, own.train_split, own.test_split, own.holdout)[1]
    except ValueError:  # the dataset has other splits by now
        return (images.split,)
    return () if images.split == tested else (images.split,)


def _variant(request: Any, checkpoints: list[Checkpoint]) -> list[str]:
    """Names of what differs from the test at the end of a run: views, an earlier step, averaged weights."""
    views = [request.protocol] if request.protocol != "single" else []
    saved = checkpoints[0]
    step = [f"step-{saved.step}"] if saved.step < max(kept_steps(saved.folder.parent)) else []
    return [*views, *step, *(["ema"] if request.ema else [])]


def _load_nets(
    request: Any, checkpoints: list[Checkpoint], images: _Images, records: list[Record | None]
) -> tuple[list[_Net], dict[str, int | None], str]:
    """Each run's net with its images; how many were "dropped" and "trained_on"; and a note. Nothing is evaluated yet.

    Raises:
      ValueError: an image size, a protocol or classes that do not fit.
    """
    nets: list[_Net] = []
    for saved in checkpoints:
        if saved.meta["classes"] != checkpoints[0].meta["classes"]:
            raise ValueError(
                f"{saved.folder.parent.parent} has other classes than {request.runs[0]}; expected the same"
            )
        source = _photographs(images.config, images.run_config, images.dataset, images.split, saved)
        if not nets:
            mask, trained, note = _held_out(request, source.examples, images.config, images.is_own, records)
        source = select(source, mask)
        views = make_views(request.protocol, source, request.scales)
        net = saved.pretrained(ema=request.ema, allow_nonfinite=True)
        nets.append(_Net(net, task_of_checkpoint(saved.meta), source, views))
    return nets, trained, note


def _describe(
    request: Any, images: _Images, source: Photographs, steps: list[int], count: int
) -> tuple[dict[str, Any], str]:
    """What is evaluated, as a record and as a heading."""
    one = {"run": request.runs[0], "step": steps[0]} if len(steps) == 1 else {"runs": request.runs, "steps": steps}
    where = {"ema": request.ema, "data": images.dataset.name, "split": images.split, "protocol": request.protocol}
    heading = " + ".join(f"{run}, step {step}" for run, step in zip(request.runs, steps, strict=True))
    heading += ", averaged weights" if request.ema else ""
    if request.protocol != "single":
        heading += f", {request.protocol}"
    if request.protocol == "multi-scale":
        where["scales"] = shorter_sides(source.image_size, request.scales)
        heading += f" ({' '.join(map(str, where['scales']))} pixels)"
    return {**one, **where}, f"{heading}, on {images.dataset.name} ({images.split}), {count} images"


def _write_results(
    request: Any, evaluation: Evaluation, source: Photographs, facts: dict[str, Any], heading: str, folder: Path
) -> None:
    """Writes the files, and prints the numbers."""
    files, notes = write_evaluation(folder, evaluation, source, facts, heading) if request.pictures else ([], [])
    if request.json:
        details = evaluation.task.details(evaluation.evaluator)
        print(json.dumps({**facts, **details, "files": list(map(str, files))}))
    else:
        width = shutil.get_terminal_size((120, 24)).columns
        for line in evaluation_lines(evaluation, source, heading, files, width):
            # A terminal would break it inside of a word or a number.
            print(textwrap.fill(line, width, break_on_hyphens=False) if sys.stdout.isatty() else line)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if request.out is not None:
        write_predictions(request.out, evaluation.predictions, evaluation.task)


def _photographs(
    config: DataConfig, own: DataConfig, dataset: data.Dataset, split: str, saved: Checkpoint
) -> Photographs:
    """A split under the labels of a trained net, whole pictures of which it sees as much as it has learned to."""
    preprocess, known = saved.preprocess, tuple(saved.meta["classes"])
    channels: Any = len(preprocess.mean)
    if config.image_size is None:  # else they are cropped to its size
        source = open_split(replace(config, channels=channels), dataset, split, known)
        _check_size(source, preprocess, dataset.name)
    resize = preprocess.resize if config.resize in (None, own.resize) else config.resize
    cropped = replace(
        config,
        channels=channels,
        image_size=preprocess.image_size,
        resize=resize,
        interpolation=preprocess.interpolation,
    )
    check_data(cropped)
    found: Any = open_split(cropped, dataset, split, known)
    return found


def _open_for(run: str, config: DataConfig, own: DataConfig) -> data.Dataset:
    """The dataset; where the run's own is not there, the error says whose path it is."""
    try:
        return open_dataset(config)
    except FileNotFoundError as error:
        if place(config) != place(own):
            raise
        if own.path and expanded(own.path).exists():
            said = f"{error}; {run} was trained with this file"
            raise FileNotFoundError(f"{said}; name where it is now: --data.labels") from None
        said = f"{error}; this is the path of the images that {run} was trained with"
        raise FileNotFoundError(f"{said}; name where they are now: --data.path") from None


def _has_moved(dataset: data.Dataset, config: DataConfig, own: DataConfig, record: Record | None) -> bool:
    """Whether the dataset is the run's own at another place: most of the images it was trained on are there."""
    base = own.train_split.partition("[")[0]
    if record is None or not config.path or base not in dataset.splits:
        return False
    try:
        examples = data.open_examples(dataset, base, own.class_names, own.classes)
    except ValueError:  # other classes
        return False
    return has_trained_images(examples, record)


def _check_held_out(run: str, dataset: data.Dataset, config: DataConfig, split: str, record: Record | None) -> None:
    """Raises ValueError where a held-out part by place is not the one that a run without a record had."""
    train = data.default_splits(dataset, config.train_split, config.test_split, config.holdout)[0]
    if record is None and not {*dataset.places(train)}.isdisjoint(dataset.places(split)):
        said = f"{dataset.name} has changed since {run} was trained, which has no record of its images"
        raise ValueError(
            f"{said}: what it was not trained on cannot be told; name other data by --data.path or --split"
        )


def _held_out(
    request: Any, examples: DataSource, config: DataConfig, is_own: bool, records: list[Record | None]
) -> tuple[np.ndarray, dict[str, int | None], str]:
    """Which images to test on, bool [n]; how many were "dropped" and "trained_on" (None: not known); and a note.

    Images that a run was trained on are dropped, unless the split or the data was asked for.
    """
    at_home = [is_own, *(place(read_config(run).data) == place(config) for run in request.runs[1:])]
    mask, known = trained_on(examples, list(zip(records, at_home, strict=True)))
    count, total = int(mask.sum()), len(examples)
    asked = bool(request.split) or not is_own
    if count == total and not asked:
        raise ValueError(f"all of the {count:,} images were trained on; name other images by --split or --data.path")
    notes = [f"{count:,} of {total:,} images were trained on{'' if asked else ', and are not tested on'}"] * bool(count)
    if not known:
        runs = " and ".join(run for run, record in zip(request.runs, records, strict=True) if record is None)
        reason = f"{runs} has no record of its images" if runs else "the record of its images does not tell"
        notes.append(f"whether {'others' if count else 'images'} were trained on is not known: {reason}")
    left = count if asked else 0
    facts = {"dropped": count - left, "trained_on": left if known else None}
    return (np.ones_like(mask) if asked else ~mask), facts, "; ".join(notes)


def _eval_split(dataset: data.Dataset, config: DataConfig, own: DataConfig, is_own: bool) -> str:
    """Of the run's own data, what it was tested on; of any other, its test split, or all of it."""
    if is_own or config.test_split != own.test_split:
        return data.default_splits(dataset, config.train_split, config.test_split, config.holdout)[1]
    return next((name for name in data.TEST_SPLITS if name in dataset.splits), "train")


def _predict(request: Any) -> None:
    if not request.images:
        raise ValueError("no image given; wanted: image files, or folders of them")
    if expanded(request.run).is_file() and (run := next(filter(_is_run, request.images), None)):
        images = [request.run, *(image for image in request.images if image != run)]
        raise ValueError(f"the run comes first; did you mean: resnet-jax predict {' '.join([run, *images])}")
    saved = open_checkpoint(request.run, request.step)
    try:
        net = saved.pretrained(ema=request.ema)
    except NotFinite as error:
        raise ValueError(f"{error.problem}; --step takes another checkpoint") from None
    files = image_files(request.images)
    if (note := depth_note(ImageFileSource(files, np.zeros(len(files), np.int32), ()))) is not None:
        warnings.warn(note, stacklevel=2)
    cache_compilations()
    failed = 0
    for prediction in predict(
        net, task_of_checkpoint(saved.meta), files, batch_size=request.batch_size, top=request.top
    ):
        failed += prediction.error is not None
        if request.json:
            print(json.dumps(prediction.record()), flush=True)
        else:
            print(prediction, flush=True)
    if failed:
        raise SetupError(f"{failed} of {len(files)} images could not be read")


def _is_run(path: str) -> bool:
    return (expanded(path) / "checkpoints").is_dir()


def _replay(request: Any) -> None:
    cache_compilations()
    record = replay(request.run, request.at)
    if request.json:
        print(json.dumps(record))
        return
    names = {"loss": "loss", "top1": "top-1", "grad_norm": "gradient norm", "learning_rate": "learning rate"}
    shown = "  ".join(f"{name} {record[key]!r}" for key, name in names.items())
    print(f"{request.run}, step {record['step']}, from checkpoint {record['checkpoint']}: {shown}")
    print("training examples:")
    for index, name in zip(record["examples"], record["names"], strict=True):
        print(f"{index:>8}  {name}")
    run, here = record["devices"]["run"], record["devices"]["here"]
    if run not in (None, here):
        print(f"the run had {run} devices, and here are {here}: the numbers need not be its own")


def _recalibrate(request: Any) -> None:
    cache_compilations()
    out = request.out or f"{Path(request.run)}-recalibrated"
    record = recalibrate(request.run, out, step=request.step, ema=request.ema, batches=request.batches)
    if request.json:
        print(json.dumps({"run": request.run, "out": out, "ema": request.ema, **record}))
        return
    weights = ", averaged weights" if request.ema else ""
    print(f"{request.run}, step {record['step']}{weights}, over {record['images']:,} training images, now in {out}")
    for when in ("before", "after"):
        means = record[when]
        print(f"{when}: test top-1 {means['top1']:.4f}, loss {means['loss']:.4f} ({means['images']} images)")


def _experiment(request: Any) -> None:
    from resnet_jax.experiments import degradation, gradients, transfer

    settings = DEFAULTS[request.name]
    _check_experiment(request, settings.config)
    groups = {name: getattr(request, name) for name in ("model", "data", "optim", "train", "resume")}
    config = replace(settings.config, workdir=request.workdir or settings.config.workdir, **groups)
    seeds, depths = request.seeds or settings.seeds, request.depths or settings.depths
    kinds = request.kinds or degradation.KINDS
    room: Any = {"degradation": degradation, "gradients": gradients, "transfer": transfer}[request.name]
    file = Path(config.workdir) / "results.json"
    if (whose := _results(file).get("experiment", request.name)) != request.name:
        raise SetupError(f"{file} is of the experiment {whose}; choose another --workdir")
    if not request.draw_only and room is transfer:
        epochs = transfer.EPOCHS if request.target_epochs is None else request.target_epochs
        print(transfer.transfer(config, seeds, epochs=epochs))
    elif not request.draw_only:
        print((degradation.degradation if room is degradation else gradients.gradients)(config, depths, seeds, kinds))
    if not (results := _results(file)):
        raise SetupError(f"no {file}; run the experiment first, without --draw-only")
    print(room.table(results))
    try:
        for path in room.draw(config.workdir):
            print(path)
    except (ValueError, OSError) as error:  # a run's records are gone, or damaged
        raise SetupError(str(error)) from error


def _results(file: Path) -> Any:
    """What an experiment has left; of none, nothing. Raises SetupError for another file."""
    try:
        return json.loads(file.read_text()) if file.exists() else {}
    except (ValueError, OSError) as error:
        raise SetupError(f"{file} is no experiment's: {error}") from error


def _check_experiment(request: Any, default: Config) -> None:
    """Raises SetupError for options that an experiment has no use for."""
    for name in ("depths", "kinds", "seeds"):
        if getattr(request, name) == ():
            raise SetupError(f"--{name} is empty; wanted: one or more")
        if request.draw_only and getattr(request, name) is not None:
            raise SetupError(f"--{name} is not for --draw-only, which draws all that results.json holds")
    of_transfer = request.name == "transfer"
    for name, given, wanted in (
        ("depths", of_transfer and request.depths, "--model.name names its net"),
        ("kinds", of_transfer and request.kinds, "--model.name names its net"),
        ("target-epochs", not of_transfer and request.target_epochs is not None, "--train.epochs is"),
        (
            "model.name",
            not of_transfer and request.model.name != default.model.name,
            "--kinds and --depths name its nets",
        ),
        ("train.seed", request.train.seed != default.train.seed, "--seeds are"),
        ("train.steps", request.train.steps is not None, "--train.epochs is"),
        ("train.patience", request.train.patience is not None, "its nets are compared after equally many epochs"),
        ("data.classes", of_transfer and request.data.classes, "it parts all of the data's classes in two halves"),
        ("optim.freeze", of_transfer and request.optim.freeze, "one of its ways freezes"),
        ("optim.lr-multiplier", of_transfer and request.optim.lr_multiplier, "one of its ways has some"),
    ):
        if given:
            raise SetupError(f"--{name} is not for {request.name}; {wanted}")


def _models(request: Any) -> None:
    names = list_models(request.pattern)
    if not names:
        close = did_you_mean(request.pattern.strip("*"), list_models(), "see: resnet-jax models")
        raise ValueError(f"no model matches {request.pattern!r}; {close}")
    width = max(map(len, names))
    print(f"{'':{width}}{'parameters':>14}{'multiply-adds':>18}{'input':>12}")
    others = False
    for name in names:
        counts = totals(name)
        size = f"{counts.image_size} x {counts.image_size}"
        mark = "  *" if counts.other_macs else ""
        others |= bool(mark)
        print(f"{name:{width}}{counts.parameters:>14,}{counts.macs:>18,}{size:>12}{mark}", flush=True)
    if others:
        print("* and multiply-adds that published counts leave out: resnet-jax summary NAME")


def _summary(request: Any) -> None:
    if request.image_size is not None and not 1 <= request.image_size <= SIDE:
        raise ValueError(f"--image-size {request.image_size}; wanted: at least 1 pixel, at most {SIDE:,}")
    print(summary(request.name, request.image_size))


def _data(request: Any) -> None:
    if not 1 <= request.batches <= LARGEST:
        raise ValueError(f"--batches {request.batches}; wanted: at least 1, at most {LARGEST:,}")
    path = request.name if _is_path(request.name) else None
    config = replace(request.data, name=request.name, path=path)
    check_data(config)
    verified = verify(config, progress=_progress()) if request.verify else None
    broken = verified.broken if verified else []
    record: dict[str, Any] = {"broken": broken}
    lines: list[str] = []
    if not broken or config.unreadable == "skip":  # else the rest would stop at the first of them
        try:
            found = survey(config, sheet=request.sheet, batches=request.batches, verified=verified)
            record, lines = found.record(), found.lines(shutil.get_terminal_size((120, 24)).columns)
        except NeedsImageSize as error:
            if verified is None:
                raise
            lines = [f"not shown as training sees them: {error}"]
            record["notes"] = lines
    if request.json:
        print(json.dumps(record))
    else:
        for line in [*lines, *(verified.lines() if verified else ())]:
            print(line)
    if broken:
        raise SystemExit(1)


def _progress() -> Callable[[int, int], None]:
    """Says how many of how many images are read: over one line of a terminal, in a log now and then."""
    live = sys.stderr.isatty()
    began = told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if done == total and live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        elif now - told > (0.2 if live else 30):
            told = now
            line = f"{done:,} of {total:,} images read, {done / (now - began):,.0f} a second"
            print(f"\r{line}\x1b[K" if live else line, end="" if live else "\n", file=sys.stderr, flush=True)

    return tell


def _is_path(name: str) -> bool:
    """TFDS's names may have a slash too, "name/config": those are paths where there is something."""
    path = expanded(name)
    return path.exists() or name.startswith((".", "/", "~")) or path.suffix in (".npz", ".parquet", *SUFFIXES)


def _plot(request: Any) -> None:
    from resnet_jax.analysis.curves import read_curves
    from resnet_jax.analysis.flow import read_flow
    from resnet_jax.analysis.plots import draw_curves, draw_flow, title_and_labels

    if request.gradients and len(request.runs) != 1:
        raise ValueError(f"--gradients draws one run; got {len(request.runs)}")
    if request.gradients and request.x == "epochs":
        raise ValueError("--x epochs is not for --gradients, which draws steps")
    kind = "gradients" if request.gradients else "curves"
    flow = read_flow(request.runs[0]) if request.gradients else None
    curves = read_curves(request.runs)
    several = f"{kind}-{joined_name(curve.label for curve in curves)}"
    out = request.out or (Path(request.runs[0]) / kind if len(curves) == 1 else several)
    try:
        paths = (
            draw_curves(curves, out, x=request.x) if flow is None else draw_flow(flow, out, title_and_labels(curves)[0])
        )
    except OSError as error:
        raise ValueError(f"{out} cannot be written: {error.strerror}; --out names another place") from None
    for path in paths:
        print(path)


def _check_size(source: data.Source, preprocess: Preprocess, name: str) -> None:
    if source.image_shape[:2] != (preprocess.image_size,) * 2:
        got, wanted = " x ".join(map(str, source.image_shape)), preprocess.image_size
        raise ValueError(
            f"images of {name} are {got}; the net was trained at {wanted}: --data.image-size {wanted} resizes them"
        )
