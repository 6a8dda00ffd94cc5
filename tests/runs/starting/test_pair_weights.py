"""Weights of pairs as the start of a run."""

import pytest

from resnet_jax import Preprocess, Pretrained, create_model
from resnet_jax.runs.starting.pair_weights import check_pairs

WORDS = ("<pad>", "<unk>", "cat", "dog")


def pretrained(name):
    return Pretrained(create_model(name), {}, Preprocess(8, 8, (0.5,), (0.5,)), name)


def test_a_net_without_texts_is_named_whatever_its_classes_are():
    with pytest.raises(ValueError, match="^digits: expected a net of images and texts, got cifar_resnet8$"):
        check_pairs("digits", pretrained("cifar_resnet8"), tuple("0123456789"), WORDS, None)


@pytest.mark.parametrize(
    ("ours", "got"),
    [
        (("<pad>", "<unk>", "dog", "owl"), "others, too: owl"),
        (("<pad>", "<unk>", "dog", "cat"), "these words in another order"),
        (("<pad>", "<unk>", "dog"), "1 of them"),
    ],
)
def test_other_words_than_those_of_the_weights_are_named(ours, got):
    with pytest.raises(ValueError, match=f"run: expected captions with the 2 words that it was trained on, got {got}"):
        check_pairs("run", pretrained("clip_resnet50"), WORDS, ours, None)
