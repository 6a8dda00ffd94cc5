"""Opening datasets and loaders by name or path."""

import numpy as np
import pytest
from pictures import pictures

from resnet_jax.data import open_dataset, open_loader, with_classes
from resnet_jax.data.loading.memory import MemoryLoader
from resnet_jax.data.loading.streaming import StreamingLoader


@pytest.mark.parametrize("argument", ["labels", "label_column", "image_column"])
def test_columns_are_for_data_at_a_path(argument):
    with pytest.raises(ValueError, match=f"^{argument}='x' describes data at a path; expected path='FOLDER' too"):
        open_dataset("digits", **{argument: "x"})


def test_an_image_size_streams_and_without_one_images_are_in_memory(tmp_path):
    dataset = open_dataset(path=pictures(tmp_path, "cat/1.png", "dog/2.png", "owl/3.png"))
    memory, streaming = (open_loader(dataset, "train", image_size=size) for size in (None, 3))
    assert isinstance(memory, MemoryLoader) and memory.image_shape == (4, 4, 1)
    assert isinstance(streaming, StreamingLoader) and streaming.image_shape == (3, 3, 1)
    for loader in (memory, streaming):
        wider = with_classes(loader, ("owl", "eel", "dog", "cat"))
        assert wider.labels.tolist() == [3, 2, 0] and wider.classes == ("owl", "eel", "dog", "cat")
        assert next(wider.eval_batches(3))["label"].tolist() == [3, 2, 0]


def test_classes_are_selected_and_known_ones_keep_their_labels(tmp_path):
    dataset = open_dataset(path=pictures(tmp_path, "cat/1.png", "dog/2.png", "owl/3.png"))
    loader = open_loader(dataset, "train", classes=("owl", "cat"), known_classes=("cat", "dog", "owl"))
    np.testing.assert_array_equal(loader.labels, [0, 2])
    with pytest.raises(ValueError, match="unknown classes owl; expected those of the net: cat, dog"):
        open_loader(dataset, "train", known_classes=("cat", "dog"))
