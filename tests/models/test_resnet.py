"""Options of a net."""

from dataclasses import replace
from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe

from resnet_jax import ops
from resnet_jax.models import ResNet, Stage, create_model, feature_info
from resnet_jax.models.blocks import Residual
from resnet_jax.models.combine import HighwayGate
from resnet_jax.models.context import BlockContext
from resnet_jax.models.shortcuts import ZeroPad
from resnet_jax.ops import sample_per_example

X = jnp.asarray(np.random.default_rng(0).standard_normal((4, 16, 16, 3)), jnp.float32)
KEYS = {"dropout": jax.random.key(1), "drop_path": jax.random.key(2)}


def tiny(**overrides):
    return recipe.small("cifar_resnet20", **overrides)


@partial(jax.jit, static_argnums=0)
def train_pass(model, variables, x=X, keys=KEYS, index=None):
    return model.apply(variables, x, train=True, example_index=index, mutable=["batch_stats"], rngs=keys)


VARIABLES = recipe.variables(tiny())


def squares(model, params, rest, x):
    return (train_pass(model, rest | {"params": params}, x)[0].logits ** 2).sum()


@cache
def without_remat(**options):
    plain, x = tiny(**options), jnp.asarray(X, jnp.float64)
    variables = recipe.variables(plain, np.float64)
    return variables, x, jax.value_and_grad(partial(squares, plain))(variables["params"], variables, x)


@pytest.mark.parametrize("remat", ["block", "stage"])
def test_remat_changes_neither_names_nor_numbers(x64, remat):
    double = {"drop_path": 0.3, "dtype": "float64", "param_dtype": "float64"}
    saving = tiny(remat=remat, **double)
    variables, x, theirs = without_remat(**double)
    gradient = jax.value_and_grad(partial(squares, saving))
    fresh = jax.eval_shape(lambda: saving.init(jax.random.key(0), x, train=False))
    assert jax.tree.structure(fresh) == jax.tree.structure(variables)
    ours = gradient(variables["params"], variables, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), ours, theirs)
    jaxpr = str(jax.make_jaxpr(gradient)(variables["params"], variables, x))
    assert jaxpr.count("= remat2[") + jaxpr.count("checkpoint[") >= {"block": 6, "stage": 3}[remat]


REMAT_FAMILIES = [
    "cifar_condconv20",
    "cifar_highway20",
    "efficientnet_b0",
    "res2net50_26w_4s",
    "resnetv2_50d",
    "skresnet18",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", REMAT_FAMILIES)
def test_remat_changes_no_number_of_any_family(x64, name):
    net = recipe.small(name, 1, 2, num_classes=3, dtype="float64", param_dtype="float64")
    variables, x = (
        recipe.variables(net, np.float64),
        jnp.asarray(np.random.default_rng(0).standard_normal((2, 32, 32, 3))),
    )

    def run(remat):
        gradient = jax.value_and_grad(partial(squares, net.clone(remat=remat)))
        return gradient(variables["params"], variables, x)

    plain = run("none")
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(plain))
    for remat in ("block", "stage"):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * scale), run(remat), plain)


DILATED = ["resnet18_a", "resnet18", "resnet50", "resnet50_v1", "plain18"]
DILATED += ["highway", "resnet18d", "resnetaa50d", "resnetblur50", "res2net50_26w_4s", "resnetv2_50d", "resnet50_clip"]


@pytest.mark.parametrize(
    ("name", "output_stride"), [(name, 8) for name in DILATED] + [("resnet18", 16), ("resnet50", 16)]
)
def test_output_stride_computes_the_same_features_on_a_finer_grid(x64, name, output_stride):
    """By the rule "resample": at every position the ordinary net has, the dilated one gives the same number."""
    options = {"dilation": "resample", "num_classes": 3, "dtype": "float64", "param_dtype": "float64"}
    coarse = recipe.small("resnet18_a" if name == "highway" else name, **options)
    if name == "highway":
        block = partial(Residual, shortcut=ZeroPad, combine=HighwayGate)
        coarse = coarse.clone(stages=tuple(replace(stage, block=block) for stage in coarse.stages))
    fine = coarse.clone(output_stride=output_stride)
    variables = recipe.variables(coarse, np.float64)
    x = jnp.asarray(np.random.default_rng(1).standard_normal((1, 64, 96, 3)))
    a, b = (jax.jit(partial(net.apply, train=False))(variables, x).features for net in (coarse, fine))
    step = 32 // output_stride
    assert b["stage4"].shape[1:3] == (64 // output_stride, 96 // output_stride)
    np.testing.assert_allclose(b["stage4"][:, ::step, ::step], a["stage4"], rtol=0, atol=1e-10)
    np.testing.assert_array_equal(b["stage1"], a["stage1"])
    assert feature_info(fine)["stage4"].stride == output_stride


def test_an_output_stride_above_the_nets_stride_raises_an_error():
    with pytest.raises(ValueError, match="output_stride: expected at most 4, the net's stride, got 8"):
        feature_info(create_model("cifar_resnet20", output_stride=8))
    with pytest.raises(ValueError, match="output_stride: expected at least 4, the stem's stride, got 2"):
        feature_info(create_model("resnet18", output_stride=2))
    assert feature_info(create_model("cifar_resnet20", output_stride=2))["stage3"].stride == 2


def test_bfloat16_keeps_parameters_statistics_and_logits_in_float32():
    model = tiny(dtype="bfloat16")
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), X, train=False))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    outputs, updated = train_pass(model, VARIABLES)
    exact, _ = train_pass(tiny(), VARIABLES)
    assert outputs.logits.dtype == outputs.features["pool"].dtype == jnp.float32
    assert outputs.features["stage1"].dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(updated)} == {jnp.dtype("float32")}
    error = np.linalg.norm(outputs.logits - exact.logits) / np.linalg.norm(exact.logits)
    assert 0 < error < 0.03


def test_drop_path_and_dropout_follow_the_global_index_and_not_the_shard():
    model = tiny(drop_path=0.5, drop_rate=0.5, frozen_norms=("all",))  # batch statistics would tie the shards together
    whole, _ = train_pass(model, VARIABLES)
    halves = [train_pass(model, VARIABLES, X[i : i + 2], KEYS, jnp.arange(i, i + 2))[0].logits for i in (0, 2)]
    np.testing.assert_allclose(whole.logits, np.concatenate(halves), rtol=1e-5, atol=1e-6)
    swapped, _ = train_pass(model, VARIABLES, X, KEYS, jnp.arange(4)[::-1])
    assert np.abs(whole.logits - swapped.logits).max() > 1e-3


def test_drop_path_rates_grow_linearly_to_the_last_block():
    rates = [spec.drop_rate for _, _, specs in create_model("resnet18", drop_path=0.4)._block_specs() for spec in specs]
    np.testing.assert_allclose(rates, 0.4 * np.arange(1, 9) / 8)


def test_each_block_samples_its_own_drop_path(monkeypatch):
    """An image dropped in one block is not dropped in all that follow."""
    masks = []

    def spy(x, rate, key, index):
        keep = sample_per_example(lambda k: jax.random.bernoulli(k, 0.5), key, index)
        masks.append(np.asarray(keep))
        return x

    monkeypatch.setattr(ops, "drop_path", spy)
    x, index = jnp.zeros((1, 4, 4, 3)), jnp.arange(200)
    net = tiny(drop_path=0.5, frozen_norms=("all",))
    net.apply(VARIABLES, x, train=True, example_index=index, mutable=["batch_stats"], rngs=KEYS)
    assert len(masks) == 6
    agreement = [np.mean(a == b) for i, a in enumerate(masks) for b in masks[:i]]
    assert 0.3 < min(agreement) and max(agreement) < 0.7  # fair coins, seven standard deviations


def test_randomness_is_off_in_evaluation_and_without_rates():
    a = tiny(drop_path=0.5, drop_rate=0.5).apply(VARIABLES, X, train=False).logits  # without keys
    np.testing.assert_array_equal(a, tiny().apply(VARIABLES, X, train=False).logits)


def test_frozen_norms_use_and_keep_their_running_statistics():
    model = tiny(frozen_norms=("stem", "stage1"))
    outputs, updated = train_pass(model, VARIABLES)
    free, _ = train_pass(tiny(), VARIABLES)
    still = tiny().apply(VARIABLES, X, train=False)
    for part, before in VARIABLES["batch_stats"].items():
        same = jax.tree.map(lambda a, b: bool((a == b).all()), updated["batch_stats"][part], before)
        moved = not all(jax.tree.leaves(same))
        assert moved == part.startswith(("stage2", "stage3")), part
    np.testing.assert_allclose(outputs.features["stage1"], still.features["stage1"], rtol=1e-5, atol=1e-5)
    assert np.abs(outputs.features["stage1"] - free.features["stage1"]).max() > 1e-2
    all_frozen, updated = train_pass(tiny(frozen_norms=("all",)), VARIABLES)
    np.testing.assert_allclose(all_frozen.logits, still.logits, rtol=1e-5, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, updated["batch_stats"], VARIABLES["batch_stats"])


def test_in_channels_num_classes_stem_and_pooling():
    model = tiny(in_channels=1, num_classes=0, global_pool="max")
    outputs, variables = model.init_with_output(jax.random.key(0), X[..., :1], train=False)
    assert outputs.logits.shape == (4, 0)
    assert "head" not in variables["params"]
    np.testing.assert_array_equal(outputs.features["pool"], outputs.features["stage3"].max((1, 2)))
    cifar = create_model("resnet18", stem="cifar", num_classes=10)
    assert feature_info(cifar, 32)["stage4"] == (512, 8)
    assert feature_info(cifar, 32)["stem"] == (64, 1)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (jnp.zeros((1, 8, 8, 1)), ValueError, r"expected images float \[N, H, W, 3\], .*, got float32 \[1, 8, 8, 1\]"),
        (jnp.zeros((8, 8, 3)), ValueError, r"got \[N, L, C\]: \[8, 8, 3\]; x\[None\] is a batch of one"),
        (jnp.zeros((1, 8, 8, 3), jnp.uint8), TypeError, "normalised, got uint8; see Preprocess"),
    ],
)
def test_images_of_another_shape_or_type_raise_an_error(images, error, message):
    with pytest.raises(error, match=message):
        tiny().apply(VARIABLES, images, train=False)


def test_nets_are_modules_inside_other_modules():
    class Detector(nn.Module):
        @nn.compact
        def __call__(self, x):
            backbone = create_model("cifar_resnet20", num_classes=0)
            return backbone(x, train=False).features["stage2"]

    y, variables = Detector().init_with_output(jax.random.key(0), X)
    assert y.shape == (4, 8, 8, 32)
    assert list(variables["params"]) == ["ResNet_0"]


def test_a_component_of_ones_own_needs_no_change_to_the_library():
    """A gate between branch and shortcut."""

    class Gate(nn.Module):
        context: BlockContext
        features: int
        strides: int = 1

        @nn.compact
        def __call__(self, x, y, s):
            gate = nn.sigmoid(self.context.conv(self.features, 1, name="gate")(y))
            return gate * y + (1 - gate) * s

    gated = partial(Residual, combine=Gate)
    net = ResNet(stages=(Stage(1, 64, 1, gated), Stage(1, 128, 2, gated)), num_classes=3)
    outputs, variables = jax.eval_shape(partial(net.init_with_output, train=False), jax.random.key(0), X)
    assert outputs.logits.shape == (4, 3)
    assert variables["params"]["stage2_block0"]["combine"]["gate"]["kernel"].shape == (1, 1, 128, 128)


FAMILIES = ["cifar_condconv20", "cifar_skipnet38_rnn", "resnet50_clip", "resnet50_gn", "resnetaa50", "skresnet18"]


@pytest.mark.parametrize("name", FAMILIES)
def test_an_empty_batch_has_no_logits_and_moves_no_statistics(name, strict_dtypes):
    model = recipe.small(name, 1, stages=2, **({"skipping": True} if "skip" in name else {}))
    variables, empty = recipe.variables(model), jnp.zeros((0, 17, 20, 3))
    assert model.apply(variables, empty, train=False).logits.shape == (0, model.num_classes)
    outputs, updated = model.apply(variables, empty, train=True, mutable=["batch_stats"])
    assert outputs.logits.shape == (0, model.num_classes)
    for statistics in updated.values():
        jax.tree.map(np.testing.assert_array_equal, statistics, variables["batch_stats"])


@pytest.mark.parametrize(("name", "size", "least"), [("resnet50_clip", 2, 3), ("resnetaa50", 1, 3), ("resnet18", 0, 1)])
def test_the_error_for_a_small_image_has_the_smallest_valid_size(name, size, least):
    def apply(size):
        model, image = create_model(name), jnp.zeros((1, size, size, 3))
        return jax.eval_shape(partial(model.init_with_output, train=False), jax.random.key(0), image)

    with pytest.raises(ValueError, match=f"too small: expected at least {least} x {least} pixels, got {size} x {size}"):
        apply(size)
    apply(least)


@pytest.mark.parametrize("name", ["resnet18", "skresnet18"])
def test_training_with_one_value_per_channel_raises_an_error(name):
    """The mean of one number is that number, so every image would have the same logits."""
    model = recipe.small(name, 1, num_classes=3)

    def train(model, n, side, mapped=None):
        def run(x):
            variables = model.init(jax.random.key(0), x, train=True)  # a single image is enough to initialise
            return model.apply(variables, x, train=True, mutable=["batch_stats"])

        x = jnp.zeros((n, side, side, 3))
        if mapped is None:
            return jax.eval_shape(run, x)
        return jax.eval_shape(jax.vmap(run, axis_name="data"), x[:, None].repeat(mapped, 1))

    message = "one value per channel: .*stage.*use a larger batch, larger images or frozen_norms"
    for n, side, mapped in ((1, 32, None), (2, 32, 1)):  # the second: one image per device
        with pytest.raises(ValueError, match=message):
            train(model, n, side, mapped)
    train(model, 2, 32)
    train(model.clone(frozen_norms="all"), 1, 32)
    train(model.clone(bn_axis="data"), 2, 32, mapped=1)
    if name == "resnet18":
        train(model, 1, 33)
    else:  # selective kernels normalise one vector per image
        with pytest.raises(ValueError, match=r"reduce_norm .*got \[1, 1, 1, 16\]"):
            train(model, 1, 224)


def test_a_net_is_a_named_submodule_and_its_class_can_be_lifted():
    class Detector(nn.Module):
        @nn.compact
        def __call__(self, x):
            one = create_model("cifar_resnet8", num_classes=0, name="backbone")(x, False)
            two = tiny(num_classes=0).clone(name="other")(x, train=False)
            tiny(num_classes=0).clone()  # without a name it has no parent
            return one.features["pool"] + two.features["pool"]

    x = jnp.zeros((2, 8, 8, 3))
    variables = jax.eval_shape(Detector().init, jax.random.key(0), x)
    assert set(variables["params"]) == {"backbone", "other"}
    assert create_model("cifar_resnet8", name="x", parent=None).name == "x"

    fields = {name: getattr(tiny(), name) for name in ResNet.__dataclass_fields__ if name not in ("parent", "name")}
    axes = {"params": 0, "batch_stats": 0}
    ensemble = nn.vmap(ResNet, in_axes=(0, None), variable_axes=axes, split_rngs={"params": True})(**fields)
    outputs, variables = jax.eval_shape(
        lambda key, x: ensemble.init_with_output(key, x, False), jax.random.key(0), x[None].repeat(3, 0)
    )
    assert outputs.logits.shape == (3, 2, 10)
    assert variables["params"]["stem"]["conv"]["kernel"].shape == (3, 3, 3, 3, 16)
    saving = nn.remat(ResNet, static_argnums=(2,))(**fields)
    outputs, _ = jax.eval_shape(lambda v, x: saving.apply(v, x, True, mutable=["batch_stats"]), VARIABLES, x)
    assert outputs.logits.shape == (2, 10)


def test_a_subclass_passes_a_carry_from_block_to_block():
    """A net whose blocks count the blocks before them, with and without remat."""

    class Scaled(Residual):
        @nn.compact
        def __call__(self, x, before):
            return Residual(self.context, self.features, self.strides, name="block")(x) / (1 + before), before + 1

    class Counting(ResNet):
        @nn.compact
        def __call__(self, images, train, example_index=None):
            outputs, blocks = self.forward_with_carry(
                images,
                train,
                example_index,
                initial_carry=lambda x: jnp.zeros(()),
                run_block=lambda block, x, carry: block(x, carry),
            )
            return outputs._replace(features={**outputs.features, "count": blocks})

    for remat in ("none", "block", "stage"):
        net = Counting(stages=(Stage(2, 8, 1, Scaled), Stage(1, 8, 2, Scaled)), stem_features=4, remat=remat)
        outputs, variables = jax.jit(partial(net.init_with_output, train=False))(jax.random.key(0), X)
        assert outputs.features["count"] == 3
        assert net.block_names() == ["stage1_block0", "stage1_block1", "stage2_block0"]
        assert set(variables["params"]) == {"stem", *net.block_names(), "head"}
