"""The training step against PyTorch's trajectory, and against itself."""

from dataclasses import replace
from functools import partial
from importlib import resources

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import recipe
from flax.traverse_util import flatten_dict
from jax.sharding import NamedSharding, PartitionSpec
from safetensors.numpy import save_file

from resnet_jax import Outputs, Preprocess, load_pretrained, make_eval_step, make_train_step
from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.data.augment.device import make_augment
from resnet_jax.distributed.devices import Parallel
from resnet_jax.metrics.typed import Last, results
from resnet_jax.models import create_model
from resnet_jax.models.layers import GroupNorm
from resnet_jax.tasks import Classification, Term
from resnet_jax.tasks.losses import cross_entropy
from resnet_jax.training import metrics, optim
from resnet_jax.training.batch import complete
from resnet_jax.training.core import forward_step
from resnet_jax.training.state import TrainState
from resnet_jax.training.step import make_step, step_keys

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


MODEL = recipe.small("cifar_resnet20", 1, 2, num_classes=10, dtype="float64", param_dtype="float64")
TX = optim.sgd(0.1, weight_decay=1e-4)


def batch(n, seed=0):
    rng = np.random.default_rng(seed)
    return {"image": rng.standard_normal((n, 8, 8, 3)), "label": rng.integers(0, 10, n).astype(np.int32)}


def fresh(model=MODEL, tx=TX):
    return TrainState.from_variables(recipe.variables(model, np.float64), tx, jax.random.key(0))


def close(a, b, tolerance=1e-10):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=tolerance), a, b)


def test_masked_examples_have_no_effect(x64):
    model = MODEL.clone(frozen_norms=("all",))  # batch statistics see every example
    step = jax.jit(make_train_step(model, TX, axis_name=None))
    few, many = batch(4), batch(4)
    many = {k: np.concatenate([v, v[::-1]]) for k, v in many.items()} | {"mask": np.float32([1] * 4 + [0] * 4)}
    (a, sums_a), (b, sums_b) = step(fresh(model), few), step(fresh(model), many)
    close(a.params, b.params)
    close(sums_a, sums_b, 1e-5)  # sums are weighted by a float32 mask


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
    with pytest.raises(ValueError, match="cannot be combined with class_weights"):
        make_train_step(create_model("cifar_skipnet38"), TX, gate_penalty=0.1, class_weights=weights)


@pytest.mark.slow
def test_accumulation_with_frozen_norms_equals_one_batch(x64):
    model = MODEL.clone(frozen_norms=("all",), drop_path=0.5)
    states = [jax.jit(make_train_step(model, TX, axis_name=None, accumulate=k))(fresh(model), batch(8)) for k in (1, 4)]
    close(states[0], states[1])


def test_accumulation_moves_running_statistics_once_for_each_part(x64):
    state, _ = jax.jit(make_train_step(MODEL, TX, axis_name=None, accumulate=2))(fresh(), batch(8))
    stats, whole = fresh().batch_stats, batch(8)
    apply = jax.jit(partial(MODEL.apply, train=True, mutable=["batch_stats"]))
    for part in (slice(0, 4), slice(4, 8)):
        variables = {"params": fresh().params, "batch_stats": stats}
        images = jnp.asarray(whole["image"][part])
        _, updated = apply(variables, images)
        stats = updated["batch_stats"]
    close(state.batch_stats, stats)


def test_frozen_parameters_keep_their_value_to_the_bit(x64):
    """Parameters, their averages and their norms' statistics: no decay, no momentum, whatever the optimiser does."""
    frozen = optim.match_path("stem|stage1")
    options = {"axis_name": None, "ema_decay": 0.5, "frozen": frozen}
    for tx in (optim.without(TX, frozen), TX):  # also where the optimiser does not know
        step = jax.jit(make_train_step(MODEL, tx, **options))
        before = state = TrainState.from_variables(fresh().variables, tx, jax.random.key(0), ema=True)
        for seed in range(3):
            state, sums = step(state, batch(8, seed))
        for old, new in ((before.variables, state.variables), (before.ema, state.ema)):
            same = jax.tree.map(lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes(), old, new)
            for path, stays in flatten_dict(same, sep="/").items():
                assert stays == frozen(path), path
    assert np.isfinite(sums["grad_norm"])


def test_frozen_parameters_keep_their_value_on_devices_in_microbatches_and_with_adamw(x64):
    frozen, parallel = optim.match_path("stem|stage1"), Parallel("pmap", jax.devices()[:2])
    tx = optim.without(optim.adamw(0.1, weight_decay=0.1), frozen)
    step = parallel.map(make_train_step(MODEL, tx, frozen=frozen, accumulate=2))
    before = fresh(tx=tx)
    after, _ = step(parallel.replicate(before), parallel.shard(batch(8)))
    same = jax.tree.map(
        lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes(),
        before.variables,
        jax.device_get(after).variables,
    )
    assert all(stays == frozen(path) for path, stays in flatten_dict(same, sep="/").items())


@pytest.mark.parametrize("remat", ["none", "block"])
def test_norms_with_frozen_parameters_are_frozen(x64, remat):
    """The other parameters train as if the net itself had frozen those norms."""
    model, frozen = MODEL.clone(remat=remat), optim.match_path("^(stem|stage1)")
    state, sums = jax.jit(make_train_step(model, TX, axis_name=None, frozen=frozen))(fresh(), batch(8))
    frozen_model = MODEL.clone(frozen_norms=("stem", "stage1"))
    reference, others = jax.jit(make_train_step(frozen_model, TX, axis_name=None))(fresh(), batch(8))
    assert sums["loss"] == pytest.approx(float(others["loss"]), rel=1e-12)
    assert sums["grad_norm"] < others["grad_norm"]  # no gradient of the frozen ones
    for part in ("stage2_block0", "head"):
        close(state.params[part], reference.params[part], 1e-12)
    close(state.batch_stats, reference.batch_stats, 1e-12)


def test_microbatches_that_do_not_divide_the_shard_are_refused(x64):
    with pytest.raises(ValueError, match="accumulate=3 does not divide the 8 examples of a shard"):
        jax.eval_shape(make_train_step(MODEL, TX, axis_name=None, accumulate=3), fresh(), batch(8))


def test_soft_targets_train(x64):
    hard = batch(4)
    soft = hard | {"label": np.eye(10)[hard["label"]]}
    step = jax.jit(make_train_step(MODEL, TX, axis_name=None))
    close(step(fresh(), hard)[0].params, step(fresh(), soft)[0].params)


def test_augmentation_gets_the_index_of_each_example_and_a_key_for_each_step(x64):
    seen = []

    def augment(batch, key):
        seen.append(batch["index"].shape)
        noise = jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i)))(batch["index"])
        return {**batch, "image": batch["image"] * noise[:, None, None, None]}

    still = optax.set_to_zero()
    step = jax.jit(make_train_step(MODEL, still, axis_name=None, augment=augment))
    state, first = step(fresh(tx=still), batch(4))
    _, second = step(state, batch(4))
    assert seen[0] == (4,)
    assert first["loss"] != second["loss"]
    assert step(fresh(tx=still), batch(4))[1]["loss"] == first["loss"]


def test_evaluation_uses_running_statistics_and_prepares_on_the_device(x64):
    images = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), np.uint8)
    raw = {"image": images, "label": np.arange(4, dtype=np.int32)}
    sums = jax.jit(make_eval_step(MODEL, axis_name=None, prepare=lambda x: x.astype(jnp.float64) / 255))(fresh(), raw)
    logits = MODEL.apply(fresh().variables, jnp.asarray(images / 255), train=False).logits
    np.testing.assert_allclose(sums["loss"], cross_entropy(logits, jnp.arange(4)).sum(), rtol=1e-6)
    assert float(sums["count"]) == 4


def test_training_does_not_depend_on_the_implementation_of_keys():
    """Typed and raw keys, threefry and rbg: old checkpoints hold the two words of threefry, and resume to the bit."""
    model, x = recipe.small("cifar_resnet8", 1, stages=1, drop_rate=0.3), jnp.ones((4, 8, 8, 3))

    def words(key):
        state = TrainState.create(model, TX, key, x)
        keys = jax.tree.map(jax.random.key_data, step_keys(state.key, 3))
        return jax.device_get((state.key, keys, state.params["stem"]))

    reference = words(jax.random.PRNGKey(7))
    np.testing.assert_array_equal(reference[0], jax.random.split(jax.random.PRNGKey(7))[1])
    np.testing.assert_array_equal(reference[1][0], jax.random.split(jax.random.fold_in(reference[0], 3), 3)[0])
    for impl in ("threefry2x32", "rbg", "unsafe_rbg"):
        same = partial(jax.tree.map, np.testing.assert_array_equal, reference)
        same(words(jax.random.key(7, impl=impl)))
        with jax.default_prng_impl(impl), jax.legacy_prng_key("error"):
            same(words(jax.random.key(7)))
    with pytest.raises(ValueError, match=r"expected one key, as jax.random.key\(0\) gives, got uint32 \[3, 2\]"):
        TrainState.from_variables({"params": {}}, TX, jax.random.split(jax.random.key(0), 3))


def test_microbatches_and_pairs_that_a_mesh_does_not_divide_are_traced():
    """Explicit axes: four devices, microbatches of two images, and pairs of one image per device."""
    model = recipe.small("cifar_resnet8", 1, stages=1, num_classes=8)
    mesh = jax.make_mesh((4,), ("data",), devices=jax.devices()[:4])
    for n, accumulate, mixup in ((8, 4, 0.0), (4, 1, 0.2)):
        augment = make_augment(Preprocess(8, 8, (0.5,) * 3, (0.5,) * 3), mixup=mixup, num_classes=8)
        train = make_train_step(model, TX, axis_name=None, augment=augment, accumulate=accumulate)
        state = TrainState.create(model, TX, jax.random.key(0), np.zeros((1, 8, 8, 3), np.uint8))
        batch = {"image": np.zeros((n, 8, 8, 3), np.uint8), "label": np.arange(n)}
        state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
        batch = jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data")))
        assert jax.jit(train).trace(state, batch).out_info[1]["count"].shape == ()


@pytest.mark.slow
def test_a_step_on_a_mesh_with_explicit_axes_equals_one_device(x64):
    """Sharded batch and parameters, accumulation, averages, frozen parameters, gradient flow, augmentation."""
    options = {"dtype": "float64", "param_dtype": "float64", "drop_rate": 0.2, "drop_path": 0.2}
    model = recipe.small("cifar_resnet8", 1, stages=2, num_classes=8, **options)
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (16, 8, 8, 3), np.uint8),
        "label": np.arange(16) % 8,
        "mask": np.arange(16) < 14,
    }
    augment = make_augment(
        Preprocess(8, 8, (0.5,) * 3, (0.5,) * 3),
        padding=1,
        horizontal_flip=True,
        cutout=2,
        mixup=0.2,
        num_classes=8,
    )
    tx = optim.sgd(optim.warmup_cosine(peak_lr=0.01, steps=20, warmup_steps=0), weight_decay=1e-4)
    options = {"augment": augment, "accumulate": 2, "ema_decay": 0.9, "skip_nonfinite": True, "gradient_flow": True}
    train = make_train_step(model, tx, axis_name=None, frozen=lambda path: path.startswith("stem"), **options)
    evaluate = make_eval_step(model, axis_name=None, prepare=lambda x: x / 255 - 0.5)
    state = TrainState.create(model, tx, jax.random.key(0), np.zeros((1, 8, 8, 3)), ema=True)

    @jax.jit
    def run(state, batch):
        state, sums = train(*train(state, batch)[:1], batch)
        return state, sums, evaluate(state, batch)

    mesh = jax.make_mesh((4,), ("data",), devices=jax.devices()[:4])

    def put(x):
        return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*[None] * (np.ndim(x) - 1), "data")))

    sharded = jax.tree.map(lambda x: put(x) if x.ndim > 1 and x.shape[-1] % 4 == 0 else x, state)
    got = run(
        sharded, {name: jax.device_put(x, NamedSharding(mesh, PartitionSpec("data"))) for name, x in batch.items()}
    )
    reference = run(state, batch)
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9), jax.device_get(got), jax.device_get(reference)
    )


def test_the_state_holds_only_arrays():
    model, sample = recipe.small("cifar_resnet20"), np.zeros((1, 8, 8, 3), np.uint8)
    state = TrainState.create(model, TX, jax.random.key(0), sample)
    assert all(isinstance(leaf, jax.Array) and leaf.dtype != object for leaf in jax.tree.leaves(state))
    assert list(vars(state)) == ["step", "params", "batch_stats", "opt_state", "ema", "key"]
    assert state.key.dtype == jnp.uint32
    jax.tree.map(np.testing.assert_array_equal, state, TrainState.create(model, TX, jax.random.PRNGKey(0), sample))


def test_an_axis_other_than_the_nets_is_refused():
    with pytest.raises(ValueError, match="expected a net with bn_axis None .*, got 'data'"):
        make_train_step(MODEL.clone(bn_axis="data"), TX, axis_name=None)


class Linear(nn.Module):
    """Logits of the flattened image: small enough to differentiate by hand."""

    @nn.compact
    def __call__(self, images, *, train, example_index=None):
        return Outputs(nn.Dense(3, name="dense")(images.reshape(len(images), -1)), {})


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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_steps_survive_strict_promotion_of_dtypes(strict_dtypes, dtype):
    """With SkipNet's metrics, averages, microbatches, mixed labels and Optax's AdamW."""
    prepare = Preprocess(8, 8, (0.5,) * 3, (0.2,) * 3)
    augment = make_augment(prepare, padding=1, horizontal_flip=True, color_jitter=(0.1,) * 4, mixup=0.2, num_classes=7)
    model = recipe.small("cifar_skipnet38", 1, 2, num_classes=7, dtype=dtype, drop_path=0.1)
    tx = optim.with_rates(optim.adamw(optim.warmup_cosine(peak_lr=0.1, steps=9)), optim.rate_factors)
    batch = {"image": np.zeros((4, 8, 8, 3), np.uint8), "label": np.zeros(4, np.int32), "mask": np.ones(4, bool)}
    state = jax.eval_shape(lambda k: TrainState.create(model, tx, k, batch["image"], ema=True), jax.random.key(0))
    options = {"ema_decay": 0.9, "skip_nonfinite": True, "accumulate": 2, "gate_penalty": 0.1, "gradient_flow": True}
    jax.eval_shape(make_train_step(model, tx, axis_name=None, augment=augment, **options), state, batch)
    jax.eval_shape(make_eval_step(model, axis_name=None, prepare=prepare), state, batch)
    predictions = Classification().predictions
    jax.eval_shape(forward_step(model, predictions, axis_name=None, prepare=prepare), state, batch)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_norms_are_of_the_mean_gradient_and_of_the_parameters_before_the_update(x64, accumulate):
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((4, 2, 2, 1)), np.array([0, 2, 1, 1])
    mask = np.array([1.0, 1.0, 0.0, 1.0])
    tx = optax.chain(optax.clip_by_global_norm(1e-3), optax.sgd(0.1))
    state = TrainState.create(Linear(), tx, jax.random.key(0), images)
    step = jax.jit(make_train_step(Linear(), tx, axis_name=None, accumulate=accumulate))
    means = metrics.mean([step(state, {"image": images, "label": labels, "mask": mask})[1]])
    kernel = np.asarray(state.params["dense"]["kernel"])
    x = images.reshape(4, -1)
    p = np.exp(x @ kernel)
    p /= p.sum(1, keepdims=True)
    residual = (p - np.eye(3)[labels]) * mask[:, None] / mask.sum()
    gradient = np.concatenate([x.T @ residual, residual.sum(0, keepdims=True)])
    assert means["grad_norm"] == pytest.approx(np.linalg.norm(gradient), rel=1e-6)
    assert means["param_norm"] == pytest.approx(np.linalg.norm(kernel), rel=1e-6)


def ordinary(**options):
    """State, step and batch of 8 for a small net without dropout."""
    model = recipe.small("cifar_resnet20", 1, 2, num_classes=7, in_channels=1)
    tx = optim.sgd(optim.warmup_cosine(peak_lr=0.1, steps=100, warmup_steps=2), momentum=0.9)
    variables = jax.tree.map(lambda x: jnp.asarray(x, float), recipe.variables(model))
    state = TrainState.from_variables(variables, tx, jax.random.key(0), ema=True)
    rng = np.random.default_rng(0)
    batch = {"image": rng.normal(size=(8, 8, 8, 1)), "label": np.arange(8) % 7}
    return state, jax.jit(make_train_step(model, tx, axis_name=None, **options)), batch


@pytest.mark.slow
def test_averaged_weights_follow_the_closed_form(x64):
    state, step, batch = ordinary(ema_decay=0.3)
    reference = {"params": state.params, "batch_stats": state.batch_stats}
    for n in range(4):
        state, _ = step(state, batch)
        decay = min(0.3, (1 + n) / (10 + n))
        new = {"params": state.params, "batch_stats": state.batch_stats}
        reference = jax.tree.map(lambda old, x, d=decay: d * old + (1 - d) * x, reference, new)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-13), state.ema, reference)
    jax.tree.map(np.testing.assert_array_equal, state.averaged.variables, state.ema)


def test_a_state_without_averages_is_an_error():
    with pytest.raises(ValueError, match="has no averaged weights; TrainState.create.*ema=True"):
        _ = TrainState.from_variables({"params": {"w": jnp.ones(2)}}, optax.identity(), jax.random.key(0)).averaged


@pytest.mark.slow
def test_a_nonfinite_step_changes_only_the_step_counts(x64):
    state, step, batch = ordinary(ema_decay=0.9, skip_nonfinite=True)
    before, sums = step(state, batch)
    assert sums["skipped"] == 0 and sums["count"] == 8
    bad = batch["image"].copy()
    bad[3, 2, 2] = np.inf
    after, sums = step(before, {**batch, "image": bad})
    assert sums["skipped"] == 1 and sums["count"] == 0 and sums["loss"] == 0
    assert after.step == 2 and before.step == 1
    for name in ("params", "batch_stats", "ema", "key"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, name), getattr(before, name))
    old, new = jax.tree.leaves(before.opt_state), jax.tree.leaves(after.opt_state)
    changed = [(a, b) for a, b in zip(old, new, strict=True) if not np.array_equal(a, b)]
    assert changed == [(1, 2)]  # the count of the schedule
    going_on, sums = step(after, batch)
    assert sums["skipped"] == 0 and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(going_on.params))


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


def test_a_net_without_batch_statistics_is_trained_averaged_and_saved(x64, tmp_path):
    """With group norms, state and checkpoints have empty batch statistics."""
    norm = partial(GroupNorm, groups=8)
    model = recipe.small("cifar_resnet20", 1, 2, num_classes=10, norm=norm, dtype="float64", param_dtype="float64")
    state = TrainState.from_variables(recipe.variables(model, np.float64), TX, jax.random.key(0), ema=True)
    state, _ = jax.jit(make_train_step(model, TX, axis_name=None, accumulate=2, ema_decay=0.9))(state, batch(4))
    assert state.batch_stats == {} == state.ema["batch_stats"]
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, {"model": {}, "classes": [], "preprocess": {}})
        checkpoints.wait()
    close(open_checkpoint(tmp_path).state(jax.device_get(state)), state, 0)


@pytest.mark.parametrize("kind", ["bool", "int32", "uint8", "float16", "float32"])
def test_a_mask_of_any_type_ignores_examples(kind):
    model, tx = create_model("cifar_resnet8", num_classes=3), optax.sgd(0.1)
    images = jnp.ones((4, 8, 8, 3))
    state = TrainState.create(model, tx, jax.random.key(0), images)
    step = make_eval_step(model, axis_name=None)
    shown = np.array([255, 0, 255, 0] if kind == "uint8" else [1, 0, 1, 0]).astype(kind)
    sums = jax.eval_shape(step, state, {"image": images, "label": jnp.zeros(4, int), "mask": shown})
    assert sums["count"].shape == ()
    assert complete({"image": images, "label": jnp.zeros(4, int), "mask": shown}, None)["mask"].tolist() == [1, 0, 1, 0]


def test_an_invalid_batch_is_named():
    batch = {"image": jnp.ones((2, 8, 8, 3)), "label": jnp.zeros(2, int)}
    for wrong, message in (
        ({"mask": None}, "expected a mask .an array., got None"),
        ({"mask": np.ones(2, complex)}, "expected a mask of bool, int or float, got complex"),
        ({"label": [0, 1]}, "expected labels .an array., got list"),
    ):
        with pytest.raises(TypeError, match=message):
            complete(batch | wrong, None)
    with pytest.raises(ValueError, match="expected a batch with image and label, got one without label"):
        complete({"image": batch["image"]}, None)


class Sowing(nn.Module):
    """Logits w * x, with a loss and a metric of its own."""

    @nn.compact
    def __call__(self, images, train, example_index=None):
        w = self.param("w", nn.initializers.ones, (2,))
        self.sow("losses", "decay", 0.5 * jnp.sum(w**2))
        self.sow("metrics", "size", jnp.abs(images).sum((1, 2, 3)))
        return Outputs(images.reshape(len(images), 2) * w[None], {})


def test_terms_of_several_weights_and_sown_losses_add_up(x64):
    """w follows the gradient of mean_n a_n + sum_n k_n b_n / sum_n k_n + w^2 / 2, on one device or in two parts."""
    rng = np.random.default_rng(0)
    x, k, mask = rng.standard_normal((4, 1, 2, 1)), np.array([1.0, 3.0, 2.0, 9.0]), np.array([1.0, 1.0, 1.0, 0.0])

    def objective(outputs, batch, axis_name):
        first, second = outputs.logits[:, 0], outputs.logits[:, 1] ** 2
        weights = batch["label"] * batch["mask"]
        terms = {"first": Term((first * batch["mask"]).sum()), "second": Term((second * weights).sum(), weights.sum())}
        return terms, {"largest": Last(jnp.float64(7))}

    state = TrainState.create(Sowing(), optax.sgd(1.0), jax.random.key(0), x)
    state = replace(state, params={"w": jnp.ones(2)})
    flat, used = x.reshape(4, 2)[:3], k[:3] / k[:3].sum()
    gradient = np.array([flat[:, 0].mean(), 2 * (flat[:, 1] ** 2 * used).sum()]) + 1
    for accumulate in (1, 2):
        step = make_step(Sowing(), optax.sgd(1.0), objective, axis_name=None, accumulate=accumulate)
        new, typed = jax.jit(step)(state, {"image": x, "label": k, "mask": mask})
        np.testing.assert_allclose(new.params["w"], 1 - gradient, rtol=1e-12)
        means = results(typed)
        expected = {"first": flat[:, 0].mean(), "second": (flat[:, 1] ** 2 * used).sum(), "largest": 7.0, "count": 3.0}
        assert {name: means[name] for name in expected} == pytest.approx(expected, rel=1e-12)
        assert means["loss"] == pytest.approx(expected["first"] + expected["second"], rel=1e-12)
        assert means["size"] == pytest.approx(np.abs(flat).sum(1).mean(), rel=1e-12)
    with pytest.raises(ValueError, match="gradient_flow: expected terms of one weight, got 2"):
        jax.eval_shape(
            make_step(Sowing(), optax.sgd(1.0), objective, axis_name=None, gradient_flow=True),
            state,
            {"image": x, "label": k},
        )
