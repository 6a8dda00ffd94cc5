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


def test_the_line_has_the_words_of_the_data(tmp_path):
    lines, source = [], SimpleNamespace(skipped={"a.wav": "a.wav: no sound"})
    reporter = SimpleNamespace(print=lines.append)
    skipped = loop.SkippedImages({"train": source}, reporter, tmp_path, ("sound", "sounds"))
    source.skipped["b.wav"] = "b.wav: empty"
    skipped.update()
    assert lines == [
        "1 unreadable sound skipped so far, see skipped.jsonl; the last: a.wav: no sound",
        "2 unreadable sounds skipped so far, see skipped.jsonl; the last: b.wav: empty",
    ]
