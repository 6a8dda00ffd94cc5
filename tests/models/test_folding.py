"""Batch norms folded into convolutions: the same outputs, and which norms keep a scale."""

import pickle
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
import small_rcnn
from flax.traverse_util import flatten_dict
from jax import export

from resnet_jax import create_model, fold_norms, ops
from resnet_jax.models import MODELS, ResNet, Stage, get_spec, shapes
from resnet_jax.models.blocks import Residual
from resnet_jax.models.branches import Basic
from resnet_jax.models.context import BlockContext
from resnet_jax.models.layers import BatchNorm, BiasedConv, CondConv, Conv, StandardizedConv
from resnet_jax.models.partials import Partial
from resnet_jax.models.sequence.layers import CausalConv, WeightNormConv
from resnet_jax.models.stems import CifarStem

# Norms that keep their scale, by family: those whose input is no convolution's output, or is used elsewhere.
PREACTIVATED = {"norm1", "head/norm"}  # behind sums, which shortcuts use, too, and before the pool
UNFOLDED = {
    "resnetv2": PREACTIVATED,
    "wide_resnet": PREACTIVATED,
    "tsc_resnet": {"shortcut/norm"},  # of the last block, whose shortcut has no convolution
    "waveform": {"block/combine/norm"},  # of m34_res, behind sums
    "keyword": {"norm1", "norm2", "head/norm"},  # behind activations and sums
    "speaker": {"branch/norm1", "head/attend_norm", "head/norm"},  # of speaker_seresnet34, whose blocks pre-activate
}
ALL_FOLDED = {"wide_resnet50_2", "m5", "m11", "speaker_resnet34"}  # of these families
SIZES = {"images": (32, 32), "series": (40,), "waveform": (2000,), "spectrogram": (48,), "tokens": (128,)}
REFUSED = "^train: expected False for a net of fold_norms, got True; train the net before it"
FLOAT64 = {"dtype": np.float64, "param_dtype": np.float64}
# A small net of each family, and how many of its stages are compared.
FAMILIES = {
    **{f"cifar_{name}": 2 for name in ("resnet8", "plain20", "highway20", "res2net29", "condconv20", "skipnet38_rnn")},
    **{"cifar_wrn16_4": 2, "cifar_preresnet110": 2, "resnet26t": 2, "resnetblur50": 2, "resnetrs50": 2},
    **{"resnext50_32x4d": 2, "seresnet18": 2, "ecaresnet50d": 2, "skresnet18": 2, "resnet50_clip": 2},
    **{"efficientnet_b0": 3, "tf_efficientnet_cc_b0_4e": 5, "tsc_resnet": 3, "tsc_fcn": 3, "inception_time": 2},
    **{"xresnet1d18": 2, "m34_res": 2, "res15": 2, "speaker_seresnet34": 2, "quartznet5x2_small": 2, "vdcnn9": 2},
}
QUICK = ("cifar_wrn16_4", "tsc_resnet")


def distinct_nets():
    """A net of each kind with batch norms, but no net around it: of nets with the same components the first."""
    by_kind = {}
    for name, spec in MODELS.items():
        if not spec.is_dense and spec.family not in ("tcn", "gcnn", "bit", "contrastive") and name != "resnet50_gn":
            by_kind.setdefault((spec.family, frozenset(recipe.atoms_of_net(create_model(name)))), name)
    return list(by_kind.values())


def example(name, net):
    kind, rng = get_spec(name).input_kind, np.random.default_rng(0)
    sizes = (*SIZES[kind], *(net.image_size[1:] if kind == "spectrogram" else ()))
    if kind == "tokens":
        return rng.integers(0, 50, (2, *sizes))
    return rng.standard_normal((2, *sizes, net.in_channels))


def outputs(net, variables, *inputs):
    return jax.jit(partial(net.apply, train=False))(variables, *inputs)


def error(one, other):
    """The greatest difference of two trees of outputs, relative to the greatest value of each array."""

    def of_array(x, y):
        assert x.shape == y.shape and x.dtype == y.dtype
        return float(jnp.abs(x.astype(float) - y).max() / jnp.maximum(jnp.abs(x).max(), 1e-30)) if x.size else 0.0

    return max(jax.tree.leaves(jax.tree.map(of_array, one, other)))


def check_same(net, variables, *inputs, bound=1e-12):
    """Folds a net, compares outputs and features of both, and returns the folded one."""
    folded, its_variables = fold_norms(net, variables)
    assert error(outputs(net, variables, *inputs), outputs(folded, its_variables, *inputs)) < bound
    assert "batch_stats" not in its_variables
    assert all(x.dtype == net.param_dtype for x in jax.tree.leaves(its_variables))
    return folded


def check_both_types(net, variables, *inputs):
    """`check_same` in float32 and float64."""
    for dtype, bound in ((np.float32, 1e-5), (np.float64, 1e-12)):
        typed, *arrays = jax.tree.map(
            lambda x, dtype=dtype: x if np.issubdtype(x.dtype, np.integer) else x.astype(dtype), (variables, *inputs)
        )
        folded = check_same(net.clone(dtype=dtype, param_dtype=dtype), typed, *arrays, bound=bound)
    return folded


def small_names(paths):
    """Paths without their stages and blocks."""
    return {path.partition("/")[2] if path.startswith("stage") else path for path in paths}


def expected_names(name):
    if name in ALL_FOLDED:
        return set()
    return UNFOLDED.get(get_spec(name).family, set()) - ({"head/norm"} if name == "res8" else set())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in FAMILIES]
)
def test_a_net_of_each_family_has_the_same_outputs(name, x64):
    net = recipe.small(name, 1, FAMILIES[name])
    folded = check_both_types(net, recipe.variables(net, np.float64), example(name, net))
    assert small_names(folded.norm.scaled) == expected_names(name)


@pytest.mark.slow
def test_these_norms_keep_a_scale_in_every_kind_of_net():
    families = {get_spec(name).family for name in FAMILIES}
    for name in distinct_nets():
        net = recipe.small(name, 2)
        zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes(net, net.image_size).variables)
        assert small_names(fold_norms(net, zeros)[0].norm.scaled) == expected_names(name), name
        assert get_spec(name).family in families


class Component(nn.Module):
    context: BlockContext
    features: int
    strides: int = 1


class Linear(Component):
    """A grouped and a dilated convolution, a dense layer, joined convolutions; a convolution and its norm run twice."""

    @nn.compact
    def __call__(self, x):
        context, width = self.context, self.features
        x = context.norm(name="norm1")(context.conv(width, 3, groups=2, name="conv1")(x))
        x = context.norm(name="norm2")(context.conv(width, 3, dilation=2, name="conv2")(context.act(x)))
        x = context.norm(name="norm3")(context.dense(width, name="dense")(context.act(x)))
        conv, norm = context.conv(width, 1, name="conv4"), context.norm(name="norm4")
        parts = [context.conv(width // 2, k, name=f"part{k}")(context.act(x)) for k in (1, 3)]
        joined = context.norm(name="norm5")(jnp.concatenate(parts, axis=-1))
        return norm(conv(x)) + norm(conv(context.act(joined)))


class Used(Component):
    """Convolutions whose outputs are used beside a norm."""

    @nn.compact
    def __call__(self, x):
        context, width = self.context, self.features
        y = context.conv(width, 3, name="conv1")(x)
        x = context.act(y + context.norm(name="added")(y))
        y = context.conv(width, 3, name="conv2")(x)
        x = context.act(context.norm(name="first")(y) + context.norm(name="second")(y))
        conv = context.conv(width // 2, 3, name="conv3")
        x = context.act(context.norm(name="repeated")(jnp.concatenate([conv(x), conv(2 * x)], axis=-1)))
        return context.norm(name="pooled")(ops.max_pool(context.conv(width, 1, name="conv4")(x), strides=1))


class Direct(Component):
    """A norm that the net's factory does not make."""

    @nn.compact
    def __call__(self, x):
        y = self.context.conv(self.features, 3, name="conv")(x)
        return BatchNorm(epsilon=0.1, name="direct")(y, use_batch_statistics=False)


def tiny(*branches, **fields):
    """A net with a block of each branch, and its variables in float64."""
    stages = tuple(Stage(1, 8, 1, Partial(Residual, branch=branch)) for branch in branches)
    fields = {"stem": CifarStem, "stem_features": 8, "num_classes": 3, "image_size": 6} | FLOAT64 | fields
    net = ResNet(stages=stages, **fields)
    return net, recipe.variables(net, np.float64)


IMAGES = np.random.default_rng(0).standard_normal((2, 6, 6, 3))


def test_a_norm_is_folded_into_layers_that_nothing_else_uses(x64):
    net, variables = tiny(Linear, Used, norm=Partial(BatchNorm, epsilon=0.1))
    folded = check_same(net, variables, IMAGES)
    names = {f"stage2_block0/branch/{name}" for name in ("added", "first", "second", "repeated", "pooled")}
    assert set(folded.norm.scaled) == names


def test_norms_of_other_classes_stay(x64):
    net, variables = tiny(Direct)
    folded, its_variables = fold_norms(net, variables)
    assert jax.tree.leaves(its_variables["batch_stats"])[0].shape == (8,)
    assert set(flatten_dict(its_variables["batch_stats"], sep="/")) == {
        f"stage1_block0/branch/direct/{name}" for name in ("mean", "var")
    }
    assert error(outputs(net, variables, IMAGES), outputs(folded, its_variables, IMAGES)) < 1e-12
    group = create_model("resnet50_gn", num_classes=2)
    assert fold_norms(group, {"params": {}}) == (group, {"params": {}})
    causal = create_model("tcn")
    nothing = jax.tree.map(lambda x: np.zeros(x.shape), shapes(causal, (20,)).variables)
    assert fold_norms(causal, nothing)[0] is causal


class Squared(Conv):
    def transform_kernel(self, kernel):
        return kernel**2


@pytest.mark.parametrize(
    ("conv", "images", "unfolded"),
    [
        (Partial(StandardizedConv, same=True), IMAGES, 0),
        (BiasedConv, IMAGES, 0),
        (Partial(CondConv, experts=2), IMAGES, 0),
        (CausalConv, IMAGES[:, 0], 0),
        (WeightNormConv, IMAGES[:, 0], 0),
        (Squared, IMAGES, 3),  # not linear in its kernel
    ],
)
def test_kinds_of_convolutions(conv, images, unfolded, x64):
    sizes = images.shape[1:-1]
    net, variables = tiny(Basic, conv=conv, image_size=sizes)
    assert len(check_same(net, variables, images).norm.scaled) == unfolded


def test_a_folded_net_is_a_net_for_inference():
    net = recipe.small("cifar_wrn16_4", 1, 2)
    variables = jax.tree.map(jnp.asarray, recipe.variables(net))
    folded, its_variables = fold_norms(net, variables)
    x = jnp.ones((2, 8, 8, 3))
    assert jax.tree.map(jnp.shape, shapes(folded, 8).variables) == jax.tree.map(jnp.shape, its_variables)
    assert all(isinstance(array, jax.Array) for array in jax.tree.leaves(its_variables))
    assert pickle.loads(pickle.dumps(folded)) == folded and folded.registry_name == net.registry_name
    assert fold_norms(folded, its_variables) == (folded, its_variables)
    for frozen in ((), ("all",)):
        again, _ = fold_norms(net.clone(frozen_norms=frozen), variables)
        with pytest.raises(ValueError, match=REFUSED):
            again.apply(its_variables, x, train=True)

    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            return folded.clone(name="inner")(x, train=False).logits

    logits = jax.jit(partial(folded.apply, train=False))(its_variables, x).logits
    outer = jax.jit(Outer().apply)({"params": {"inner": its_variables["params"]}}, x)
    np.testing.assert_array_equal(outer, logits)


def test_the_kernels_decide_the_rank_of_the_example():
    net = recipe.small("resnet18", 1, 1)
    variables = recipe.variables(net.clone(image_size=(64,)))
    assert fold_norms(net, variables, (64,))[0].norm.scaled == ()
    with pytest.raises(ValueError, match=r"^expected \[N, L, C\], which the parameters of stem/conv are for"):
        fold_norms(net, variables)


SEGMENTERS = ["deeplabv3", "deeplabv3plus", "fcn", "pspnet", "unet", "upernet"]
ONE_STAGE = {"topk_candidates": 20, "detections_per_img": 5, "fpn_features": 32, "head_depth": 1, "score_thresh": 0.0}


def backbone():
    """With frozen norms of another epsilon, as in old weights of detectors."""
    return recipe.small("resnet18", 1, 3, norm=Partial(BatchNorm, epsilon=1e-3), frozen_norms="all")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SEGMENTERS, "retinanet", "fcos"])
def test_segmenters_and_detectors_have_the_same_outputs_and_no_norm_keeps_a_scale(name, x64):
    levels = {"levels": ("stage2", "stage3", "p6"), **ONE_STAGE}
    net = create_model(name, backbone=backbone(), num_classes=4, **({} if name in SEGMENTERS else levels))
    images = np.random.default_rng(0).standard_normal((2, 64, 64, 3))
    folded = check_both_types(net, recipe.variables(net, np.float64), images)
    assert folded.norm.scaled == ()
    assert folded.backbone.norm == folded.norm


@pytest.mark.slow
@pytest.mark.parametrize("name", ["maskrcnn", "maskrcnn_v2"])
def test_mask_rcnn_has_the_same_detections_and_no_norm_keeps_a_scale(name, x64):
    net, variables = small_rcnn.model(name), small_rcnn.variables(name)
    folded = check_same(net, variables, np.random.default_rng(0).standard_normal((1, 96, 96, 3)))
    assert folded.norm.scaled == ()
    with pytest.raises(ValueError, match=REFUSED):
        folded.backbone.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=True)


def test_the_backbone_of_a_folded_net_is_folded(x64):
    backbone = recipe.small("cifar_wrn16_4", 1, 2, **FLOAT64)
    net = create_model("unet", backbone=backbone, num_classes=2, decoder_features=(4, 4))
    folded, variables = fold_norms(net, recipe.variables(net, np.float64))
    x = np.random.default_rng(0).standard_normal((1, 8, 8, 3))
    maps = outputs(folded, variables, x).features
    alone = outputs(folded.backbone, {"params": variables["params"]["backbone"]}, x).features
    assert error(maps, {name: alone[name] for name in maps}) < 1e-12


def test_a_folded_net_takes_lengths(x64):
    net = recipe.small("tsc_resnet", 1, 2, **FLOAT64)
    variables = recipe.variables(net, np.float64)
    x = np.random.default_rng(0).standard_normal((2, 12, 1))
    logits = [
        jax.jit(partial(model.apply, train=False, lengths=np.array([5, 12])))(arrays, x).logits
        for model, arrays in ((net, variables), fold_norms(net, variables))
    ]
    assert error(*logits) < 1e-12


def test_a_folded_skipnet_skips(x64):
    net = recipe.small("cifar_skipnet38", 1, 1, skipping=True, **FLOAT64)
    folded = check_same(net, recipe.variables(net, np.float64), np.random.default_rng(0).standard_normal((3, 8, 8, 3)))
    assert folded.norm.scaled == ()


def test_a_folded_net_is_exported():
    folded, variables = fold_norms(*tiny(Basic, dtype=np.float32, param_dtype=np.float32))
    shape = jax.ShapeDtypeStruct((*export.symbolic_shape("n, h, w"), 3), np.float32)
    program = export.export(jax.jit(partial(folded.apply, train=False)))(variables, shape)
    assert [x.shape[-1] for x in program.out_avals] == [3, 8, 8, 8]


def test_wrong_variables_are_refused_before_and_after():
    """Flax's errors are neither ValueErrors nor TypeErrors, and the old variables would give other numbers."""
    net, x = create_model("cifar_resnet8"), jnp.zeros((1, 32, 32, 3))
    variables = jax.tree.map(lambda array: np.zeros(array.shape, array.dtype), shapes(net, 32).variables)
    for wrong in (None, [1, 2], "x", {"params": "x"}, jax.tree.map(lambda _: 3, variables), shapes(net, 32).variables):
        with pytest.raises(TypeError, match="expected variables of a net, a dict of arrays as of model.init, got "):
            fold_norms(net, wrong)
    for wrong in ({}, variables["params"], {"params": variables["params"]}):
        with pytest.raises(
            ValueError, match="variables: expected those of this net, got others: .*collection is empty"
        ):
            fold_norms(net, wrong)
    with pytest.raises(ValueError, match=r"got others: .*/stem/conv.*\(7, 7, 3, 64\)"):
        fold_norms("resnet18", variables)
    folded, new = fold_norms(net, variables)
    folded.apply(new, x, train=False)
    with pytest.raises(ValueError, match="expected those that fold_norms returns, got some with batch_stats"):
        folded.apply(variables, x, train=False)
