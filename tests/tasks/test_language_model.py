"""The loss in training is that of evaluation: the mean of -log p over the predicted tokens, each counted once."""

import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax import create_model
from resnet_jax.models.partials import Partial
from resnet_jax.models.sequence.adaptive_head import AdaptiveHead
from resnet_jax.tasks import TASKS, LanguageModel, TaskOptions
from resnet_jax.texts.windows import token_windows

TOKENS = ("<pad>", "<unk>", "\n", " ", "a", "b", "c")
RNG = np.random.default_rng(0)
IDS = RNG.integers(1, 7, 40).astype(np.int32)
LOGITS = RNG.standard_normal((40, 7)).astype(np.float32)  # by the token before, as a model of two letters


def task(tokens=TOKENS):
    source = SimpleNamespace(classes=tokens, labels=np.zeros(0, np.int32), num_examples=0)
    return TASKS["language_model"].for_data(source, TaskOptions())


def batch_of(length=9, context=3, fill=0):
    """All windows of the text, and `fill` rows of mask 0."""
    windows = token_windows(IDS, length, context=context)
    rows = len(windows.lengths)
    tokens = np.pad(windows.tokens, ((0, fill), (0, 0)), constant_values=5)
    return {
        "image": jnp.asarray(tokens),
        "label": jnp.asarray(np.pad(windows.context, (0, fill))),
        "lengths": jnp.asarray(np.pad(windows.lengths, (0, fill), constant_values=length)),
        "mask": jnp.asarray([1.0] * rows + [0.0] * fill, jnp.float32),
    }


def outputs_for(batch):
    return SimpleNamespace(logits=jnp.asarray(LOGITS)[batch["image"]])


def expected_nats():
    log_p = np.asarray(jax.nn.log_softmax(jnp.asarray(LOGITS[IDS[:-1]])), np.float64)
    return -log_p[np.arange(39), IDS[1:]].sum()


@pytest.mark.parametrize(("length", "context", "fill"), [(9, 3, 0), (9, 1, 2), (16, 8, 1), (60, 1, 0)])
def test_the_loss_in_training_is_that_of_evaluation(length, context, fill):
    batch = batch_of(length, context, fill)
    terms, metrics = task().objective(outputs_for(batch), batch, None)
    assert float(terms["loss"].weight) == 39
    assert float(terms["loss"].total) == pytest.approx(expected_nats(), rel=1e-5)
    bits = metrics["bits_per_token"]
    assert float(bits.total / bits.count) == pytest.approx(expected_nats() / 39 / math.log(2), rel=1e-5)
    evaluator = task().evaluator()
    rows = task().predict_batch(outputs_for(batch), batch)
    evaluator.update(jax.device_get(rows), jax.device_get(batch))
    results = evaluator.result()
    assert results["loss"] == pytest.approx(expected_nats() / 39, rel=1e-5)
    assert results["perplexity"] == pytest.approx(math.exp(expected_nats() / 39), rel=1e-5)
    assert results["bits_per_character"] == pytest.approx(results["bits_per_token"])
    assert results["unknown_share"] == pytest.approx((IDS[1:] == 1).mean())
    assert set(task().measures) <= set(results)


def test_logits_stay_on_the_device():
    batch = batch_of()
    rows = task().predict_batch(outputs_for(batch), batch)
    assert {name: x.shape[1:] for name, x in rows.items()} == {
        "nats": (), "tokens": (), "unknown": (), "next_tokens": (7,), "next_probabilities": (7,)
    }  # fmt: skip


def test_tokens_that_are_words_have_no_bits_per_character():
    made, batch = task(("<pad>", "<unk>", "<eos>", "the", "a", "b", "c")), batch_of()
    evaluator = made.evaluator()
    evaluator.update(jax.device_get(made.predict_batch(outputs_for(batch), batch)), jax.device_get(batch))
    assert "bits_per_character" not in evaluator.result()


def test_the_prediction_for_a_line_has_its_bits_and_the_likeliest_next_tokens():
    ids = np.array([[2, 4, 5, 0, 0]], np.int32)  # "\nab"
    batch = {"image": jnp.asarray(ids), "label": jnp.ones(1, jnp.int32), "lengths": jnp.array([3])}
    rows = {name: np.asarray(x)[0] for name, x in task().predict_batch(outputs_for(batch), batch).items()}
    log_p = np.asarray(jax.nn.log_softmax(jnp.asarray(LOGITS)), np.float64)
    record = task().describe(rows, 2)
    assert record["bits_per_character"] == pytest.approx(-(log_p[2, 4] + log_p[4, 5]) / 2 / math.log(2), rel=1e-5)
    assert record["characters"] == 2
    best = np.argsort(-LOGITS[5])[:2]
    assert [one["token"] for one in record["next"]] == [TOKENS[i] for i in best]
    assert [one["probability"] for one in record["next"]] == pytest.approx(np.exp(log_p[5, best]).tolist(), rel=1e-5)
    first = f"{TOKENS[best[0]]!r} {math.exp(log_p[5, best[0]]):.2f}"
    text = f"2 characters, {record['bits_per_character']:.3f} bits each; next {first}, "
    assert task().format(rows, 2).startswith(text)
    assert list(task().columns(rows, 1)) == ["bits_per_character", "characters", "token1", "probability1"]
    whole = SimpleNamespace(logits=jnp.asarray(LOGITS)[jnp.asarray(ids[:, :3])])
    np.testing.assert_array_equal(task().predictions(whole)["next_tokens"][0], rows["next_tokens"])


def test_an_adaptive_head_has_logits_like_any_other():
    model = create_model(
        "gcnn8_char", num_classes=7, vocabulary_size=7, head=Partial(AdaptiveHead, cutoffs=(3, 5)), in_channels=4
    )
    batch = batch_of()
    variables = model.init(jax.random.key(0), batch["image"], train=False)
    outputs = model.apply(variables, batch["image"], train=False, lengths=batch["lengths"])
    rows = task().predict_batch(outputs, batch)
    terms, _ = task().objective(outputs, batch, None)
    assert float(rows["nats"].sum()) == pytest.approx(float(terms["loss"].total), rel=1e-5)
    np.testing.assert_allclose(rows["next_probabilities"].sum(1), 1, rtol=1e-5)


def test_several_nets_or_views_are_refused():
    with pytest.raises(ValueError, match=r"^expected one language model, got 2; each is evaluated by itself$"):
        task().check_ensemble([task()])
    task().check_ensemble([])
    rows = {"nats": np.zeros(1)}
    assert task().average([rows]) is rows
    with pytest.raises(ValueError, match=r"^texts have no mean over views or nets; .*$"):
        task().average([rows, rows])


def test_options_of_other_tasks_are_refused():
    source = SimpleNamespace(classes=TOKENS, labels=np.zeros(0, np.int32), num_examples=0)
    with pytest.raises(ValueError, match="label_smoothing"):
        LanguageModel().for_data(source, TaskOptions(label_smoothing=0.1))
    assert task().num_outputs == 7
