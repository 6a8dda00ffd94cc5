"""The loader of pairs serves the images of another loader with the tokens of their captions."""

from functools import partial

import numpy as np
import pytest

from resnet_jax.data import open_dataset, open_loader
from resnet_jax.data.loading.memory import load_into_memory
from resnet_jax.data.loading.pairs import open_pair_loader
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.errors import UnreadableImage
from resnet_jax.inputs.captions import CaptionOptions, caption_tokenizer
from resnet_jax.tasks import Contrastive

IMAGES = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
CAPTIONS = np.array(["a cat", "a dog", "", "two cats", "a big dog"])
OPTIONS = CaptionOptions(length=6)


def loader(captions=CAPTIONS, **options):
    source = ArraySource(IMAGES[: len(captions)], captions, (), "memory")
    tokenizer = partial(caption_tokenizer, options=OPTIONS)
    return open_pair_loader(source, load_into_memory, tokenizer, **options)


def test_batches_have_the_tokens_of_each_image():
    pairs = loader(skip_unreadable=True)
    words = np.array([*pairs.classes, "<start>", "<end>"])
    texts = {0: "a cat", 1: "a dog", 3: "two cats", 4: "a big dog"}
    for batch in (next(pairs.batches(0, batch_size=4)), next(pairs.eval_batches(4))):
        for image, row in zip(batch["image"], batch["label"], strict=True):
            text = " ".join(word for word in words[row] if word != "<pad>")
            assert text == f"<start> {texts[int(image[0, 0, 0])]} <end>"
        assert batch["label"].dtype == np.int32 and batch["label"].shape == (4, 6)
        assert len({*batch["image_key"].tolist()}) == 4
    padded = list(pairs.eval_batches(3))[-1]
    assert padded["mask"].tolist() == [1, 0, 0]
    assert pairs.model_options() == {"in_channels": 3, "vocabulary_size": len(words), "context_length": 6}
    assert pairs.spatial_shape == (4, 4) and pairs.num_examples == 4 and pairs.labels.tolist() == list(texts.values())


def test_a_pair_without_caption_is_named_or_skipped_and_counted():
    with pytest.raises(UnreadableImage, match="memory, image 2: it has no caption; 1 of 5 have none$"):
        loader()
    assert loader(skip_unreadable=True).skipped == {"memory, image 2": "it has no caption"}
    with pytest.raises(ValueError, match="got 2 images without any"):
        loader(np.array(["", ""]), skip_unreadable=True)


class Repeated(ArraySource):
    """Two pairs of one image."""

    def name(self, index):
        return f"image {index // 2}"


def test_pairs_of_one_image_have_one_key():
    source = Repeated(IMAGES[:4], CAPTIONS[[0, 1, 3, 4]], (), "memory")
    pairs = open_pair_loader(source, load_into_memory, partial(caption_tokenizer, options=OPTIONS))
    assert next(pairs.eval_batches(4))["image_key"].tolist() == [0, 0, 2, 2]


def test_captions_are_equal_by_their_texts_not_by_their_tokens():
    """Unknown words have one token, and the words behind the length none."""
    captions = np.array(["a bird", "a fish", "A  Bird", "a cat a cat a dog", "a cat a cat a bird"])
    tokenizer = caption_tokenizer(["a cat"], options=OPTIONS)
    pairs = open_pair_loader(ArraySource(IMAGES, captions, (), "memory"), load_into_memory, lambda texts: tokenizer)
    batch = next(pairs.eval_batches(5))
    assert (batch["label"][0] == batch["label"][1]).all() and (batch["label"][3] == batch["label"][4]).all()
    assert batch["caption_key"].tolist() == [0, 1, 0, 3, 4]
    assert pairs.captions(batch) == captions.tolist()
    rows = {"image_features": np.eye(5), "text_features": np.eye(5)[[0, 0, 0, 3, 3]]}
    evaluator = Contrastive().evaluator()
    evaluator.update(rows, batch)
    assert evaluator.result()["text_to_image_r1"] == 3 / 5  # not 1


class Unreadable(ArraySource):
    """The second image cannot be read."""

    def __getitem__(self, index):
        if index == 1:
            raise UnreadableImage("cut short")
        return super().__getitem__(index)


def test_pairs_whose_images_cannot_be_read_do_not_count():
    source = Unreadable(IMAGES[:2], CAPTIONS[:2], (), "memory")
    tokenizer = partial(caption_tokenizer, options=OPTIONS)
    images = partial(load_into_memory, skip_unreadable=True)
    pairs = open_pair_loader(source, images, tokenizer, skip_unreadable=True)
    assert pairs.num_examples == 1 and pairs.labels.tolist() == ["a cat"] and len(pairs.skipped) == 1


def test_a_test_split_has_the_vocabulary_of_the_training_and_images_are_cropped():
    parts = {
        "train": ArraySource(IMAGES[:2], CAPTIONS[:2], (), "train"),
        "test": ArraySource(IMAGES[3:], CAPTIONS[3:], (), "test"),
    }
    dataset = StoredDataset("pairs", parts)
    train = open_loader(dataset, "train", captions=OPTIONS)
    test = open_loader(dataset, "test", captions=OPTIONS, known_classes=train.classes, image_size=2)
    assert test.classes == train.classes and "big" not in test.classes
    batch = next(test.eval_batches(2))
    assert batch["image"].shape == (2, 2, 2, 3) and (batch["label"] == 1).sum() == 3  # "two", "cats" and "big"


def test_digits_and_several_columns_have_no_captions(tmp_path):
    with pytest.raises(ValueError, match="digits has one class per image"):
        open_dataset("digits", label_kind="caption")
    with pytest.raises(ValueError, match="expected one column of captions"):
        open_dataset(path=str(tmp_path), label_kind="caption", label_column=("a", "b"))
