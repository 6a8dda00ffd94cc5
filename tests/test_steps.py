"""Steps of classification against PyTorch and against derivatives made by hand."""

from functools import partial
from importlib import resources

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import recipe
from safetensors.numpy import save_file
from small_steps import MODEL, TX, Linear, batch, close, fresh

from resnet_jax import Outputs, load_pretrained, make_eval_step, make_train_step
from resnet_jax.distributed.devices import Parallel
from resnet_jax.tasks.losses import cross_entropy
from resnet_jax.training import metrics, optim
from resnet_jax.training.state import TrainState

SMOOTH = partial(cross_entropy, label_smoothing=0.1)


@pytest.fixture(scope="module")
def enlarged_digits():
    """The digits as the trajectory had them: 32 x 32, three equal channels."""
    with (resources.files("resnet_jax.data.digits") / "digits.npz").open("rb") as file:
        data = np.load(file)
        images, labels = data["image"].astype(np.float64), data["label"].astype(np.int32)
    images = images.repeat(4, 1).repeat(4, 2)[..., None].repeat(3, 3) / 16 - 0.5
    return images, labels


@pytest.fixture(scope="module")
def torch_resnet18(tmp_path_factory):
    state = recipe.torch_state("resnet18")
    state["fc.weight"], state["fc.bias"] = recipe.array("fc.weight", (10, 512)), recipe.array("fc.bias", (10,))
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(state, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["jit", "pmap"])  # shard_map's numbers are pmap's: test_parallel
def test_twenty_steps_equal_pytorch(x64, enlarged_digits, torch_resnet18, mode):
    reference = np.load(recipe.GOLDEN / "torchvision" / "trajectory-resnet18.npz")
    images, labels = enlarged_digits
    loaded = load_pretrained(torch_resnet18, dtype="float64")
    model = loaded.model.clone(bn_axis=None if mode == "jit" else "data")
    schedule = optim.warmup_cosine(peak_lr=0.01, steps=20, warmup_steps=5)
    np.testing.assert_allclose([schedule(i) for i in range(20)], reference["learning_rate"], rtol=1e-12, atol=1e-18)
    tx = optim.sgd(schedule, momentum=0.9, weight_decay=1e-4)
    state = TrainState.from_variables(loaded.variables, tx, jax.random.key(0))
    if mode == "jit":
        step, put = jax.jit(make_train_step(model, tx, loss=SMOOTH, axis_name=None)), lambda batch: batch
    else:
        parallel = Parallel(mode, jax.devices()[:4])
        step, put = parallel.map(make_train_step(model, tx, loss=SMOOTH), donate_state=True), parallel.shard
        state = parallel.replicate(state)
    losses = []
    for i in range(20):
        part = slice(i * 32, (i + 1) * 32)
        state, sums = step(state, put({"image": images[part], "label": labels[part]}))
        losses.append(metrics.mean([sums])["loss"])
    np.testing.assert_allclose(losses, reference["loss"], rtol=1e-8)
    variables = jax.tree.map(np.asarray, state.variables)
    logits = jax.jit(partial(loaded.model.apply, train=False))(variables, jnp.asarray(images[-64:])).logits
    np.testing.assert_allclose(logits, reference["final_eval_logits"], rtol=0, atol=1e-8 * np.abs(logits).max())


@pytest.mark.slow
def test_a_weighted_loss_is_divided_by_the_sum_of_weights(x64):
    """On four devices, whose sums of weights differ: the gradient of PyTorch's weighted mean."""
    weights = (1.0, 0.0, 2.0, 0.5, 1.0, 3.0, 4.0, 1.0, 0.25, 2.0)
    model = MODEL.clone(frozen_norms=("all",))
    data, start, parallel = batch(8), fresh(model), Parallel(devices=jax.devices()[:4])
    each = np.array(weights)[data["label"]]

    def mean(params):
        logits = model.apply(start.variables | {"params": params}, data["image"], train=False).logits
        return jnp.sum(cross_entropy(logits, data["label"]) * each) / each.sum()

    value, gradient = jax.jit(jax.value_and_grad(mean))(start.params)
    updates, _ = TX.update(gradient, TX.init(start.params), start.params)
    step = parallel.map(make_train_step(model, TX, class_weights=weights))
    state, sums = step(parallel.replicate(start), parallel.shard(data))
    means = metrics.mean([jax.device_get(sums)])  # by a float32 mask
    assert "weight" not in means and means["loss"] == pytest.approx(float(value), rel=1e-6)
    assert means["grad_norm"] == pytest.approx(float(optax.tree.norm(gradient)), rel=1e-6)
    close(state.params, optax.apply_updates(start.params, updates))


def test_soft_targets_train(x64):
    hard = batch(4)
    soft = hard | {"label": np.eye(10)[hard["label"]]}
    step = jax.jit(make_train_step(MODEL, TX, axis_name=None))
    close(step(fresh(), hard)[0].params, step(fresh(), soft)[0].params)


def test_evaluation_uses_running_statistics_and_prepares_on_the_device(x64):
    images = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), np.uint8)
    raw = {"image": images, "label": np.arange(4, dtype=np.int32)}
    sums = jax.jit(make_eval_step(MODEL, axis_name=None, prepare=lambda x: x.astype(jnp.float64) / 255))(fresh(), raw)
    logits = MODEL.apply(fresh().variables, jnp.asarray(images / 255), train=False).logits
    np.testing.assert_allclose(sums["loss"], cross_entropy(logits, jnp.arange(4)).sum(), rtol=1e-6)
    assert float(sums["count"]) == 4


def test_a_label_outside_the_classes_gives_nan_and_with_mask_0_has_no_effect():
    rng = np.random.default_rng(0)
    images, tx = rng.standard_normal((4, 2, 2, 1)).astype(np.float32), optax.sgd(0.1)
    state = TrainState.create(Linear(), tx, jax.random.key(0), images)
    weighted = {"class_weights": (1, 2, 3)}
    step = jax.jit(make_train_step(Linear(), tx, axis_name=None, skip_nonfinite=True, **weighted))
    evaluate = jax.jit(make_eval_step(Linear(), axis_name=None))
    for label in (-1, 3):
        ignored = {"image": images, "label": np.int32([0, 2, label, 1]), "mask": np.array([True, True, False, True])}
        few = {name: np.delete(x, 2, 0) for name, x in ignored.items()}
        (got, sums), (reference, others) = step(state, ignored), step(state, few)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-7), (got, sums), (reference, others))
        counted = ignored | {"mask": np.ones(4, bool)}
        got, sums = step(state, counted)
        assert sums["skipped"] == 1 and sums["loss"] == 0
        jax.tree.map(np.testing.assert_array_equal, got.params, state.params)
        assert np.isnan(evaluate(state, counted)["loss"]) and np.isfinite(evaluate(state, ignored)["loss"])


def test_an_own_loss_takes_other_labels():
    """Several classes per image, as integers or bools; [N, 1]; predictions of each example need int [N]."""
    images = np.zeros((4, 2, 2, 1), np.float32)
    state = TrainState.create(Linear(), optax.sgd(0.1), jax.random.key(0), images)

    def binary(logits, labels):
        return optax.sigmoid_binary_cross_entropy(logits, labels.astype(logits.dtype)).sum(-1)

    step = make_train_step(Linear(), optax.sgd(0.1), loss=binary, axis_name=None)
    several = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 1], [1, 0, 1]])
    for labels, hits in ((several.astype(np.int32), True), (several.astype(bool), True), (several[:, :1], False)):
        new, sums = step(state, {"image": images, "label": labels})
        assert np.any(new.params["dense"]["bias"] != 0) and ("top1" in sums) == hits
    evaluate = make_eval_step(Linear(), loss=binary, axis_name=None, by_example=True)
    with pytest.raises(ValueError, match=r"by_example: expected labels int \[N\], got \[4, 3\]"):
        evaluate(state, {"image": images, "label": several})


def test_class_weights_are_passed_to_the_loss_and_checked():
    """Equal class weights change nothing."""
    images, labels = np.eye(4, dtype=np.float32).reshape(4, 2, 2, 1), np.int32([0, 1, 2, 1])
    state = TrainState.create(Linear(), optax.sgd(0.1), jax.random.key(0), images)

    def run(**options):
        step = make_train_step(Linear(), optax.sgd(0.1), axis_name=None, **options)
        return step(state, {"image": images, "label": labels})

    (plain, sums), (equal, others) = run(), run(class_weights=(10.0,) * 3)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-7), (plain, sums), (equal, others))
    for weights in ((1.0, 2.0), (1.0, -1.0, 1.0), (1.0, np.nan, 1.0)):
        with pytest.raises(ValueError, match="class weights"):
            run(class_weights=weights, loss=lambda logits, labels, class_weights: logits.sum(-1))


def test_labels_and_masks_with_a_second_axis_are_refused_before_the_step_runs():
    images = np.zeros((4, 2, 2, 1), np.float32)
    state = TrainState.create(Linear(), optax.sgd(0.1), jax.random.key(0), images)
    good = {"image": images, "label": np.zeros(4, np.int32)}
    for step in (make_train_step(Linear(), optax.sgd(0.1), axis_name=None), make_eval_step(Linear(), axis_name=None)):
        with pytest.raises(ValueError, match=r"expected labels int \[4\].*, got int32 \[4, 1\]"):
            step(state, good | {"label": np.zeros((4, 1), np.int32)})
        with pytest.raises(ValueError, match=r"expected a mask \[4\], one number per example, got \[4, 1\]"):
            step(state, good | {"mask": np.ones((4, 1), np.float32)})


@pytest.mark.parametrize("classes", [0, 1])
def test_a_net_with_fewer_than_two_classes_needs_an_own_loss(classes):
    model = recipe.small("cifar_resnet20", 1, 1, num_classes=classes)
    for make in (make_eval_step, lambda net: make_train_step(net, TX, loss=SMOOTH)):
        with pytest.raises(ValueError, match=f"num_classes of at least 2, or a loss of your own, got {classes}"):
            make(model)
    squares = make_train_step(model, TX, axis_name=None, loss=lambda logits, labels: (logits**2).sum(-1))
    images = np.zeros((2, 8, 8, 3), np.float32)
    state = jax.eval_shape(lambda key: TrainState.create(model, TX, key, images), jax.random.key(0))
    assert "top1" not in jax.eval_shape(squares, state, {"image": images, "label": np.zeros(2, np.float32)})[1]


GATED = recipe.small("cifar_skipnet38_rnn", 1, 2, num_classes=10, dtype="float64", param_dtype="float64")


@pytest.mark.slow
def test_the_penalty_is_on_the_mean_of_the_gates(x64):
    """The step with the penalty differs by learning rate times penalty times the gradient of the mean gate."""
    tx, model, images = optax.sgd(0.1), GATED.clone(soft_gates=True), jnp.asarray(batch(4)["image"])

    def stepped(penalty):
        step = make_train_step(model, tx, axis_name=None, gate_penalty=penalty)
        return jax.jit(step)(fresh(model, tx), batch(4))

    @jax.jit
    def share(params):
        variables = {**fresh(model, tx).variables, "params": params}
        _, sown = model.apply(variables, images, train=True, mutable=["batch_stats", "metrics"])
        return jnp.stack([sown["metrics"][f"executed/{name}"][0] for name in model.block_names()]).mean()

    (plain, sums), (pressed, _) = stepped(0.0), stepped(3.0)
    value, gradient = jax.value_and_grad(share)(fresh(model, tx).params)
    close(jax.tree.map(lambda a, b: (a - b) / 0.3, plain.params, pressed.params), gradient)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient)) > 1e-4
    means = metrics.mean([jax.device_get(sums)])
    blocks = [f"executed/stage{stage}_block0" for stage in (1, 2)]
    assert [name for name in means if name.startswith("executed")] == ["executed", *blocks]
    np.testing.assert_allclose([means["executed"], np.mean([means[name] for name in blocks])], value, rtol=1e-6)


def test_evaluation_ignores_padding_in_sown_metrics(x64):
    """Gates are hard in evaluation."""
    step = jax.jit(make_eval_step(GATED, axis_name=None))
    sums = step(fresh(GATED), batch(4) | {"mask": np.float32([1, 1, 1, 0])})
    images = jnp.asarray(batch(4)["image"])
    apply = jax.jit(partial(GATED.apply, train=False, mutable="metrics"))
    _, sown = apply(fresh(GATED).variables, images)
    for name, (values,) in sown["metrics"].items():
        np.testing.assert_allclose(sums[name], values[:3].sum(), rtol=1e-12)
    assert sums["count"] == 3


def test_a_gate_penalty_needs_a_net_with_gates():
    with pytest.raises(ValueError, match="gate_penalty=0.1: expected a net with gates, got ResNet"):
        make_train_step(MODEL, TX, gate_penalty=0.1)


class Gated(nn.Module):
    """Logits g (K x + b), with a gate g in (0, 1) whose mean is penalised."""

    gate_penalty: float = 0.0

    @nn.compact
    def __call__(self, images, *, train, example_index=None):
        x = images.reshape(len(images), -1)
        dense = partial(nn.Dense, param_dtype=images.dtype)
        gate = nn.sigmoid(dense(1, use_bias=False, name="gate")(x))
        if train and self.gate_penalty:
            self.sow("losses", "gate_penalty", self.gate_penalty * gate[:, 0])
        return Outputs(gate * dense(3, name="dense")(x), {})


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_gate_penalty_is_added_to_a_weighted_loss(x64, accumulate):
    """The loss is divided by the sum of the labels' weights, the penalty by the number of examples."""
    rng = np.random.default_rng(0)
    images, labels, mask = rng.standard_normal((4, 2, 2, 1)), np.array([0, 2, 1, 1]), np.array([1.0, 1.0, 0.0, 1.0])
    class_weights, penalty, tx = np.array([1.0, 3.0, 0.5]), 0.7, optax.sgd(1.0)
    state = TrainState.create(Gated(), tx, jax.random.key(0), images)
    options = {"accumulate": accumulate, "gate_penalty": penalty, "class_weights": tuple(class_weights)}
    step = jax.jit(make_train_step(Gated(), tx, axis_name=None, **options))
    new, sums = step(state, {"image": images, "label": labels, "mask": mask})

    kernel, bias, gating = (
        np.asarray(state.params[layer][name])
        for layer, name in (("dense", "kernel"), ("dense", "bias"), ("gate", "kernel"))
    )
    x, weights = images.reshape(4, -1), class_weights[labels] * mask
    gate, linear = 1 / (1 + np.exp(-x @ gating)), x @ kernel + bias
    p = np.exp(gate * linear)
    p /= p.sum(1, keepdims=True)
    by_logits = (p - np.eye(3)[labels]) * (weights / weights.sum())[:, None]
    by_gate = (by_logits * linear).sum(1, keepdims=True) + penalty * (mask / mask.sum())[:, None]
    updates = {
        "dense": {"kernel": x.T @ (gate * by_logits), "bias": (gate * by_logits).sum(0)},
        "gate": {"kernel": x.T @ (by_gate * gate * (1 - gate))},
    }
    close(new.params, jax.tree.map(lambda old, update: old - update, state.params, updates), 1e-12)
    loss = -(weights * np.log(p[np.arange(4), labels])).sum() / weights.sum()
    assert metrics.mean([sums])["loss"] == pytest.approx(loss, rel=1e-6)  # without the penalty


def test_gradient_flow_needs_terms_of_one_weight():
    with pytest.raises(ValueError, match="gradient_flow: expected terms of one weight, got gate_penalty"):
        make_train_step(Gated(), TX, gate_penalty=0.1, class_weights=(1.0, 2.0, 3.0), gradient_flow=True)
