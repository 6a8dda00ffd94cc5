"""Records images that could not be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import jax

from resnet_jax.data import Loader
from resnet_jax.errors import SaveFailed
from resnet_jax.files import replace_file
from resnet_jax.runs.loop.reporter import RunReporter


class SkippedImages:
    """Writes each image, or series, ..., that could not be read to skipped.jsonl, once, and reports their number.

    Each of several processes writes the images that it was to read: skipped.jsonl, skipped.1.jsonl, ...

    Args:
      nouns: what the line calls an example, and several.

    Raises:
      SaveFailed: the file cannot be written.
    """

    def __init__(
        self,
        sources: Mapping[str, Loader],
        reporter: RunReporter,
        directory: Path,
        nouns: tuple[str, str] = ("image", "images"),
    ) -> None:
        self._sources, self._reporter, self._nouns = sources, reporter, nouns
        process = jax.process_index()
        self._file = directory / (f"skipped.{process}.jsonl" if process else "skipped.jsonl")
        try:
            text = self._file.read_text(errors="replace") if self._file.exists() else ""
            lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
            if "".join(lines) != text:  # the last line of a killed process is incomplete
                replace_file(self._file, "".join(lines))
        except OSError as error:
            raise SaveFailed(f"{self._file} cannot be written: {error.strerror}; move it away") from error
        self._written = {line.removesuffix("\n") for line in lines}
        self.update()

    def update(self) -> None:
        """Writes and reports newly skipped images."""
        lines, count, last_reason = [], 0, ""
        for split, source in self._sources.items():
            for image, reason in list(source.skipped.items()):
                count, last_reason = count + 1, reason
                line = json.dumps({"split": split, "image": image, "reason": reason})
                if line not in self._written:
                    lines.append(line)
        if not lines:
            return
        try:
            with self._file.open("a") as file:
                file.write("".join(f"{line}\n" for line in lines))
        except OSError as error:
            raise SaveFailed(f"{self._file} cannot be written: {error}") from error
        self._written |= set(lines)
        images = f"{count} unreadable {self._nouns[count > 1]}"
        self._reporter.print(f"{images} skipped so far, see {self._file.name}; the last: {last_reason}")
