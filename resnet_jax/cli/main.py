"""The command line: resnet-jax COMMAND, one of `commands.COMMANDS`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import resnet_jax
from resnet_jax.cli.arguments import completion
from resnet_jax.cli.commands import COMMANDS, make_request, overview, parser
from resnet_jax.cli.messages import fail
from resnet_jax.errors import did_you_mean
from resnet_jax.old_names import CallableModule

RESUMES = {  # what Ctrl-C prints, by command
    "train": "; the same command resumes from the last checkpoint, if there is one yet",
    "prepare": "; the same command resumes",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command. Exits with status 2 and one line for a mistake, 1 for a run that stopped, 130 after Ctrl-C, 143
    after SIGTERM.
    """
    _silence_loader()
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):  # file names may hold bytes that are not text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    name = ""
    try:
        try:
            arguments = list(sys.argv[1:] if argv is None else argv)
            name = arguments[0] if arguments else "--help"
            _main(name, arguments[1:])
        finally:
            sys.stdout.flush()
    except OSError as error:  # of printing: the reader of our output has gone, or the disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would flush it once more
        if not isinstance(error, BrokenPipeError):
            print(f"stopped: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print(f"interrupted{RESUMES.get(name, '')}", file=sys.stderr)
        raise SystemExit(130) from None


def _open_closed_streams() -> None:
    """Streams that were closed when Python started are None; here they are empty, as for a program in C."""
    sys.stdin, sys.stdout, sys.stderr = (
        stream if stream is not None else open(os.devnull, mode)
        for stream, mode in ((sys.stdin, "r"), (sys.stdout, "w"), (sys.stderr, "w"))
    )


def _silence_loader() -> None:
    """Before 0.10.2 jaxlib logs two false errors for each program that it loads from the compilation cache.

    Its log is read once, when JAX is imported. Errors still reach Python as exceptions.
    """
    with suppress(PackageNotFoundError):
        # JAX itself sets 1, where nothing is set: child processes of one that has imported it inherit that.
        unset = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1"
        if unset and "jaxlib" not in sys.modules and version("jaxlib") in ("0.10.0", "0.10.1"):
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def _main(name: str, arguments: list[str]) -> None:
    if sys.platform == "win32":
        fail("Windows is not supported; expected Linux or macOS (the Windows Subsystem for Linux is one)")
    if name == "--version":
        return print(resnet_jax.__version__)
    if name in ("-h", "--help", "--help-all"):
        return print(overview())
    if name.startswith("--print-completion") or name.startswith("--tyro-print-completion"):
        if "tyro" in name:
            print("warning: --tyro-print-completion is now --print-completion", file=sys.stderr)
        shell = (*name.split("=")[1:], *arguments, "bash")[0]
        return print(completion({command: parser(command) for command in COMMANDS}, shell), end="")
    if name.startswith("-"):
        if (unknown := parser("train").unknown(name)) is not None:
            fail(f"expected a command before options, as resnet-jax train; {unknown}")
        fail(f"expected a command, got {name}; did you mean resnet-jax train {name}?")
    if name not in COMMANDS:
        fail(f"no command {name!r}; {did_you_mean(name, COMMANDS)}")
    request = make_request(name, arguments)
    from resnet_jax.cli.process import run_and_exit  # here: --help and mistakes are answered without JAX

    run_and_exit(name, request)


sys.modules[__name__].__class__ = CallableModule
