"""A run directory's files."""

from resnet_jax.runs.files.directory import remove_reports


def test_a_start_from_scratch_removes_earlier_reports_and_keeps_other_files(tmp_path):
    names = ["skipped.jsonl", "skipped.1.jsonl", "evaluation/classes.json", "evaluation/confusion.png", "a.txt"]
    names += ["evaluation-other-train/mistakes.png"]
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation-other-train").mkdir()
    for name in [*names, "evaluation/mine.txt"]:
        (tmp_path / name).write_text("")
    remove_reports(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["a.txt", "mine.txt"]
