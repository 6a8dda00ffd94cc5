"""resnet-jax plot."""

import shutil

import pytest
from command_line import mistake, output
from PIL import Image


@pytest.mark.slow
def test_plot_draws_runs(trained, tmp_path, capsys, monkeypatch):
    assert output(capsys, "plot", trained, "--out", tmp_path / "a" / "b").splitlines() == [
        str(tmp_path / "a" / "b.png"),
        str(tmp_path / "a" / "b.svg"),
    ]
    assert Image.open(tmp_path / "a" / "b.png").width == 1280
    monkeypatch.chdir(tmp_path)
    assert output(capsys, "plot", trained, "--x", "steps").splitlines()[0] == str(trained / "curves.png")
    shutil.copytree(trained, tmp_path / "runs/other")
    assert output(capsys, "plot", "runs/other", trained).splitlines() == [
        "curves-mine-other.png",
        "curves-mine-other.svg",
    ]
    (tmp_path / "file").write_text("")
    assert "--out names another place" in mistake(capsys, "plot", trained, "--out", "file/b")
