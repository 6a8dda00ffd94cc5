"""The commands: names, help, and a request from arguments. The file of a command is imported when it is used."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise, takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

from resnet_jax.cli.arguments import Parser, make_parser
from resnet_jax.cli.messages import fail, option_of
from resnet_jax.cli.shared import load_base
from resnet_jax.errors import did_you_mean

COMMANDS = {  # with a line of help each; the file of that name (with _ for -) has `Request`, a dataclass, and `run`
    "train": "train a net: on handwritten digits, or on your own data",
    "eval": "evaluate runs or weights: the metrics of their task",
    "predict": "predictions of a run or of weights, such as classes",
    "zero-shot": "classify images by classes that texts name, with CLIP",
    "retrieve": "find images that fit a text, with CLIP",
    "features": "write feature maps of images to a file",
    "convert": "write weights for timm, torchvision or NumPy",
    "data": "look at a dataset before training: splits, classes, examples",
    "prepare": "pack images into pixels that training reads without decoding",
    "plot": "draw the loss and first metric of runs",
    "models": "list the nets, with parameters and multiply-adds",
    "weights": "list published weights, with classes, input size and licence",
    "summary": "parameters and multiply-adds of a net, by stage",
    "recalibrate": "estimate a run's running statistics again",
    "replay": "repeat one step of a run",
    "experiment": "repeat a paper's experiment: degradation, gradients, transfer",
}
HELP = """usage: {program} COMMAND [options]
Deep residual networks in JAX: published weights, and training that resumes.

{commands}

  resnet-jax train --config folder_resnet18 --data.path photos --workdir runs/a
  resnet-jax predict timm/resnet50.a1_in1k photo.jpg   what it shows
resnet-jax COMMAND --help: its options. Also: --version, --print-completion bash"""
MORE = """
{count} more options: resnet-jax train --help-all, or of one group --help GROUP
({groups})"""
CONFIG = "a config to start from: a name (folder_resnet18), a .py file, or a run"
WITH_CONFIG = ("train", "data")  # commands that have --config
EVERYDAY = (  # the options that train --help shows
    "workdir", "task", "data.path", "data.name", "data.image_size", "data.batch_size", "model.name",
    "model.dtype", "init.from_", "train.epochs", "train.steps", "optim.peak_lr", "optim.weight_decay",
)  # fmt: skip


def overview() -> str:
    """The help of `resnet-jax` itself."""
    width = max(map(len, COMMANDS))
    return HELP.format(
        program=program(), commands="\n".join(f"  {name:{width}}  {line}" for name, line in COMMANDS.items())
    )


def program() -> str:
    """The program as it was started."""
    is_module = Path(sys.argv[0]).parts[-2:] == ("resnet_jax", "__main__.py")
    return "python -m resnet_jax" if is_module else "resnet-jax"


def command(name: str) -> ModuleType:
    """The file of a command, with:

    - `Request`: its dataclass, an option for each field; `run(request)`: does it;
    - `make_request(values)`, optional: a request from typed values, by dotted names; otherwise its fields are filled;
    - `UNUSED`, optional: dotted names of options that have no effect: accepted with a warning, and not shown;
    - `defaults(arguments)`, optional: an object whose values the help shows as defaults.
    """
    return import_module(f"resnet_jax.cli.{name.replace('-', '_')}")


def make_request(name: str, arguments: Sequence[str]) -> Any:
    """The request of a command line. Exits with status 2 and one line for a mistake, with 0 after --help."""
    values = typed_values(name, arguments)
    module = command(name)
    return module.make_request(values) if hasattr(module, "make_request") else module.Request(**values)


def typed_values(name: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The values that are typed, by dotted names of fields; after --help it exits."""
    before_files = list(takewhile(lambda argument: argument != "--", arguments))
    if (group := next((one for one in before_files if one.startswith("--help=")), None)) is not None:
        before_files = group.split("=", 1) + before_files
    if not {"-h", "--help", "--help-all"}.isdisjoint(before_files):
        _print_help(name, before_files)
        raise SystemExit(0)
    values = parser(name).values(arguments)
    for unused in getattr(command(name), "UNUSED", ()):
        if unused in values and unused != "data.per_class":
            print(f"warning: {option_of(unused)} has no effect on {name}", file=sys.stderr)
    return values


def parser(name: str, defaults: Any = None, only: Sequence[str] | None = None) -> Parser:
    """The parser of a command; its help shows all options, or `only` these."""
    module = command(name)
    result = make_parser(
        module.Request,
        prog=f"{program()} {name}",
        description=getattr(module, "DESCRIPTION", None) or inspect.getdoc(module.Request) or "",
        defaults=defaults,
        hidden=getattr(module, "UNUSED", ()),
        only=only,
        config=CONFIG if name in WITH_CONFIG else None,
    )
    if name == "train":
        result.add_argument("--help-all", action="help", help="show all options and exit")
    return result


def _print_help(name: str, arguments: Sequence[str]) -> None:
    """All options of a command; of train the everyday ones, after --help-all all, and of a GROUP after either its."""
    defaults = _defaults(name, arguments)
    whole = parser(name, defaults)
    flags = ("-h", "--help", "--help-all")
    asked = [after for flag, after in pairwise(arguments) if flag in flags and not after.startswith("-")]
    if name != "train" or ("--help-all" in arguments and not asked):
        return whole.print_help()
    names = list(dict.fromkeys(option.name for option in whole.options.values() if option.name != "config"))
    groups = list(dict.fromkeys(name.partition(".")[0] for name in names if "." in name))
    if unknown := [group for group in asked if group not in groups]:
        fail(f"no group {unknown[0]!r}; {did_you_mean(unknown[0], groups)}")
    only = [name for name in names if name.partition(".")[0] in asked] or EVERYDAY
    parser(name, defaults, only).print_help()
    print(MORE.format(count=len(names) - len(only), groups=", ".join(groups)))


def _defaults(name: str, arguments: Sequence[str]) -> Any:
    """The defaults that a command's help shows: the command's, or those of a config that is named with it."""
    module = command(name)
    if hasattr(module, "defaults"):
        return module.defaults(arguments)
    if name not in WITH_CONFIG:
        return None
    configs = [argument.removeprefix("--config=") for argument in arguments if argument.startswith("--config=")]
    configs += [after for flag, after in pairwise(arguments) if flag == "--config"]
    return load_base(configs[0] if configs else None)
