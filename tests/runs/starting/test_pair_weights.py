"""Weights of pairs as the start of a run."""

import pytest

from resnet_jax import Preprocess, Pretrained, create_model
from resnet_jax.runs.starting.pair_weights import check_pairs


def test_a_net_without_texts_is_named_whatever_its_classes_are():
    net = Pretrained(create_model("cifar_resnet8"), {}, Preprocess(8, 8, (0.5,), (0.5,)), "cifar_resnet8")
    with pytest.raises(ValueError, match="^digits: expected a net of images and texts, got cifar_resnet8$"):
        check_pairs("digits", net, tuple("0123456789"), ("<pad>", "<unk>", "three"), None)
