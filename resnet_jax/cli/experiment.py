"""resnet-jax experiment: the nets of a paper's experiment, one after the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from resnet_jax.cli.arguments import fill
from resnet_jax.cli.shared import with_named_data, with_shrinking_warmup
from resnet_jax.config import (
    Config,
    DataConfig,
    ModelConfig,
    OptimConfig,
    Place,
    ResumeConfig,
    TrainConfig,
    argument,
    option,
)
from resnet_jax.errors import SetupError
from resnet_jax.experiments.settings import DEFAULTS

NEEDS_DEVICES = True


@dataclass(frozen=True)
class Request:
    """Train the nets of an experiment one after the other, and draw what they show, into one folder.

    degradation: deeper plain nets have the higher training error, deeper residual nets do not. gradients: how much of
    the gradient reaches the first block. transfer: from half of the classes to the others, with few images. The runs
    are ordinary ones: the same command resumes those that are not finished. The table and the pictures show the nets
    of the last command. Each experiment has its own defaults of data, optim and train, on the digits;
    `resnet-jax experiment NAME --help` shows them.
    """

    name: Literal["degradation", "gradients", "transfer"] = argument("the experiment")
    workdir: Place | None = option(None, "folder of its runs", none="runs/NAME")
    depths: tuple[int, ...] | None = option(None, "layers of the nets (not of transfer)", none="20, (32,) 56")
    kinds: tuple[Literal["plain", "resnet", "highway"], ...] | None = option(
        None, "kinds of nets (not of transfer)", none="all"
    )
    seeds: tuple[int, ...] | None = option(None, "seeds of the runs", none="0, of transfer 0 to 4")
    target_epochs: float | None = option(
        None, "epochs of transfer's second half (train.epochs: of its first)", none="60"
    )
    draw_only: bool = option(False, "draw the pictures from finished runs")
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    resume: ResumeConfig = field(default_factory=ResumeConfig)


def defaults(arguments: Sequence[str]) -> Config:
    """The config of the experiment that the arguments name, or of the first one."""
    names = [argument for argument in arguments if argument in DEFAULTS]
    return DEFAULTS[names[0] if names else "degradation"].config


def make_request(values: dict[str, Any]) -> Request:
    """The experiment's own settings, with typed values."""
    request = Request(**{name: values[name] for name in values if "." not in name})
    base = DEFAULTS[request.name].config
    groups: dict[str, Any] = {
        "model": base.model,
        "data": with_named_data(values, base.data),
        "optim": with_shrinking_warmup(values, base.optim),
        "train": base.train,
    }
    return fill(replace(request, **groups), {name: value for name, value in values.items() if "." in name})


def run(request: Request) -> None:
    from resnet_jax.experiments import degradation, gradients, transfer

    settings = DEFAULTS[request.name]
    _check_experiment(request, settings.config)
    groups = {name: getattr(request, name) for name in ("model", "data", "optim", "train", "resume")}
    config = replace(settings.config, workdir=request.workdir or settings.config.workdir, **groups)
    seeds, depths = request.seeds or settings.seeds, request.depths or settings.depths
    kinds = request.kinds or degradation.KINDS
    room: Any = {"degradation": degradation, "gradients": gradients, "transfer": transfer}[request.name]
    file = Path(config.workdir) / "results.json"
    if (other := _results(file).get("experiment", request.name)) != request.name:
        raise SetupError(f"{file} holds results of the experiment {other}; choose another --workdir")
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
    except (ValueError, OSError) as error:  # records of a run are missing or corrupted
        raise SetupError(str(error)) from error


def _results(file: Path) -> Any:
    """The results of an experiment; {} where there are none yet. Raises SetupError for another file."""
    try:
        return json.loads(file.read_text()) if file.exists() else {}
    except (ValueError, OSError) as error:
        raise SetupError(f"{file} does not hold results of an experiment: {error}") from error


def _check_experiment(request: Request, default: Config) -> None:
    """Raises SetupError for options that have no use in an experiment."""
    for name in ("depths", "kinds", "seeds"):
        if getattr(request, name) == ():
            raise SetupError(f"--{name}: expected one or more, got none")
        if request.draw_only and getattr(request, name) is not None:
            raise SetupError(f"--{name} is not for --draw-only, which draws all results in results.json")
    of_transfer = request.name == "transfer"
    names_net = not of_transfer and request.model.name != default.model.name
    for name, is_set, hint in (
        ("depths", of_transfer and request.depths, "--model.name names its net"),
        ("kinds", of_transfer and request.kinds, "--model.name names its net"),
        ("target-epochs", not of_transfer and request.target_epochs is not None, "use --train.epochs"),
        ("model.name", names_net, "--kinds and --depths name its nets"),
        ("train.seed", request.train.seed != default.train.seed, "use --seeds"),
        ("train.steps", request.train.steps is not None, "use --train.epochs"),
        ("train.patience", request.train.patience is not None, "its nets are compared after equal numbers of epochs"),
        ("data.classes", of_transfer and request.data.classes, "it divides all classes of the data into two halves"),
        ("optim.freeze", of_transfer and request.optim.freeze, "one of its ways freezes parameters"),
        ("optim.lr-multiplier", of_transfer and request.optim.lr_multiplier, "one of its ways sets multipliers"),
    ):
        if is_set:
            raise SetupError(f"--{name} is not for {request.name}; {hint}")
