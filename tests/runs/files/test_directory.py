"""A run directory's files."""

import pytest

from resnet_jax.runs.files.directory import is_run, remove_reports


def test_a_start_from_scratch_removes_earlier_reports_and_keeps_other_files(tmp_path):
    names = ["skipped.jsonl", "skipped.1.jsonl", "evaluation/classes.json", "evaluation/confusion.png", "a.txt"]
    names += ["evaluation-other-train/mistakes.png"]
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation-other-train").mkdir()
    for name in [*names, "evaluation/mine.txt"]:
        (tmp_path / name).write_text("")
    remove_reports(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["a.txt", "mine.txt"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        *(
            ("runs", True),
            ("runs/a", True),
            ("runs/a/checkpoints", True),
            ("runs/gone", True),
            ("gone", True),
            ("owner/a", False),
        ),
        *(("hub", False), ("hub/model.safetensors", False), ("gone.pth", False), ("resnet50", False)),
        *(("timm/resnet50.a1_in1k", False), ("torchvision/resnet50.IMAGENET1K_V1", False), ("owner/net", False)),
        *(("https://example.org/a/b.pth", False), ("/nowhere/runs/a", True)),
    ],
)
def test_sources_are_runs_or_weights(tmp_path, monkeypatch, source, expected):
    """A folder without weights is a run's, and so is a missing one that no repository can be named as."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/a/checkpoints").mkdir(parents=True)
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub/model.safetensors").write_bytes(b"")
    assert is_run(source) is expected
