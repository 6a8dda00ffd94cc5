"""The list of skipped images."""

import json
from types import SimpleNamespace

from resnet_jax.runs.loop import loop


def test_skipped_images_follow_a_line_that_was_cut_off(tmp_path):
    source = SimpleNamespace(skipped={"a.png": "a.png: no image"})
    reporter = SimpleNamespace(print=lambda _: None)
    file, whole = tmp_path / "skipped.jsonl", '{"split": "test"}\n'
    file.write_text(whole + '{"split": "tr')
    loop.SkippedImages({"train": source}, reporter, tmp_path)
    line = json.dumps({"split": "train", "image": "a.png", "reason": "a.png: no image"})
    assert file.read_text() == f"{whole}{line}\n"
