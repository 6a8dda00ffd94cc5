"""A command in this process: its devices, its warnings, and how each error ends it.

JAX is imported by the commands that need it.
"""

from __future__ import annotations

import dataclasses
import sys
import traceback
import warnings
from typing import Any, NoReturn

from resnet_jax.cli.commands import WITH_CONFIG, command
from resnet_jax.cli.messages import as_typed
from resnet_jax.errors import (
    DataError,
    Diverged,
    MixedChannels,
    NeedsCanvasSize,
    NeedsImageSize,
    OutOfMemory,
    PeerFailed,
    Preempted,
    SaveFailed,
    SetupError,
    UnreadableAudio,
    UnreadableImage,
)
from resnet_jax.text import printable_lines


def run(name: str, request: Any) -> None:
    """Runs the command `name`; `request` is an instance of its `Request`.

    Raises:
      SetupError: the request is invalid.
      DataError, Diverged, Preempted, SaveFailed, PeerFailed, OutOfMemory: errors that end a run.
    """
    module = command(name)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn  # type: ignore[assignment]
            if getattr(module, "NEEDS_DEVICES", False):
                _check_devices()  # first, so that nothing else is blamed for their absence
            module.run(request)
    except (UnreadableImage, UnreadableAudio) as error:
        has_data = any(field.name == "data" for field in dataclasses.fields(module.Request))
        many = "images" if isinstance(error, UnreadableImage) else "sounds"
        skip = f", or skip such {many}: --data.unreadable skip" if has_data else ""
        raise type(error)(f"{error}; repair it{skip}") from error
    except (DataError, BrokenPipeError):
        raise
    except (RuntimeError, MemoryError) as error:  # JAX's errors are RuntimeErrors
        from resnet_jax.runs.loop.memory import is_out_of_memory, out_of_memory

        if not is_out_of_memory(error):
            raise
        advice = getattr(module, "LESS_MEMORY", "a lower --data.batch-size uses less")
        raise out_of_memory(error, f"in {name}", advice) from error
    except (ValueError, OSError) as error:
        if name in ("train", "experiment"):  # they distinguish mistakes from faults themselves
            raise
        raise SetupError(str(error)) from error


def run_and_exit(name: str, request: Any) -> None:
    """Runs a command; an error of the user, the data or the machine is one line and an exit status."""
    try:
        run(name, request)
    except Preempted as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.status) from None
    except (SetupError, DataError) as error:
        _leave(f"error: {as_typed(str(error))}{_hint(error, name, request)}", 2)
    except (Diverged, SaveFailed, PeerFailed, OutOfMemory) as error:
        _leave(f"stopped: {error}", 1)
    except BrokenPipeError:
        raise
    except OSError as error:  # a log on a full disk: other errors name their purpose
        _leave(f"stopped: {error}", 1)
    except Exception:
        _leave_others(1, traceback.format_exc())  # of several processes, this one ends now; alone, it raises
        raise


def _check_devices() -> None:
    from resnet_jax.distributed import processes

    try:
        processes.devices()
    except ValueError as error:
        raise SetupError(str(error)) from error


def _hint(error: BaseException, name: str, request: Any) -> str:
    """The command line's remedy for an error of the data, to add to its message; "" for none."""
    if name in WITH_CONFIG and isinstance(error.__cause__, NeedsCanvasSize):
        return "; --config folder_retinanet and --config folder_deeplabv3 set it too"
    if name in WITH_CONFIG and isinstance(error.__cause__, NeedsImageSize):
        return "" if getattr(request, "task", "") == "contrastive" else "; --config folder_resnet18 does so too"
    if isinstance(error, MixedChannels):
        return "; a run that has started needs --resume.allow-changes for the first, another --workdir for the second"
    return ""


def _warn(message: Warning | str, *_: Any) -> None:
    print(f"warning: {printable_lines(as_typed(str(message)))}", file=sys.stderr)


def _leave(message: str, status: int) -> NoReturn:
    """Prints why, in one line, and ends the process."""
    _leave_others(status, message)
    print(printable_lines(message), file=sys.stderr, flush=True)
    raise SystemExit(status)


def _leave_others(status: int, message: str) -> None:
    """Ends this process if it is one of several, which takes JAX."""
    if "jax" in sys.modules:
        from resnet_jax.distributed import processes

        processes.leave(status, message)
