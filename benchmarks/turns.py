"""Two or more processes that take turns at a measurement, so that their ratio holds on a machine whose speed drifts.

A worker process prepares itself, prints one JSON line about itself (versions, seconds of its first call), and
then answers each line on its standard input with one JSON line of numbers. `Worker` is the other end. Used by the
scripts beside it; the processes have the same threads, the same cores, and idle threads that do not spin.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2"}  # flags of /proc/cpuinfo, the widest first
# Of every process: idle threads sleep, and memory has large pages, as that of `resnet-jax` has.
SETTINGS = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "KMP_BLOCKTIME": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the program with one line for a run, or data, that is missing or not understood."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from None


def require(python: str | Path, module: str, without: str) -> None:
    """Ends the program with one line if the interpreter `python` lacks `module`; `without` says what works then."""
    program = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    try:
        is_missing = subprocess.run([python, "-c", program], check=False).returncode != 0
    except OSError as error:
        raise SystemExit(f"error: --torch-python {python}: {error.strerror}") from None
    if is_missing:
        raise SystemExit(f"error: {python} lacks {module}: name an interpreter with --torch-python{without}")


def net_case(text: str) -> str:
    """Type of an argument NAME, NAME:BATCH or NAME:BATCH:SIZE: the text, of a net that there is.

    Raises:
      argparse.ArgumentTypeError: another text.
    """
    name, *numbers = text.split(":")
    if len(numbers) > 2 or not all(number.isdecimal() and int(number) for number in numbers):
        raise argparse.ArgumentTypeError(f"expected NAME:BATCH:SIZE, as resnet50:16:128, got {text!r}")
    with suppress(ImportError):  # an interpreter that has PyTorch alone
        from resnet_jax.models import get_spec

        try:
            get_spec(name)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    return text


def sized_case(text: str) -> str:
    """`net_case` with all three parts."""
    if text.count(":") != 2:
        raise argparse.ArgumentTypeError(f"expected NAME:BATCH:SIZE, as resnet50:16:128, got {text!r}")
    return net_case(text)


class Worker:
    """A process that answers lines; one answers while the others wait.

    Raises:
      RuntimeError: the process ended without an answer; its last lines of standard error are in the message.
    """

    def __init__(self, command: Sequence[str | Path], *, cores: Iterable[int] = ()) -> None:
        names = {int(core) for core in cores}

        def pin() -> None:
            if names and hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, names)

        self._errors = tempfile.TemporaryFile("w+")  # a pipe that nobody reads would block the process once it is full
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=SETTINGS | os.environ,
            preexec_fn=pin,
        )
        self.about: dict[str, Any] = self._answer()

    def ask(self, line: str = "") -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self.process.communicate()
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self._errors.seek(0)
            errors = self._errors.read()
            raise RuntimeError(f"{self.process.args} ended with code {self.process.returncode}:\n{errors[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def seconds_of(call: Callable[[], object], times: int) -> list[float]:
    """Seconds of each of several calls, the first of which may compile."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def serve(step: Callable[[], object], *, about: dict[str, Any], warmup: int = 2) -> None:
    """The worker's side: calls `step` as many times as each line says, and prints the seconds of each call."""
    (first,) = seconds_of(step, 1)
    for _ in range(warmup - 1):
        step()
    print(json.dumps(about | {"first_seconds": round(first, 3)}), flush=True)
    for line in sys.stdin:
        seconds = seconds_of(step, int(line))
        print(json.dumps({"seconds": seconds}), flush=True)


def take_turns(workers: dict[str, Worker], *, rounds: int, steps: int) -> dict[str, list[float]]:
    """Seconds of a step in each round, the median of its steps, by worker; the order turns round by round."""
    times: dict[str, list[float]] = {name: [] for name in workers}
    names = list(workers)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            times[name].append(statistics.median(workers[name].ask(str(steps))["seconds"]))
    return times


def summary(times: dict[str, list[float]], *, ours: str) -> dict[str, Any]:
    """Median, lowest and highest seconds of each worker, and the rounds' ratio of ours to the fastest other one."""
    record: dict[str, Any] = {}
    for name, seconds in times.items():
        record[f"{name}_seconds"] = round(statistics.median(seconds), 5)
        record[f"{name}_range"] = [round(min(seconds), 5), round(max(seconds), 5)]
    others = [name for name in times if name != ours]
    if ours in times and others:
        best = min(others, key=lambda name: statistics.median(times[name]))
        ratios = [a / b for a, b in zip(times[ours], times[best], strict=True)]
        record |= {"best": best, "ratio": round(statistics.median(ratios), 3)}
        record["ratio_range"] = [round(min(ratios), 3), round(max(ratios), 3)]
    return record


def machine() -> dict[str, Any]:
    """The processor with the widest vectors that it has, the cores of this process, and today's date."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    about = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name, flags = about.get("model name", platform.machine()), about.get("flags", "").split()
    vectors = next((f" with {text}" for flag, text in VECTORS.items() if flag in flags), "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"machine": name + vectors, "cores": cores, "date": date.today().isoformat()}
