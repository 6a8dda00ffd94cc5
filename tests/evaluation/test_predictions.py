"""Predictions for image files: those of the net on the preprocessed image, and a reason for unreadable files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from pictures import pictures
from PIL import Image

from resnet_jax import Preprocess
from resnet_jax.evaluation.predictions import Prediction, predict
from resnet_jax.tasks import Classification
from resnet_jax.types import Pretrained

CLASSES = ("a", "b", "c")
MODEL = recipe.small("cifar_resnet8", 1, 1, num_classes=3, in_channels=1)
NET = Pretrained(MODEL, recipe.variables(MODEL), Preprocess(4, 4, (0.5,), (0.25,)), "cifar_resnet8", CLASSES)
TASK = Classification(classes=CLASSES)


def test_each_file_has_its_prediction_in_order(tmp_path):
    files = [pictures(tmp_path, f"{i}.png") / f"{i}.png" for i in range(3)]
    Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) * 16).save(files[1])
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    files.insert(1, tmp_path / "broken.png")
    predictions = list(predict(NET, TASK, files, batch_size=3, top=2))
    assert [one.image for one in predictions] == list(map(str, files))
    assert str(predictions[1]).startswith("unreadable: ") and predictions[1].record().keys() == {"image", "error"}
    images = np.stack([np.asarray(Image.open(file))[..., None] for file in (files[0], *files[2:])])
    forward = jax.jit(lambda images: MODEL.apply(NET.variables, NET.preprocess(images), train=False).logits)
    logits = forward(jnp.asarray(images))
    for one, expected in zip([predictions[0], *predictions[2:]], np.asarray(logits), strict=True):
        likeliest = [CLASSES[k] for k in np.argsort(-expected)[:2]]
        assert [row["class"] for row in one.record()["predictions"]] == likeliest
        assert [row["index"] for row in one.record()["predictions"]] == np.argsort(-expected)[:2].tolist()
        assert [one.columns["class1"], one.columns["class2"]] == likeliest
        assert one.record()["top"][0]["probability"] == pytest.approx(np.exp(expected).max() / np.exp(expected).sum())


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_images_are_cropped_as_the_weights_expect(tmp_path, mode):
    """As `Preprocess.batch` does it."""
    preprocess = Preprocess(4, 5, (0.5,), (0.25,), "lanczos", crop_mode=mode)
    net = NET._replace(preprocess=preprocess)
    Image.fromarray(np.arange(96, dtype=np.uint8).reshape(8, 12) * 2).save(file := tmp_path / "a.png")
    (prediction,) = predict(net, TASK, [file], batch_size=1, top=1)
    logits = np.asarray(MODEL.apply(net.variables, preprocess.batch([file]), train=False).logits[0])
    expected = np.exp(logits).max() / np.exp(logits).sum()
    assert prediction.record()["top"][0]["probability"] == pytest.approx(expected, rel=1e-5)


def test_one_program_is_compiled_for_all_batches(tmp_path, caplog):
    names = [f"{i}.png" for i in range(5)]
    files = [pictures(tmp_path, *names) / name for name in names]
    with jax.log_compiles():
        assert len(list(predict(NET, TASK, files, batch_size=2))) == 5
    compiled = [record.getMessage() for record in caplog.records if "Compiling" in record.getMessage()]
    assert len([line for line in compiled if "step" in line]) == 1


@pytest.mark.parametrize("name", ["batch_size", "top"])
@pytest.mark.parametrize("value", [0, 10**6 + 1])
def test_numbers_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"expected {name} from 1 to 1,000,000, got {value}"):
        next(predict(NET, TASK, [], **{name: value}))


def test_names_are_one_line_of_text_for_terminals():
    prediction = Prediction("a\nb.png", {}, "\x1b[31mred 0.9")
    assert str(prediction) == "a\\nb.png: \\x1b[31mred 0.9" and prediction.record()["image"] == "a\nb.png"
