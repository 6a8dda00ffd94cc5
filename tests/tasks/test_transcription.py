"""CTC's loss by all paths and by PyTorch's numbers, decoding by lengths, error rates, and what does not fit."""

import itertools
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax import create_model
from resnet_jax.tasks import TASKS, TaskOptions, Transcription
from resnet_jax.tasks.transcription import frame_lengths, transcript_losses

TOKENS = ("<blank>", " ", "a", "b")
RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((4, 5, 4))
# "ab", "a a", "bb" (needs three frames), "" in 5, 5, 2 and 3 frames of 9, 9, 4 and 5 of the input.
BATCH = {
    "image": jnp.zeros((4, 9, 1)),
    "lengths": jnp.array([9, 9, 4, 5]),
    "label": jnp.array([[2, 3, 0], [2, 1, 2], [3, 3, 0], [0, 0, 0]]),
    "label_lengths": jnp.array([2, 3, 2, 0]),
    "mask": jnp.ones(4),
}
FRAMES = (5, 5, 2, 3)


def task(**options):
    source = SimpleNamespace(classes=TOKENS, labels=np.zeros(0, np.str_), num_examples=0)
    return TASKS["transcription"].for_data(source, TaskOptions(**options))


def outputs(logits=LOGITS):
    return SimpleNamespace(logits=jnp.asarray(logits))


def by_all_paths(logits, label):
    """-log of the probability of a label, over all paths that read as it."""
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    total = 0.0
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        if [token for token, _ in itertools.groupby(path) if token] == label:
            total += math.exp(sum(log_p[frame, token] for frame, token in enumerate(path)))
    return math.inf if total == 0 else -math.log(total)


EXPECTED = [
    by_all_paths(logits[:frames], [token for token in label if token])
    for logits, frames, label in zip(LOGITS, FRAMES, BATCH["label"].tolist(), strict=True)
]


def test_losses_are_those_of_all_paths_in_float64(x64):
    losses, fits = transcript_losses(jnp.asarray(LOGITS), BATCH)
    assert fits.tolist() == [True, True, False, True] and EXPECTED[2] == math.inf
    np.testing.assert_allclose(losses, [*EXPECTED[:2], 0, EXPECTED[3]], rtol=1e-10)


def test_losses_and_gradients_are_those_of_torch(x64):
    torch = pytest.importorskip("torch")
    rows = np.array([0, 1, 3])
    x = torch.tensor(LOGITS[rows], requires_grad=True)
    log_p = torch.log_softmax(x, -1).transpose(0, 1)
    labels, lengths = (torch.tensor(np.asarray(BATCH[name])[rows]) for name in ("label", "label_lengths"))
    frames = torch.tensor(np.array(FRAMES)[rows])
    expected = torch.nn.functional.ctc_loss(log_p, labels, frames, lengths, reduction="none")
    expected.sum().backward()
    batch = {name: x[rows] for name, x in BATCH.items()}
    losses, gradient = jax.value_and_grad(lambda x: transcript_losses(x, batch)[0].sum())(jnp.asarray(LOGITS[rows]))
    np.testing.assert_allclose(losses, expected.sum().item(), rtol=1e-10)
    np.testing.assert_allclose(gradient, x.grad.numpy(), atol=1e-10)


@jax.jit
def objective(logits, batch):
    """The loss's sum and weight, and the gradient of the sum."""

    def total(x):
        terms, _ = task().objective(SimpleNamespace(logits=x), batch, None)
        return terms["loss"].total, terms["loss"].weight

    (value, weight), gradient = jax.value_and_grad(total, has_aux=True)(logits)
    return value, weight, gradient


predict_batch = jax.jit(lambda logits, batch: task().predict_batch(SimpleNamespace(logits=logits), batch))


def test_the_objective_leaves_out_what_does_not_fit_and_what_is_masked():
    total, weight, gradient = objective(LOGITS, {**BATCH, "mask": jnp.array([1.0, 1.0, 1.0, 0.0])})
    assert weight == 2 and float(total) == pytest.approx(sum(EXPECTED[:2]), rel=1e-5)
    assert (np.abs(gradient).sum((1, 2)) > 0).tolist() == [True, True, False, False]


def test_a_batch_in_which_nothing_fits_has_a_loss_of_0():
    total, weight, gradient = objective(LOGITS, {**BATCH, "mask": jnp.array([0.0, 0.0, 1.0, 0.0])})
    assert total == weight == 0 and not np.asarray(gradient).any()


def test_frames_behind_a_length_change_nothing():
    noise = np.where(np.arange(5)[None, :, None] < np.array(FRAMES)[:, None, None], LOGITS, 1e3 * RNG.random((4, 5, 4)))
    for one, other in zip(*(predict_batch(x, BATCH).items() for x in (LOGITS, noise)), strict=True):
        np.testing.assert_array_equal(one[1], other[1], err_msg=one[0])


def spelt(texts, frames=5):
    """Logits whose best path reads as the texts, and their number of frames."""
    logits = np.zeros((len(texts), frames, 4))
    for row, text in zip(logits, texts, strict=True):
        for frame in range(frames):
            row[frame, TOKENS.index(text[frame]) if frame < len(text) else 0] = 9
    return logits


def test_error_rates_of_the_best_path():
    rows = predict_batch(spelt(["ab", "ab", "b", "a b a"]), BATCH)
    evaluator = task().evaluator()
    evaluator.update(jax.device_get(rows), {**jax.device_get(BATCH), "mask": np.array([1, 1, 1, 0])})
    # "ab"; "a a" as "ab": a deletion and a substitution; "bb" as "b": a deletion. One of four words is right.
    results = evaluator.result()
    assert results["cer"] == 3 / 7 and results["wer"] == 3 / 4 and results["too_long"] == 1
    fits = float(np.asarray(rows["loss"])[:2].mean())
    assert results["loss"] == pytest.approx(fits) and math.isfinite(fits)


def test_an_evaluator_without_a_transcript_that_fits_has_no_loss():
    rows = jax.device_get(predict_batch(LOGITS, BATCH))
    evaluator = task().evaluator()
    evaluator.update(rows, {**jax.device_get(BATCH), "mask": np.array([0, 0, 1, 0])})
    assert math.isnan(evaluator.result()["loss"])


def test_a_beam_adds_up_paths():
    logits = np.log(np.array([[[0.4, 1e-9, 0.35, 0.25], [0.4, 1e-9, 0.35, 0.25]]]))
    batch = {"image": jnp.zeros((1, 2, 1))}
    best, beam = (jax.jit(lambda x, w=w: task(beam_width=w).predict_batch(outputs(x), batch))(logits) for w in (1, 4))
    assert task().describe({name: x[0] for name, x in best.items()}, 5)["transcript"] == ""
    described = task().describe({name: x[0] for name, x in jax.device_get(beam).items()}, 5)
    assert described["transcript"] == "a"
    assert described["log_probability"] == pytest.approx(math.log(0.35 * 0.35 + 2 * 0.4 * 0.35), rel=1e-5)


def test_predictions_as_text_and_as_cells():
    rows = jax.device_get(task().predictions(outputs(spelt(["a b"]))))
    one = {name: x[0] for name, x in rows.items()}
    assert task().format(one, 5) == "'a b'"
    assert task().cells("ab", one, 5)["label"] == "ab" and task().cells("ab", one, 5)["transcript"] == "a b"
    assert task().label_name(np.array([2, 3, 0])) == "ab"


@pytest.mark.parametrize(("size", "frames", "expected"), [(9, 5, [5, 2, 1]), (9, 9, [9, 4, 1]), (9, 3, [3, 1, 1])])
def test_frames_of_a_strided_net(size, frames, expected):
    batch = {"image": jnp.zeros((3, size, 1)), "lengths": jnp.array([9, 4, 1])}
    assert frame_lengths(jnp.zeros((3, frames, 4)), batch).tolist() == expected
    with pytest.raises(ValueError, match=r"expected ceil\(9 / s\) frames of logits, .* got 4"):
        frame_lengths(jnp.zeros((3, 4, 4)), batch)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"expected logits \[N, F, K\] and labels \[N, T\], got \[4, 4\] and"):
        transcript_losses(jnp.zeros((4, 4)), BATCH)


def test_options_and_records():
    assert task(beam_width=8).beam_width == 8 and Transcription(beam_width=3).for_data(
        SimpleNamespace(classes=TOKENS), TaskOptions()
    ) == Transcription(TOKENS, 3)
    assert task().restored({"beam_width": 4}).beam_width == 1
    assert task().restored({"beam_width": 4}, with_options=True).beam_width == 4
    assert task(beam_width=2).options() == TaskOptions(beam_width=2)
    with pytest.raises(ValueError, match="expected the record of a transcription with a beam_width"):
        task().restored({})
    with pytest.raises(ValueError, match="optim.beam_width: expected at least 1, got 0"):
        task(beam_width=0)
    with pytest.raises(ValueError, match="optim.label_smoothing is for --task classification, got --task transcript"):
        task(label_smoothing=0.1)
    for wrong in (lambda: task().average([{}, {}]), lambda: task().check_ensemble([task()])):
        with pytest.raises(ValueError, match="one net"):
            wrong()


def test_a_net_has_an_output_for_each_token():
    model = create_model("quartznet5x2_small", num_classes=task().num_outputs)
    batch = {**BATCH, "image": jnp.zeros((4, 9, 64, 1))}
    outputs, _ = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x, train=False), batch["image"])
    assert outputs.logits.shape == (4, 5, 4)


def test_the_loss_teaches_transcripts():
    logits = LOGITS
    for _ in range(60):
        logits = logits - np.asarray(objective(logits, BATCH)[2])
    rows = jax.device_get(predict_batch(logits, BATCH))
    texts = [task().describe({name: x[i] for name, x in rows.items()}, 1)["transcript"] for i in (0, 1, 3)]
    assert texts == ["ab", "a a", ""]
