import io
import json
import os
import re
import resource
import sys

import numpy as np
import pytest
from rich.console import Console

from resnet_jax.errors import SaveFailed
from resnet_jax.runs.loop.reporter import RunReporter
from resnet_jax.runs.loop.writers import TensorBoard

VALUES = {"loss": 1.5, "top1": 0.25, "learning_rate": 0.1, "images_per_second": 4.0}


def report(folder, terminal=False, start=0, width=100, term="xterm"):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, _environ={"TERM": term})
    return console, RunReporter(
        folder, start_step=start, total_steps=100, steps_per_epoch=10, batch_size=8, console=console
    )


def records(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_one_json_object_a_line_and_one_line_of_text(tmp_path):
    console, written = report(tmp_path)
    with written:
        written.advance(10)
        written.train(10, VALUES)
        written.test(10, {"loss": 1.0, "top1": 0.5, "top5": 0.75, "images": 9})
    train, test = records(tmp_path / "metrics.jsonl")
    assert train == {"step": 10, "split": "train", **VALUES}
    assert test == {"step": 10, "split": "test", "loss": 1.0, "top1": 0.5, "top5": 0.75, "images": 9}
    first, second = console.file.getvalue().splitlines()
    assert first.startswith("epoch 1.00/10  step 10/100  loss 1.5000  top-1 0.2500  4 images/s  elapsed 0:0")
    assert re.fullmatch(r".*  elapsed 0:0\d  remaining 0:0\d", first)
    assert second == "epoch 1.00/10  step 10/100  test: loss 1.0000  top-1 0.5000  top-5 0.7500  (9 images)"


def test_lines_have_the_words_of_the_data(tmp_path, capsys):
    with RunReporter(tmp_path, start_step=0, total_steps=100, examples="texts") as written:
        written.train(10, VALUES)
        written.train(20, VALUES | {"images_per_second": None})
        written.test(20, {"loss": 1.0, "images": 9})
    lines = capsys.readouterr().out.splitlines()
    assert all(part in line for part, line in zip(("  4 texts/s  ", "  - texts/s  ", "(9 texts)"), lines, strict=True))


def test_a_terminal_breaks_lines_between_words_and_a_file_does_not(tmp_path):
    message = " ".join(f"word{i}" for i in range(10))
    for terminal in (True, False):
        console, written = report(tmp_path, terminal=terminal, width=20)
        written.print(message)
        lines = console.file.getvalue().splitlines()
        assert [word for line in lines for word in line.split()] == message.split()
        assert max(map(len, lines)) <= 20 if terminal else lines == [message]


def shown(console):
    """All lines that a terminal has shown, even those that were overwritten later."""
    return re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", console.file.getvalue()).replace("\r", "\n").splitlines()


@pytest.mark.parametrize(
    ("width", "parts"),
    [
        (120, ("epoch 1.00/10", "━", "10%", "remaining", "elapsed 0:00", "4 images/s", "loss 1.5000")),
        (80, ("epoch 1.00/10", "10%", "remaining", "elapsed 0:00", "4 images/s", "loss 1.5000")),
        (40, ("epoch 1.00/10", "10%", "remaining")),
        (10, ()),
    ],
)
def test_a_terminal_gets_a_bar_of_one_line_below_all_messages(tmp_path, width, parts):
    console, written = report(tmp_path, terminal=True, width=width)
    with written:
        with written.compiling("the training step"):
            written._bar.refresh()
            written.advance(1)
        written.advance(10)
        written._bar.refresh()
        assert width < 80 or re.search(r"  [\d,]+ images/s", shown(console)[-1])  # also before the first record
        written.train(10, VALUES)
        written._bar.refresh()
        with written.testing():
            written._bar.refresh()
        written.print("a line")
        lines = shown(console)
        assert all(len(line) <= max(width, len("compiled the training step in 0.0 s")) for line in lines)
    if width >= 40:
        assert any("compiling the training step 0:00" in line for line in lines)
        assert any("testing 0:00" in line for line in lines)
        assert not any("compiling" in line for line in lines[lines.index("compiled the training step in 0.0 s") :])
    assert any(all(part in line for part in parts) for line in lines)
    last = console.file.getvalue().rpartition("a line")[2]
    assert last.count("\n") <= 2 and "\x1b[2K" in last  # the bar is printed once below it, then removed


@pytest.mark.parametrize(("terminal", "term"), [(False, "xterm"), (True, "dumb")])
def test_elsewhere_there_are_lines_without_control_codes(tmp_path, terminal, term):
    console, written = report(tmp_path, terminal=terminal, term=term)
    with written:
        with written.compiling("the training step"):
            written.advance(10)
        written.train(10, VALUES)
    lines = console.file.getvalue().splitlines()
    assert lines[:2] == ["compiling the training step", "compiled the training step in 0.0 s"]
    assert "\x1b" not in console.file.getvalue() and "  step 10/100  loss 1.5000" in lines[2]


def test_colours_that_are_forced_make_no_terminal_of_a_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    with RunReporter(tmp_path, start_step=0, total_steps=9) as written:
        written.train(3, VALUES)
    out = capsys.readouterr().out
    assert "\x1b" not in out and out.startswith("step 3/9  loss 1.5000")


def test_without_a_reader_the_records_are_still_written(tmp_path, monkeypatch):
    read, write = os.pipe()
    with os.fdopen(write, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with RunReporter(tmp_path, start_step=0, total_steps=9) as written:
            written.train(1, VALUES)
            os.close(read)
            for step in (2, 3):
                written.train(step, VALUES)
    assert [record["step"] for record in records(tmp_path / "metrics.jsonl")] == [1, 2, 3]


def test_long_lines_and_brackets_are_left_as_they_are(tmp_path):
    console, written = report(tmp_path)
    line = "runs/[lr=0.1]/[/x] " + "very " * 40 + "long"
    with written:
        written.print(line)
        written.train(10, VALUES | {"images_per_second": None})
    assert console.file.getvalue().splitlines()[0] == line
    assert console.file.getvalue().splitlines()[1].endswith("- images/s  elapsed 0:00  remaining 0:00")


def test_resuming_drops_records_after_the_checkpoint_and_an_incomplete_line(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(json.dumps({"step": step}) + "\n" for step in (10, 20, 30)) + '{"step": 4')
    _, written = report(tmp_path, start=20)
    with written:
        written.test(40, VALUES | {"images": 1})
    assert [record["step"] for record in records(file)] == [10, 20, 40]


def test_an_invalid_line_is_an_error(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 10}\n{"stXp": 20}\n')
    with pytest.raises(ValueError, match="metrics.jsonl has an invalid line .*; repair it or move the file away"):
        report(tmp_path)


def test_an_interval_without_examples_and_steps_that_are_not_finite(tmp_path):
    console, written = report(tmp_path)
    with written:
        written.train(10, VALUES | {"loss": None, "top1": None, "skipped": 10})
        written.nonfinite(7, [3, 1], ["c.png", "a.png"])
        written.nonfinite(9, [2])
    first = {"step": 7, "examples": [3, 1], "names": ["c.png", "a.png"]}
    assert "loss -  top-1 -" in console.file.getvalue()
    assert records(tmp_path / "nonfinite.jsonl") == [first, {"step": 9, "examples": [2]}]
    with report(tmp_path, start=8)[1]:
        pass
    assert records(tmp_path / "nonfinite.jsonl") == [first]
    assert records(tmp_path / "metrics.jsonl") == []


def test_one_of_several_processes_writes_and_shows_nothing(tmp_path, capsys):
    with RunReporter(None, start_step=0, total_steps=9) as written:
        written.train(3, VALUES)
        written.nonfinite(3, [1])
        written.sync()
        written.print("hidden")
    assert capsys.readouterr().out == "" and not any(tmp_path.iterdir())


def test_numbers_and_pictures_go_to_every_writer_and_they_are_closed(tmp_path):
    class Recorder:
        def __init__(self):
            self.got = []

        def scalars(self, step, values):
            self.got.append((step, values))

        def image(self, step, name, pixels):
            self.got.append((step, name, pixels.shape))

        def close(self):
            self.got.append("closed")

    writers = [Recorder(), Recorder()]
    console = Console(file=io.StringIO())
    with RunReporter(tmp_path, start_step=0, total_steps=9, writers=writers, console=console) as written:
        written.image(0, "train/images", np.zeros((2, 3, 3), np.uint8))
        written.train(3, VALUES | {"images_per_second": None})
        written.test(3, {"loss": 1.0, "top1": 0.5, "images": 9})
    train = {"train/loss": 1.5, "train/top1": 0.25, "train/learning_rate": 0.1}
    expected = [
        (0, "train/images", (2, 3, 3)),
        (3, train),
        (3, {"test/loss": 1.0, "test/top1": 0.5, "test/images": 9}),
        "closed",
    ]
    assert [writer.got for writer in writers] == [expected, expected]


@pytest.mark.parametrize("curves", [True, False])
def test_a_full_disk_is_reported_at_once(tmp_path, curves):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    writers = [TensorBoard(tmp_path / "tensorboard", start_step=0, hyperparameters={}, measures=())] if curves else []
    written = RunReporter(tmp_path, start_step=0, total_steps=100, writers=writers, console=Console(quiet=True))
    try:
        with pytest.raises(SaveFailed, match=f"{tmp_path} cannot be written: .*; its checkpoints are unchanged"):
            with written:
                resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
                for step in range(1, 101):
                    written.train(step, VALUES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with RunReporter(tmp_path, start_step=10, total_steps=100, console=Console(quiet=True)):
        pass
    steps = [line["step"] for line in records(tmp_path / "metrics.jsonl")]
    assert steps and steps == list(range(1, steps[-1] + 1))


def test_a_number_that_is_not_defined_is_null_and_a_dash(tmp_path, capsys):
    with RunReporter(tmp_path, start_step=0, total_steps=4, titles={"map": "mAP"}) as written:
        written.test(4, {"loss": 1.0, "map": float("nan"), "images": 9})
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()
    assert records(tmp_path / "metrics.jsonl")[0]["map"] is None
    assert "loss 1.0000  mAP -  (9 images)" in capsys.readouterr().out
