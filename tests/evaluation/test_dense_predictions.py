"""Predictions of detectors and segmentation nets for image files of any size."""

import json

import bright_nets
import numpy as np
import pytest
from bright_nets import BOX, CLASSES, SIZE
from PIL import Image
from pycocotools import mask as coco_mask

from resnet_jax.cli import predict as command
from resnet_jax.evaluation.predictions import predict
from resnet_jax.tasks import Classification, Detection, Segmentation

DETECTION, SEGMENTATION = Detection(classes=CLASSES), Segmentation(classes=CLASSES)
SLACK = 200 / 64 + 1  # a pixel of the canvas is so many of the photo


@pytest.fixture(scope="module")
def detector():
    return bright_nets.net(bright_nets.BrightDetector())


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    first = bright_nets.photo(folder / "000000000139.png")
    (folder / "broken.png").write_bytes(b"no image")
    return [first, folder / "broken.png", bright_nets.photo(folder / "other" / "dog.png")]


def test_detections_are_in_pixels_of_the_files(detector, photos, capsys):
    """Through the canvas and back: the box, the mask and the text; JSON as COCO's result files."""
    predictions = list(predict(detector, DETECTION, photos, draw=True))
    assert predictions[0].text == "1 object: bright 0.90" and predictions[1].error is not None
    assert predictions[0].columns == {"objects": 1, "names": "bright 0.90"}
    picture = predictions[0].picture
    assert picture.shape == (SIZE[0] * 2, SIZE[1] * 2, 3)
    assert (picture != Image.open(photos[0]).resize(picture.shape[1::-1], Image.Resampling.NEAREST)).any()
    assert command.print_results(predictions) == 1
    printed = capsys.readouterr()
    results = json.loads(printed.out)
    assert "broken.png" in printed.err
    assert [one["image_id"] for one in results] == [139, 139, "dog.png", "dog.png"]
    best = results[0]
    assert (best["category_id"], best["category"], best["score"]) == (2, "bright", pytest.approx(0.9))
    x, y, width, height = best["bbox"]
    np.testing.assert_allclose([x, y, x + width, y + height], BOX, atol=SLACK)
    mask = coco_mask.decode(best["segmentation"])
    assert mask.shape == SIZE and mask[BOX[1] + 4 : BOX[3] - 4, BOX[0] + 4 : BOX[2] - 4].all()
    assert results[1]["bbox"] == [0, 0, SIZE[1], pytest.approx(SIZE[0], abs=SLACK)]


def test_classes_of_pixels_are_at_the_size_of_the_file(photos):
    segmenter = bright_nets.net(bright_nets.BrightSegmenter())
    (prediction,) = predict(segmenter, SEGMENTATION, photos[:1], draw=True)
    dark, bright = prediction.values["classes"]
    area = (BOX[2] - BOX[0]) * (BOX[3] - BOX[1]) / (SIZE[0] * SIZE[1])
    assert (dark["class"], bright["class"]) == CLASSES and bright["share"] == pytest.approx(area, abs=0.05)
    assert coco_mask.decode(bright["segmentation"])[BOX[1] + 5 : BOX[3] - 5, BOX[0] + 5 : BOX[2] - 5].all()
    assert prediction.columns == {"dark": pytest.approx(1 - area, abs=0.05), "bright": pytest.approx(area, abs=0.05)}
    assert prediction.picture.shape[0] > SIZE[0]


def test_pictures_go_to_a_file_or_a_folder(detector, photos, tmp_path):
    (place,) = command.picture_files(str(tmp_path / "out.png"), photos[:1])
    list(command.drawn(predict(detector, DETECTION, photos[:1], draw=True), [place]))
    assert Image.open(place).size == (SIZE[1] * 2, SIZE[0] * 2)
    same = [photos[0], photos[2], photos[0].parent / "x" / "dog.jpg"]
    names = [file.name for file in command.picture_files(str(tmp_path / "all"), same)]
    assert names == ["000000000139.png", "dog.png", "dog-2.png"]
    for out, files, words in (
        ("a.jpg", photos[:1], "a .png file"),
        ("a.png", photos, "a folder for the pictures of 3"),
    ):
        with pytest.raises(ValueError, match=words):
            command.picture_files(str(tmp_path / out), files)


def test_pictures_replace_no_images(photos, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    photo, link = folder / "a.png", tmp_path / "link.png"
    photo.write_bytes(photos[0].read_bytes())
    link.symlink_to(photo)
    for out, files, expected in (
        (photo, [photo], "another file than the image"),
        (link, [photo], "another file than the image"),
        (folder, [photo], "a folder without the images"),
        (folder, [photo, photos[2]], "a folder without the images"),
    ):
        with pytest.raises(ValueError, match=f"--draw: expected {expected}.*; did you mean .*-drawn"):
            command.picture_files(str(out), files)
    assert command.picture_files(str(folder / "b.png"), [photo]) == [folder / "b.png"]


def test_a_picture_that_cannot_be_written_leaves_the_earlier_one(detector, photos, tmp_path, monkeypatch):
    (place := tmp_path / "out.png").write_bytes(b"earlier")
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(Image.Image, "save", lambda *_, **__: (_ for _ in ()).throw(full))
    predictions = predict(detector, DETECTION, photos[:1], draw=True)
    with pytest.raises(ValueError, match="--draw: '.*out.png' cannot be written: No space left on device"):
        list(command.drawn(predictions, [place]))
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"earlier"]


@pytest.mark.parametrize("score", [-0.1, 1.1, np.nan])
def test_the_lowest_score_is_a_share(detector, photos, score):
    with pytest.raises(ValueError, match="expected min_score from 0 to 1, got"):
        next(predict(detector, DETECTION, photos, min_score=score))


def test_a_classification_has_nothing_to_draw(photos):
    with pytest.raises(ValueError, match="classification predicts no boxes"):
        Classification(classes=CLASSES).draw_prediction(np.zeros((2, 2, 3), np.uint8), {})
