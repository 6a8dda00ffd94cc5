"""resnet-jax data: a look at a dataset before training."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from resnet_jax.cli.arguments import fill
from resnet_jax.cli.messages import as_typed, fail
from resnet_jax.cli.progress import progress_printer
from resnet_jax.cli.shared import load_base, with_named_data
from resnet_jax.config import LARGEST, Config, DataConfig, Place, argument, check_data, option
from resnet_jax.errors import NeedsImageSize
from resnet_jax.files import expanded
from resnet_jax.text import printable_lines

if TYPE_CHECKING:
    from resnet_jax.runs.planning.sequence_survey import SequenceSurvey
    from resnet_jax.runs.planning.survey import Survey

NEEDS_DEVICES = True
SUFFIXES = (".npz", ".parquet", ".csv", ".tsv", ".jsonl", ".ts", ".txt")  # of files of data
UNUSED = ("data.name", "data.path", "data.eval_batch_size")


@dataclass(frozen=True)
class Request:
    """Look at a dataset: splits, images of each class, a sheet of images as training sees them, the speed of reading.

    With --data.kind series, audio or text it holds those: their lengths, sample rates or tokens are printed, and the
    sheet has curves by class, waveforms with spectrograms, or texts. With --verify every image, or other example, of
    every split is read once. Those that cannot be used are listed, and the exit status is then 1.
    """

    name: Annotated[str, "NAME|PATH"] | None = argument(
        "a TFDS dataset, or a folder or file of your own", None, none="the data of --config"
    )
    sheet: Place = option("contact_sheet.png", "file for the picture")
    batches: int = option(20, "number of batches to read for the throughput")
    verify: bool = option(False, "read every example of every split once, and list those that cannot be used")
    json: bool = option(False, "print one JSON object")
    task: Annotated[str, "NAME"] = option(Config.task, "kind of problem")
    data: DataConfig = field(default_factory=DataConfig)


def make_request(values: dict[str, Any]) -> Request:
    is_default = "config" not in values
    base = load_base(values.pop("config", None))
    named = {"task": base.task} | {name: values[name] for name in values if "." not in name}
    default = replace(Request(**named), data=base.data if is_default else _with_kind(base))
    dotted = {name: value for name, value in values.items() if "." in name}
    if default.name is None and is_default and not {"data.name", "data.path"} & dotted.keys():
        fail("expected NAME|PATH, or --config FILE, got nothing; see resnet-jax data --help")
    return fill(replace(default, data=with_named_data(values, default.data)), dotted)


def _with_kind(config: Config) -> DataConfig:
    """The data of a config with the kind that its net takes, where it names none."""
    from resnet_jax.models import MODELS
    from resnet_jax.runs.planning.sequence_data import NATURAL

    spec = MODELS.get(config.model.name)
    kind = None if spec is None or spec.input_kind == "images" else NATURAL[spec.input_kind]
    return config.data if config.data.kind or kind is None else replace(config.data, kind=kind)


def run(request: Request) -> None:
    from resnet_jax.runs.planning.sequence_survey import survey_sequences, verify_sequences
    from resnet_jax.runs.planning.survey import survey, verify
    from resnet_jax.tasks import get_task
    from resnet_jax.types import nouns_of

    if not 1 <= request.batches <= LARGEST:
        raise ValueError(f"--batches: expected at least 1, at most {LARGEST:,}, got {request.batches}")
    config = request.data
    if request.name is not None:
        config = replace(config, name=request.name, path=request.name if is_path(request.name) else None)
    check_data(config)
    label_kind, kind = get_task(request.task).label_kind, config.kind or "images"
    inspect = survey if kind == "images" else partial(survey_sequences, kind=kind)
    read_all = verify if kind == "images" else partial(verify_sequences, kind=kind)
    progress = progress_printer(nouns_of(kind, label_kind)[1])
    verified = read_all(config, label_kind=label_kind, progress=progress) if request.verify else None
    broken = verified.broken if verified else []
    record: dict[str, Any] = {"broken": broken}
    lines: list[str] = []
    if not broken or config.unreadable == "skip":  # otherwise the survey would stop at the first of them
        try:
            result: Survey | SequenceSurvey = inspect(
                config, sheet=request.sheet, batches=request.batches, label_kind=label_kind, verified=verified
            )
            record, lines = result.record(), result.lines(shutil.get_terminal_size((120, 24)).columns)
        except NeedsImageSize as error:
            if verified is None:
                raise
            lines = [f"not shown as training sees them: {as_typed(str(error))}"]
            record["notes"] = lines
    if request.json:
        print(json.dumps(record))
    else:
        for line in [*lines, *(verified.lines() if verified else ())]:
            print(printable_lines(line))
    if broken:
        raise SystemExit(1)


def is_path(name: str) -> bool:
    """Whether a name is a path. TFDS's names may have a slash too, "name/config": those are paths where one exists."""
    path = expanded(name)
    return path.exists() or name.startswith((".", "/", "~")) or path.suffix in SUFFIXES
