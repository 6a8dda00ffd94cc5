"""resnet-jax features."""

import re

import numpy as np
from command_line import mistake, output


def test_feature_maps_of_the_last_stage_are_written_with_names(hub, photos, tmp_path, capsys):
    line = output(capsys, "features", hub, photos, "--out", tmp_path / "new/f.npz")
    assert re.fullmatch(r".*/new/f.npz: features \[4, 64\] of stage3 \(.*, images \[4\]\n", line)
    with np.load(tmp_path / "new/f.npz") as file:
        assert file["images"].tolist() == sorted(map(str, photos.rglob("*.png")))
        assert file["features"].shape == (4, 64) and file["features"].dtype == np.float32


def test_mistakes_are_one_line_and_leave_no_file(hub, photos, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    for arguments, message in (
        ([photos, "--layer", "stage5"], "has no layer 'stage5'; did you mean stage"),
        ([photos, "--out", tmp_path / "f.csv"], "expected a .npz file for features, got "),
        ([photos, "--out", tmp_path / "broken.png/f.npz"], "cannot be written: "),
        ([tmp_path / "broken.png"], "none of 1 images could be read; "),
        ([], "expected image files, or folders of them, got none"),
    ):
        error = mistake(
            capsys, "features", hub, *arguments, *([] if "--out" in arguments else ["--out", tmp_path / "f.npz"])
        )
        assert message in error
    weights = tmp_path / "w.npz"
    weights.write_bytes(b"weights")
    error = mistake(capsys, "features", weights, photos, "--out", weights)
    assert "--out: expected another file than the weights" in error and weights.read_bytes() == b"weights"
    weights.unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["broken.png"]


def test_features_of_clip_are_those_of_its_image_tower(clip, photos, tmp_path, capsys):
    assert "features [4, 64] of stage3 " in output(capsys, "features", clip, photos, "--out", tmp_path / "f.npz")
