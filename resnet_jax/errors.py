"""Every exception class of the package, and words for messages. Standard library only: every room may use it."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

SHOWN = 200  # letters of a name in a list
COMPARED = 200  # letters of a name: comparing takes time that grows with the square of their number

# Before training, and in a run.


class SetupError(ValueError):
    """The command cannot start as asked; nothing has been trained."""


class MissingExtra(ModuleNotFoundError, ValueError):
    """A package that an extra installs is missing; the message has the command that installs it."""


class Diverged(RuntimeError):
    """The loss or a gradient is no longer finite."""


class OutOfMemory(RuntimeError):
    """A device, or the machine, has too little memory for a computation."""


class Preempted(RuntimeError):
    """A signal ended the run early; the completed steps are saved."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.status = 128 + number  # the exit status of a shell: 143 after SIGTERM, 130 after Ctrl-C


class PeerFailed(RuntimeError):
    """Another process of the same job failed."""


class EvaluationStopped(Exception):
    """A signal stopped an evaluation before its end."""


# Data.


class DataError(ValueError):
    """An example cannot be used for training or testing. The message begins with its name."""


class UnreadableImage(DataError):
    """An image cannot be read."""


class UnreadableAudio(DataError):
    """A file of sound cannot be read."""


class MixedChannels(DataError):
    """An image has colours where the images are expected to be grey."""


class NeedsImageSize(ValueError):
    """Images cannot be held in memory as they are, and no image size is set."""


class NeedsCanvasSize(NeedsImageSize):
    """The same of images with boxes or masks, which need the side of a canvas."""


# Checkpoints.


class CorruptedCheckpoint(ValueError):
    """A checkpoint differs from what was saved."""


class MissingChecksums(CorruptedCheckpoint):
    """The checksums of a checkpoint are missing or invalid."""


class RemovedCheckpoint(FileNotFoundError):
    """A checkpoint was removed while it was read."""


class SaveFailed(RuntimeError):
    """A checkpoint, or a record of a run, could not be written; earlier checkpoints are unchanged."""


# Weights.


class NotFinite(ValueError):
    """Weights have NaN or infinite values, or negative variances; `problem` is the message without advice."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; allow_nonfinite=True loads them")
        self.problem = problem


class WeightsMismatch(ValueError):
    """Entries of a state dict are missing, unexpected or of another shape."""


class WrongModel(ValueError):
    """The file holds another registered net: `match` names it."""

    def __init__(self, file: str, match: Any) -> None:
        super().__init__(f"{file} is {match}; {match.advice}")
        self.file, self.match = file, match


class AmbiguousWeights(ValueError):
    """The file has raw and averaged weights, and the caller did not choose."""


class DownloadFailed(OSError):
    """Weights could not be downloaded: the network, the server or the disk. The message begins with their name."""


class UnreadableWeights(ValueError):
    """A file of weights is corrupted, malicious or of another kind. The message is one line with its name."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))  # names in the file may have several lines


# Words for messages.


def did_you_mean(name: str, names: Iterable[str], otherwise: str | None = None) -> str:
    """The end of the message for an unknown name: "did you mean a or b?", else `otherwise`, else "expected a, b or c".

    A name that differs in case alone, or in a tag (resnet18 for resnet18.a1_in1k), is the only suggestion. Names that
    end with it come next (cifar_resnet20 for resnet20), then similar ones. Case is ignored.
    """
    names, name = list(names), name.casefold()
    by_folded: dict[str, list[str]] = {}
    for known in names:
        by_folded.setdefault(known.casefold()[:COMPARED], []).append(known)
    for whole in (name, name.partition(".")[0]):
        if equal := [known for known in names if known.casefold() == whole]:
            return f"did you mean {one_of(equal[:3])}?"
    longer = [known for known in names if known.casefold().endswith(f"_{name}")]
    similar = difflib.get_close_matches(name[:COMPARED], by_folded, n=3, cutoff=0.6)
    matches = list(dict.fromkeys(longer + [known for folded in similar for known in by_folded[folded]]))[:3]
    return f"did you mean {one_of(matches)}?" if matches else otherwise or f"expected {one_of(names)}"


def one_of(names: Iterable[str]) -> str:
    """Alternatives in a sentence: "a", "a or b", "a, b or c"."""
    *others, last = [*names] or ["nothing"]
    return f"{', '.join(others)} or {last}" if others else last


def check_type(value: Any, kinds: type | tuple[type, ...], expected: str, hint: str = "") -> None:
    """Raises TypeError unless `value` is one of `kinds`: "expected a model name (str), got None"; then the hint."""
    if not isinstance(value, kinds):
        raise TypeError(f"expected {expected}, got {described(value)}{f'; {hint}' if hint else ''}")


def described(value: Any) -> str:
    """A value of the wrong type in a message: "None", "int 5", "list", "numpy.ndarray"."""
    kind = type(value)
    if value is None:
        return "None"
    if kind in (bool, int, float, str) and len(shown := repr(value)) <= 80:
        return f"{kind.__name__} {shown}"
    library = kind.__module__.partition(".")[0]
    return kind.__name__ if library == "builtins" else f"{library}.{kind.__name__}"


def composed(name: str) -> str:
    """The name in Unicode's composed form (NFC), in which names that print alike are equal.

    macOS stores file names decomposed, keyboards and other systems write them composed.
    """
    return unicodedata.normalize("NFC", name)


def one_line(error: BaseException) -> str:
    """The message of an exception on one line; its type if there is none."""
    return " ".join(str(error).split()) or type(error).__name__


def public_address(source: str) -> str:
    """The source in messages and records: an address without name, password, fragment, and with its query as "?..."."""
    match = re.match(r"(https?://?)(?:[^/?#]*@)?([^?#]*)(\?)?", source, re.IGNORECASE)
    return source if match is None else f"{match[1]}{match[2]}{'?...' if match[3] else ''}"


def listed(names: Iterable[str], most: int = 10) -> str:
    """The first `most` names, and the number of the others; of a long name its beginning and end."""
    names = list(names)
    shown = [name if len(name) <= SHOWN else f"{name[: SHOWN - 60]}...{name[-57:]}" for name in names[:most]]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(shown)}{more}"
