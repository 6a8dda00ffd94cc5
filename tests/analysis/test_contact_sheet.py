import jax
import numpy as np
import pytest

from resnet_jax.analysis.contact_sheet import as_seen, caption, captioned, grid, label_text
from resnet_jax.types import Preprocess


def test_a_grid_is_filled_row_by_row_and_padded_with_black():
    images = np.arange(1, 6, dtype=np.uint8).reshape(5, 1, 1, 1) * np.ones((5, 2, 3, 1), np.uint8)
    picture = grid(images, columns=3, gap=1)
    assert picture.shape == (2 * 2 + 1, 3 * 3 + 2, 3) and picture.dtype == np.uint8
    assert picture[::3, ::4, 0].tolist() == [[1, 2, 3], [4, 5, 0]]
    assert not picture[2].any() and not picture[:, 3].any()  # the gaps
    assert grid(images[:2], gap=0).shape == (2, 6, 3)  # no wider than there are images


@pytest.mark.parametrize("shape, dtype", [((4, 4, 3), np.uint8), ((1, 4, 4, 2), np.uint8), ((1, 4, 4, 3), np.float32)])
def test_a_grid_wants_bytes_in_one_or_three_channels(shape, dtype):
    with pytest.raises(ValueError, match=r"expected images uint8 \[n, H, W, 1 or 3\]"):
        grid(np.zeros(shape, dtype))


@pytest.mark.parametrize("soft", [False, True])
def test_each_image_has_the_name_of_its_class_below_it(soft):
    preprocess = Preprocess(16, 16, (0.5,), (0.25,))
    classes, key = ("circle", "square", "\u732b"), jax.random.key(0)

    def augment(batch, key):
        label = jax.nn.one_hot(batch["label"], 3) if soft else batch["label"]
        return {"image": preprocess(batch["image"]), "label": label}

    labels = np.array([1, 0, 2], np.int32)
    picture = as_seen({"image": np.zeros((3, 16, 16, 1), np.uint8), "label": labels}, augment, key, preprocess, classes)
    cells = [picture[80:96, x : x + 80] for x in (0, 84, 168)]
    for cell, name in zip(cells, ("square", "circle", "class 2"), strict=True):
        assert cell.any()
        np.testing.assert_array_equal(cell, caption(name, 80))


def test_a_caption_is_shortened_to_its_width():
    np.testing.assert_array_equal(caption("a" * 300, 50)[:, 48:], 0)
    assert caption("a" * 300, 50).any() and not caption("wide", 1).any()


def test_long_captions_have_several_lines_of_whole_words():
    images = np.zeros((2, 8, 80, 3), np.uint8)
    picture = captioned(images, ["an eight right of a three", "a dog"])
    assert picture.shape == (2, 8 + 2 * 16, 80, 3)
    np.testing.assert_array_equal(picture[0, 8:24], caption("an eight right", 80))
    np.testing.assert_array_equal(picture[0, 24:], caption("of a three", 80))
    np.testing.assert_array_equal(picture[1, 8:24], caption("a dog", 80))
    assert not picture[1, 24:].any()
    endless = captioned(images[:1], ["word " * 100])
    assert endless.shape == (1, 8 + 5 * 16, 80, 3)


def test_captions_of_labels_of_each_kind():
    names = ("cat", "dog", "owl")
    assert label_text(np.array(1), names) == "dog"
    assert label_text(np.array([0.05, 0.35, 0.6]), names) == "owl + dog"
    assert label_text(np.array([1, 0, 1.0]), names, "multi-hot") == "cat + owl"
    assert label_text(np.array([0.12344, -2]), names[:2], "targets") == "0.1234, -2"
