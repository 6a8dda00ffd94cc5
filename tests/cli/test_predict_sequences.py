"""resnet-jax predict for nets of series, sounds and texts."""

import csv
import io
import json
import sys
from functools import partial

import jax
import numpy as np
import pytest
import sequence_checkpoints
from command_line import mistake, output
from sounds import sounds, wave_bytes

from resnet_jax import load_checkpoint
from resnet_jax.cli.main import main


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets")
    makers = {"series": "series_net", "text": "text_net", "language": "language_net"}
    return {kind: getattr(sequence_checkpoints, maker)(folder / kind) for kind, maker in makers.items()}


@pytest.fixture(scope="module")
def sound_net(tmp_path_factory):
    pytest.importorskip("soundfile")
    return sequence_checkpoints.sound_net(tmp_path_factory.mktemp("net") / "audio")


def records(capsys, *arguments):
    return [json.loads(line) for line in output(capsys, "predict", *arguments, "--json").splitlines()]


def expected_shares(run, items):
    """Probabilities as a user computes them in Python."""
    net = load_checkpoint(run)
    x, lengths = net.preprocess.batch(items)
    apply = jax.jit(partial(net.model.apply, train=False))  # each operation by itself takes longer
    logits = np.asarray(apply(net.variables, x, lengths=lengths).logits, np.float64)
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def shares(record, classes):
    each = {one["class"]: one["probability"] for one in record["predictions"]}
    return [each[name] for name in classes]


def test_series_of_a_file_get_the_numbers_of_python_in_their_order(nets, tmp_path, capsys):
    rng = np.random.default_rng(0)
    series = [rng.standard_normal(length) for length in (30, 9, 21, 9)]
    lines = [",".join([*(f"{x:.6f}" for x in one), *[""] * (30 - len(one))]) for one in series]
    (tmp_path / "set.csv").write_text("\n".join(lines) + "\n")
    series = [np.round(one, 6) for one in series]
    one_by_one = records(capsys, nets["series"], tmp_path / "set.csv")
    assert [one["series"] for one in one_by_one] == [f"{tmp_path}/set.csv, line {line}" for line in range(1, 5)]
    predicted = np.array([shares(one, ("1", "2")) for one in one_by_one])
    np.testing.assert_allclose(predicted, expected_shares(nets["series"], series), atol=1e-5)
    (tmp_path / "labelled.csv").write_text("\n".join(f"{k % 2 + 1},{line}" for k, line in enumerate(lines)))
    main(["predict", str(nets["series"]), str(tmp_path / "labelled.csv"), "--csv", "--top", "1", "--batch-size", "2"])
    out, error = capsys.readouterr()
    assert (
        error
        == f"note: {tmp_path}/labelled.csv: the first cell of each line is taken as its label, which is not used\n"
    )
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == ["series", "class1", "probability1", "error"]
    np.testing.assert_allclose([float(row["probability1"]) for row in rows], predicted.max(1), atol=1e-5)


def test_a_broken_series_is_named_and_the_status_says_so(nets, tmp_path, capsys):
    (tmp_path / "set.csv").write_text("0.5,1.5,2.5\n0.5,nan,1.5\n")
    with pytest.raises(SystemExit) as exit:
        main(["predict", str(nets["series"]), str(tmp_path / "set.csv")])
    out, error = capsys.readouterr()
    assert exit.value.code == 2 and error == "error: 1 of 2 series could not be read\n"
    good, bad = out.splitlines()
    assert good.startswith(f"{tmp_path}/set.csv, line 1: ")
    assert bad.startswith(f"unreadable: {tmp_path}/set.csv, line 2: expected finite numbers")
    (tmp_path / "set.csv").write_text("nan,0.5,nan,1.5\n")  # all are broken: no program runs
    with pytest.raises(SystemExit):
        main(["predict", str(nets["series"]), str(tmp_path / "set.csv")])
    assert capsys.readouterr().err == "error: 1 of 1 series could not be read\n"


def test_texts_are_arguments_files_and_lines_of_standard_input(nets, tmp_path, capsys, monkeypatch):
    texts = ["good film, really", "bad film", "good"]
    expected = expected_shares(nets["text"], texts)
    (tmp_path / "reviews").mkdir()
    (tmp_path / "reviews" / "a.txt").write_text(texts[1])
    (tmp_path / "reviews" / "b.txt").write_text(texts[2])
    (tmp_path / "reviews" / "c.csv").write_text("no text")
    predicted = records(capsys, nets["text"], texts[0], tmp_path / "reviews")
    assert [one["text"] for one in predicted] == [texts[0], *(str(tmp_path / "reviews" / f"{x}.txt") for x in "ab")]
    np.testing.assert_allclose([shares(one, ("bad", "good")) for one in predicted], expected, atol=1e-5)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\r\n".join(texts).encode() + b"\r\n")))
    lines = records(capsys, nets["text"], "-")
    assert [one["text"] for one in lines] == texts
    np.testing.assert_allclose([shares(one, ("bad", "good")) for one in lines], expected, atol=1e-5)
    line = output(capsys, "predict", nets["text"], "good " * 100, "--top", "1")
    assert line.startswith("good good") and "...: " in line and len(line) < 120


def test_a_language_model_measures_a_text_and_continues_it(nets, capsys, monkeypatch):
    (one,) = records(capsys, nets["language"], "a film", "--top", "2")
    assert list(one) == ["text", "bits_per_character", "characters", "next"]
    assert one["characters"] == 6 and len(one["next"]) == 2 and 0 < one["bits_per_character"] < 50
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a film\n\nfilm\n")))
    with pytest.raises(SystemExit):
        main(["predict", str(nets["language"]), "-"])
    out, error = capsys.readouterr()
    assert error == "error: 1 of 3 texts could not be read\n"
    assert [line.split(":")[0] for line in out.splitlines()] == ["a film", "unreadable", "film"]


def test_sounds_of_files_folders_and_standard_input(sound_net, tmp_path, capsys, monkeypatch):
    folder = sounds(tmp_path / "set", "b/one.wav", "a/two.wav", length=1500)
    (folder / "note.txt").write_text("no sound")
    predicted = records(capsys, sound_net, folder)
    files = [folder / "a/two.wav", folder / "b/one.wav"]
    assert [one["sound"] for one in predicted] == list(map(str, files))
    np.testing.assert_allclose(
        [shares(one, ("no", "yes")) for one in predicted], expected_shares(sound_net, files), atol=1e-5
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(files[0].read_bytes())))
    (from_input,) = records(capsys, sound_net, "-")
    assert from_input["sound"] == "-" and shares(from_input, ("no", "yes")) == pytest.approx(
        shares(predicted[0], ("no", "yes"))
    )
    (folder / "cut.wav").write_bytes(wave_bytes(np.zeros(800))[:200])
    with pytest.raises(SystemExit):
        main(["predict", str(sound_net), str(folder / "cut.wav"), str(files[0])])
    out, error = capsys.readouterr()
    assert error == "error: 1 of 2 sounds could not be read\n" and "cut.wav: the file is cut" in out.splitlines()[0]


def test_mistakes_are_one_line(nets, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x_TEST.ts").write_text("")
    for kind, arguments, message in (
        ("series", [], "expected files of series, got no series"),
        ("series", [tmp_path / "none.ts"], "expected a file of series (.ts, .tsv, .csv, .txt, .npz)"),
        ("series", [tmp_path / "folder"], "did you mean "),
        ("series", ["x.ts", "--draw", "x.png"], "--draw is for images, and "),
        ("text", [], "expected a text, a file or - for lines of input, got no text"),
        ("text", ["review.txt"], "no file 'review.txt'; an argument that is no path is a text itself"),
        ("text", [tmp_path / "folder"], "expected .txt or .text files in "),
    ):
        assert message in mistake(capsys, "predict", nets[kind], *arguments)
    with pytest.raises(TypeError, match=r"expected a list of items, got str .*; \[item\] is a list of one"):
        load_checkpoint(nets["text"]).preprocess.batch("a text")
    assert "features: expected a net of images, got one of series" in mistake(
        capsys, "features", nets["series"], tmp_path / "x.png"
    )
