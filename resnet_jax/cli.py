"""The command line: argv -> Config, with every mistake told in one line."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NoReturn

import tyro

from resnet_jax.config import Config, load_config
from resnet_jax.nearest import nearest

DESCRIPTION = """Train a residual network.

--config FILE starts from the `config` of a Python file (see configs/); the options below override it. Starting the same
command on the same --workdir resumes."""


def parse(argv: Sequence[str] | None = None) -> Config:
    """A Config from command-line arguments: a file's, or the default, with typed overrides.

    Exits with status 2 and one line for an argument that cannot be; with 0 after --help.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        path = _take(arguments, "--config")
        default = Config() if path is None else load_config(path)
    except (OSError, ValueError) as error:
        fail(str(error))
    flags = _flags(default)
    for argument in arguments:
        flag = argument.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in flags:
            fail(f"no option {argument.partition('=')[0]}; {nearest(flag, flags, 'see --help')}")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(Config, args=arguments, default=default, description=DESCRIPTION)
    except SystemExit as exit:
        if exit.code == 0:
            raise
        fail(_one_line(said.getvalue()))


def fail(message: str) -> NoReturn:
    """Says what is wrong in one line and exits with status 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


def _take(arguments: list[str], flag: str) -> str | None:
    """Removes `flag VALUE` or `flag=VALUE` from the arguments and returns the value."""
    value = None
    for i, argument in enumerate(arguments):
        if argument == flag:
            if i + 1 == len(arguments):
                raise ValueError(f"{flag} wants a file")
            value = arguments[i + 1]
            del arguments[i : i + 2]
        elif argument.startswith(f"{flag}="):
            value = argument.partition("=")[2]
            del arguments[i]
        else:
            continue
        break
    return value


def _flags(config: Any, prefix: str = "--") -> list[str]:
    """Every flag of a config: --workdir, --optim.peak-lr, --optim.no-nesterov, ..."""
    flags = ["--help"] if prefix == "--" else []
    for field in fields(config):
        value, name = getattr(config, field.name), field.name.replace("_", "-")
        if is_dataclass(value):
            flags += _flags(value, f"{prefix}{name}.")
        else:
            flags.append(prefix + name)
            if isinstance(value, bool):
                flags.append(f"{prefix}no-{name}")
    return flags


def _one_line(box: str) -> str:
    """The message inside the box that tyro draws: what stands above its first rule."""
    lines = [re.sub(r"^[│|]\s?|\s*[│|]$", "", line).strip() for line in box.splitlines()]
    message: list[str] = []
    for line in lines:
        if line.startswith(("╭", "+")) or not line:
            continue
        if line.startswith(("─", "╰")):
            break
        message.append(line)
    return " ".join(message) or box
