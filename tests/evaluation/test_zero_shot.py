"""CLIP as a classifier of classes that texts name, against its definition."""

import jax
import numpy as np
import pytest
import recipe
from small_clip import small

from resnet_jax.evaluation.zero_shot import BATCH, text_features, zero_shot_classifier
from resnet_jax.models import create_model, fold_norms
from resnet_jax.models.spec import OPENAI
from resnet_jax.types import Preprocess, Pretrained

END = 59


def tokenize(texts):
    """Each letter is a token; 59 is the end."""
    rows = np.zeros((len(texts), 10), np.int32)
    for row, text in zip(rows, texts, strict=True):
        ids = [1 + ord(letter) % 50 for letter in text][:9]
        row[: len(ids) + 1] = *ids, END
    return rows


@pytest.fixture
def clip(x64):
    net = small(dtype="float64", param_dtype="float64")
    variables = recipe.variables(net, np.float64)
    return Pretrained(net, variables, Preprocess(64, 64, *OPENAI), "clip_resnet50")


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_logits_are_scaled_cosines_with_means_of_prompts(clip):
    names, templates = ("cat", "owl", "a dog"), ("{}", "a {}.")
    classifier = zero_shot_classifier(clip, tokenize, names, templates)
    images = np.random.default_rng(0).standard_normal((2, 64, 64, 3))
    prompts = tokenize(["cat", "a cat.", "owl", "a owl.", "a dog", "a a dog."])
    expected = jax.jit(lambda v: clip.model.apply(v, images, prompts, train=False))(clip.variables)
    texts = unit(unit(np.asarray(expected.text_features)).reshape(3, 2, -1).mean(1))
    logits = np.asarray(expected.logit_scale) * unit(np.asarray(expected.image_features)) @ texts.T
    outputs = jax.jit(lambda v: classifier.model.apply(v, images, train=False))(classifier.variables)
    np.testing.assert_allclose(outputs.logits, logits, rtol=0, atol=1e-12)
    assert classifier.classes == names and classifier.model.num_classes == 3
    assert outputs.features["stage4"].shape == (2, 2, 2, 256)

    folded, variables = fold_norms(classifier.model, classifier.variables, 64)
    assert "batch_stats" not in variables
    np.testing.assert_allclose(folded.apply(variables, images, train=False).logits, logits, rtol=0, atol=1e-9)


def test_features_of_many_texts_are_those_of_each(clip):
    texts = ["ab", "a cat", "x"]
    features = text_features(clip, tokenize, texts * (BATCH // 2))
    alone = jax.jit(lambda v, t: clip.model.apply(v, t, method="encode_text"))(clip.variables, tokenize(texts))
    assert features.shape == (3 * (BATCH // 2), 16)
    np.testing.assert_allclose(features, np.tile(unit(np.asarray(alone)), (BATCH // 2, 1)), rtol=0, atol=1e-12)


def test_another_net_is_refused(clip):
    net = clip._replace(model=create_model("cifar_resnet8"), name="cifar_resnet8")
    with pytest.raises(
        ValueError, match="expected a net of images and texts, such as clip_resnet50, got cifar_resnet8"
    ):
        zero_shot_classifier(net, tokenize, ("cat", "dog"))
    with pytest.raises(ValueError, match="expected at least two labels, got 1"):
        zero_shot_classifier(clip, tokenize, ("cat",))


def test_labels_that_are_the_same_to_the_net_are_refused(clip):
    with pytest.raises(
        ValueError, match=r"labels of different tokens, got 'abcdefghi1' and 'abcdefghi2'; .* '{}' are cut behind 10"
    ):
        zero_shot_classifier(clip, tokenize, ["owl", "abcdefghi1", "abcdefghi2"], ["{}"])
    with pytest.raises(ValueError, match="got 'owl' and 'cat'; prompts of the template 'a photo of {}' are cut"):
        zero_shot_classifier(clip, tokenize, ["owl", "cat"], ["{}", "a photo of {}"])
    with pytest.raises(ValueError, match="got 'Owl' and 'owl'; they differ in case and spaces alone"):
        zero_shot_classifier(clip, lambda texts: tokenize([x.lower() for x in texts]), ["Owl", "owl"], ["{}"])
    with pytest.raises(ValueError, match="got 'owl' and 'cat'; their prompts have the same tokens"):
        zero_shot_classifier(clip, lambda texts: tokenize(["a"] * len(texts)), ["owl", "cat"], ["{}"])
