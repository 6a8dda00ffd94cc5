"""Writes the tables of benchmarks/README.md and docs/performance.md from benchmarks/results.

    python benchmarks/report.py

Less than a minute. A script's JSON lines are in results/SCRIPT.jsonl; of two lines of the same case the later one
counts. A table stands between two markers, <!-- SCRIPT --> and <!-- end of SCRIPT -->. To measure again and show it:

    python benchmarks/step.py >> benchmarks/results/step.jsonl
    python benchmarks/report.py
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
PAGES = (HERE / "README.md", HERE.parent / "docs" / "performance.md")
Record = dict[str, Any]


class Table(NamedTuple):
    """How a script's records become rows: one for each case."""

    case: tuple[str, ...]  # the fields that tell cases apart
    columns: dict[str, Callable[[Record], str]]


def number(field: str, places: int = 3, scale: float = 1.0) -> Callable[[Record], str]:
    """A column with a field's number; "-" where it is missing."""
    return lambda record: "-" if record.get(field) is None else f"{record[field] * scale:,.{places}f}"


def text(*fields: str, between: str = " x ") -> Callable[[Record], str]:
    return lambda record: between.join(str(record[field]) for field in fields if record.get(field) is not None) or "-"


def spread(field: str, places: int = 2) -> Callable[[Record], str]:
    """A number and the lowest and highest of its rounds, from `field` and `field`_range."""

    def cell(record: Record) -> str:
        if record.get(field) is None:
            return "-"
        low, high = record[f"{field}_range"]
        return f"{record[field]:.{places}f} ({low:.{places}f} to {high:.{places}f})"

    return cell


def _input_case(record: Record) -> str:
    """What benchmarks/input.py timed: a decoder, or the loader of a folder or packed set, alone or with steps."""
    if record["result"] == "decoder":
        return f"decoder: {record['decoder']}"
    decode = ", scaled decoding" if record.get("decode") == "scaled" else ""
    steps = f", with steps of {record['steps_images_per_second']:,} images/s" if record.get("steps") else ""
    return f"{record['data']}{decode}{steps}"


TABLES = {
    "step": Table(
        case=("net", "batch", "size", "phase", "machine"),
        columns={
            "net": lambda record: f"`{record['net']}`",
            "batch x size": text("batch", "size"),
            "phase": text("phase"),
            "machine": text("machine"),
            "ours, ms": number("ours_seconds", 1, 1e3),
            "PyTorch, ms": number("torch_seconds", 1, 1e3),
            "channels_last, ms": number("channels_last_seconds", 1, 1e3),
            "ratio": spread("ratio"),
        },
    ),
    "families": Table(
        case=("family", "phase", "machine"),
        columns={
            "family": text("family"),
            "net": lambda record: f"`{record['net']}`",
            "batch x shape": lambda record: " x ".join(map(str, [record["batch"], *record["shape"]])),
            "phase": text("phase"),
            "machine": text("machine"),
            "ours, ms": number("ours_seconds", 1, 1e3),
            "PyTorch, ms": number("torch_seconds", 1, 1e3),
            "channels_last, ms": number("channels_last_seconds", 1, 1e3),
            "ratio": spread("ratio"),
        },
    ),
    "loop": Table(
        case=("net", "batch", "steps_per_call"),
        columns={
            "net": lambda record: f"`{record['net']}`",
            "batch": text("batch"),
            "steps": text("steps"),
            "steps per call": text("steps_per_call"),
            "bare step, ms": number("bare_ms", 2),
            "in a run, ms": number("loop_ms", 2),
            "ratio": spread("ratio", 3),
            "ratio of lowest": number("ratio_of_lowest", 3),
            "writing, %": number("writes", 1, 100),
        },
    ),
    "compile": Table(
        case=("kind", "what"),
        columns={
            "what": text("what"),
            "cold, s": number("cold", 2),
            "trace, s": number("trace", 2),
            "lower, s": number("lower", 2),
            "compile, s": number("compile", 2),
            "warm, s": spread("warm"),
            "warm / cold": number("ratio", 2),
        },
    ),
    "memory": Table(
        case=("net", "batch", "size", "side"),
        columns={
            "net": lambda record: f"`{record['net']}`",
            "batch x size": text("batch", "size"),
            "side": text("side"),
            "peak, MiB": number("peak_mib", 0),
            "XLA's scratch, MiB": number("xla_temporary_mib", 0),
            "saved before XLA, MiB": number("saved_mib", 0),
            "GFLOP before XLA": number("gflop", 0),
            "ms": number("seconds", 0, 1e3),
        },
    ),
    "input": Table(
        case=("images", "data", "decode", "decoder", "steps"),
        columns={
            "what": _input_case,
            "pixels": text("pixels"),
            "bytes of an image": number("bytes_per_image", 0),
            "one thread, images/s": number("one_thread", 0),
            "loader, images/s": number("loader", 0),
            "share of the limit": number("share", 2),
        },
    ),
    "weights": Table(
        case=("net", "format"),
        columns={
            "net": lambda record: f"`{record['net']}`",
            "format": text("format"),
            "`load_file`, s": number("library_seconds", 2),
            "first load, s": number("first_seconds", 2),
            "second load, s": number("second_seconds", 2),
            "memory, of the variables": number("memory", 2),
        },
    ),
    "scaling": Table(
        case=("net", "batch", "size", "mode", "devices"),
        columns={
            "net": lambda record: f"`{record['net']}`",
            "batch of a device x size": text("batch", "size"),
            "mode": lambda record: f"`{record['mode']}`",
            "devices": number("devices", 0),
            "ms": number("seconds", 1, 1e3),
            "overhead, %": number("overhead", 0, 100),
            "all-reduces": number("all_reduces", 0),
        },
    ),
    "plan": Table(
        case=("net", "size", "pod", "devices"),
        columns={
            "pod": text("pod"),
            "devices": number("devices", 0),
            "global batch": number("batch", 0),
            "step, ms": number("step_seconds", 1, 1e3),
            "all-reduce, ms": number("all_reduce_seconds", 2, 1e3),
            "share of the network, %": number("network_share", 1, 100),
            "images/s": number("images_per_second", 0),
        },
    ),
    "gpu": Table(
        case=("net", "batch", "size", "dtype", "phase", "side"),
        columns={
            "net": lambda record: f"`{record['net']}`",
            "batch x size": text("batch", "size"),
            "dtype, phase": text("dtype", "phase", between=", "),
            "side": text("side"),
            "images/s": number("images_per_second", 0),
            "share of the bound": number("share", 2),
        },
    ),
}
VERSIONS = {
    "machine": "{}",
    "cores": "{} cores",
    "device": "{}",
    "jax": "jax {}",
    "torch": "PyTorch {}",
    "pillow": "Pillow {}",
    "date": "{}",
}


def records(name: str) -> list[Record]:
    """The latest record of each case, in the order of first appearance; [] without a file."""
    path = HERE / "results" / f"{name}.jsonl"
    latest: dict[tuple[Any, ...], Record] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        record = json.loads(line)
        latest[tuple(record.get(field) for field in TABLES[name].case)] = record
    return list(latest.values())


def render(name: str) -> str:
    """The Markdown table of a script, with the machines, versions and dates of its records below it."""
    rows, columns = records(name), TABLES[name].columns
    if not rows:
        return "Not measured yet.\n"
    numeric = [all(re.match(r"[-\d]", column(row)) for row in rows) for column in columns.values()]
    lines = [f"| {' | '.join(columns)} |", f"|{'|'.join('--:' if right else '---' for right in numeric)}|"]
    lines += [f"| {' | '.join(column(row) for column in columns.values())} |" for row in rows]
    sources = dict.fromkeys(
        ", ".join(form.format(row[field]) for field, form in VERSIONS.items() if row.get(field)) for row in rows
    )
    measured = [f"Measured on: {'; '.join(sources)}.", ""] if any(sources) else []
    return "\n".join([*lines, "", *measured])


def with_tables(page: str) -> str:
    """The page with every table that it has markers of."""
    for name in TABLES:
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        if begin in page:
            before, _, rest = page.partition(begin)
            _, _, after = rest.partition(end)
            page = f"{before}{begin}\n{render(name)}\n{end}{after}"
    return page


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(argv)
    for page in PAGES:
        page.write_text(with_tables(page.read_text()))
        print(f"wrote {page.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
