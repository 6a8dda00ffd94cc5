"""resnet-jax retrieve."""

import json

import numpy as np
import pytest
from command_line import mistake, output
from PIL import Image

from resnet_jax.runs.saved.zero_shot import open_clip, tokenizer_of

pytest.importorskip("ftfy")


def test_the_likeliest_images_come_first_with_their_cosines(clip, photos, tmp_path, capsys):
    out = tmp_path / "new/sheet.png"
    lines = output(capsys, "retrieve", clip, photos, "a red owl", "--json", "--out", out).splitlines()
    records = [json.loads(line) for line in lines]
    cosines = [record["cosine"] for record in records]
    assert len(records) == 4 and cosines == sorted(cosines, reverse=True)
    with Image.open(out) as sheet:
        assert sheet.size == (4 * 164 - 4, 176)

    trained = open_clip(str(clip))
    net, tokens = trained.net, tokenizer_of(trained)(["a red owl"])
    images = net.preprocess.batch([record["image"] for record in records])
    outputs = net.model.apply(net.variables, images, tokens, train=False)
    expected = np.asarray(outputs.logits)[:, 0] / float(outputs.logit_scale)
    np.testing.assert_allclose(cosines, expected, rtol=0, atol=1e-5)

    (line,) = output(capsys, "retrieve", clip, photos, "a red owl", "--top", 1, "--no-pictures").splitlines()
    assert line == f"{cosines[0]:.4f} {records[0]['image']}"


def test_mistakes_are_one_line_and_write_nothing(clip, hub, photos, tmp_path, capsys):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/a.png").write_bytes(b"\x89PNG")
    for arguments, message in (
        ((clip, photos, " "), "expected a text, got an empty one"),
        ((clip, photos, "caf\udce9"), "expected valid Unicode, got half of a surrogate pair in 'caf"),
        ((clip, tmp_path / "no", "x"), "no image or folder"),
        ((clip, photos, "x", "--out", tmp_path / "a.jpg"), "--out: expected a .png file, got "),
        ((clip, photos, "x", "--top", 0), "expected top from 1 to 1,000,000, got 0"),
        ((clip, tmp_path / "broken", "x", "--no-pictures"), "none of 1 images could be read; "),
        ((hub, photos, "x", "--no-pictures"), "expected a net of images and texts"),
    ):
        assert message in mistake(capsys, "retrieve", *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]
    (run := tmp_path / "run/checkpoints").mkdir(parents=True)
    expected = f"did you mean resnet-jax retrieve {run.parent} {photos / 'owl'} 'a red owl'?"
    for first in (photos / "owl", photos / "owl/owl0.png"):
        assert expected in mistake(capsys, "retrieve", first, run.parent, "a red owl")


def test_the_sheet_replaces_no_image(clip, photos, capsys):
    photo = photos / "owl/owl0.png"
    before = photo.read_bytes()
    error = mistake(capsys, "retrieve", clip, photos, "x", "--out", photo)
    assert "--out: expected a file that is none of the images" in error and "owl0-sheet.png?" in error
    assert photo.read_bytes() == before
