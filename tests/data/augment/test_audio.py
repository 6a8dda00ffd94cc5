"""Augmentation of waveforms and spectrograms."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from resnet_jax import create_model
from resnet_jax.data.augment.audio import (
    POLICIES,
    SpecAugment,
    add_noise,
    make_audio_augment,
    mix_at_ratio,
    mixup,
    shift_time,
)
from resnet_jax.ops.spectrogram import MelSettings, frame_count, log_mel, mfcc

KEY = jax.random.key(5)
INDEX = jnp.arange(64)
RNG = np.random.default_rng(0)
SOUNDS = jnp.asarray(RNG.uniform(-1, 1, (64, 30, 1)), jnp.float32)
LENGTHS = jnp.asarray(RNG.integers(5, 31, 64))
NOISES = jnp.asarray(RNG.uniform(-1, 1, (3, 17, 1)), jnp.float32)
SETTINGS = MelSettings(sample_rate=8000, fft_size=16, hop=4, bands=5, coefficients=4)
shift = jax.jit(shift_time, static_argnums=1)
noisy = jax.jit(add_noise, static_argnums=2, static_argnames="probability")
at_ratio = jax.jit(mix_at_ratio)


def masked_by(policy, x, index=INDEX, lengths=None, fill=0.0):
    return jax.jit(lambda x: policy(x, KEY, index, lengths, fill=fill))(x)


def offset(moved, whole, most):
    """By how much `whole` [L] was moved."""
    padded = np.pad(whole, most)
    (start,) = (s for s in range(2 * most + 1) if (padded[s : s + len(whole)] == moved).all())
    return most - start


def test_shifts_are_every_offset_and_zeros_come_in():
    moved = np.asarray(shift(SOUNDS, 3, KEY, INDEX))
    offsets = {offset(moved[i, :, 0], np.asarray(SOUNDS)[i, :, 0], 3) for i in range(64)}
    assert offsets == set(range(-3, 4))


def test_shifts_stay_inside_the_length():
    hidden = jnp.where(jnp.arange(30)[None, :, None] < LENGTHS[:, None, None], SOUNDS, jnp.nan)
    moved = np.asarray(shift(hidden, 3, KEY, INDEX, LENGTHS))[..., 0]
    for i, length in enumerate(np.asarray(LENGTHS)):
        offset(moved[i, :length], np.asarray(SOUNDS)[i, :length, 0], 3)
        assert (moved[i, length:] == 0).all()


def decibels(signal, noise):
    return 10 * np.log10((np.asarray(signal) ** 2).sum((1, 2)) / (np.asarray(noise) ** 2).sum((1, 2)))


def test_noise_has_the_ratio_and_is_a_part_of_a_noise():
    added = np.asarray(noisy(SOUNDS, NOISES, (-5.0, 15.0), KEY, INDEX) - SOUNDS)
    ratios = decibels(SOUNDS, added)
    assert -5 <= ratios.min() < -3 and 13 < ratios.max() <= 15.001
    parts = {}
    for noise in range(3):
        for start in range(17):
            part = np.asarray(NOISES)[noise, (start + np.arange(30)) % 17, 0]
            parts[noise, start] = part / np.linalg.norm(part)
    places = set()
    for part in added[..., 0]:
        distances = {place: np.abs(part / np.linalg.norm(part) - other).max() for place, other in parts.items()}
        best = min(distances, key=distances.get)
        assert distances[best] < 1e-4
        places.add(best)
    assert len({noise for noise, _ in places}) == 3 and len({start for _, start in places}) > 10


def test_noise_comes_with_its_probability():
    changed = np.asarray(noisy(SOUNDS, NOISES, (0.0, 0.0), KEY, INDEX, probability=0.5) != SOUNDS).any((1, 2))
    assert 16 < changed.sum() < 48


def test_the_ratio_is_that_of_the_length():
    noise, ratio = SOUNDS[::-1], jnp.linspace(-10, 30, 64)
    mixed = at_ratio(SOUNDS, noise, ratio, LENGTHS)
    inside = np.arange(30)[None, :, None] < np.asarray(LENGTHS)[:, None, None]
    assert (np.asarray(mixed)[~inside] == 0).all()
    signal = np.where(inside, SOUNDS, 0)
    np.testing.assert_allclose(decibels(signal, mixed - signal), ratio, atol=1e-2)


@pytest.mark.parity
def test_mixtures_are_those_of_torchaudio():
    torchaudio, torch = pytest.importorskip("torchaudio"), pytest.importorskip("torch")
    ratio = np.linspace(-10, 30, 64).astype(np.float32)
    signal, noise, lengths = (torch.from_numpy(np.array(x)) for x in (SOUNDS[..., 0], SOUNDS[::-1, :, 0], LENGTHS))
    expected = torchaudio.functional.add_noise(signal, noise, torch.from_numpy(ratio), lengths).numpy()
    inside = np.arange(30)[None] < np.asarray(LENGTHS)[:, None]
    mixed = mix_at_ratio(SOUNDS, SOUNDS[::-1], jnp.asarray(ratio), LENGTHS)[..., 0]
    np.testing.assert_allclose(np.where(inside, mixed, 0), np.where(inside, expected, 0), atol=1e-5)


def test_silence_stays_silent_and_silent_noise_adds_nothing():
    zeros = jnp.zeros_like(SOUNDS)
    np.testing.assert_array_equal(noisy(zeros, NOISES, (0.0, 5.0), KEY, INDEX), zeros)
    np.testing.assert_array_equal(noisy(SOUNDS, jnp.zeros((1, 9, 1)), (0.0, 5.0), KEY, INDEX), SOUNDS)


def test_wrong_noises_are_named():
    for noises in (jnp.zeros((3, 17)), jnp.zeros((3, 17, 2)), jnp.zeros((0, 17, 1))):
        with pytest.raises(ValueError, match=r"expected noises \[M, K, 1\] or \[M, K, 1\], got "):
            add_noise(SOUNDS, noises, (0.0, 5.0), KEY, INDEX)


# SpecAugment.


def runs(flags):
    """Lengths of the runs of true values."""
    edges = np.diff(np.concatenate([[0], flags.astype(int), [0]]))
    return (np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)).tolist()


def masked_axes(masked):
    """Of [T, B], which frames and which bands are masked as a whole; nothing else is."""
    frames, bands = masked.all(1), masked.all(0)
    np.testing.assert_array_equal(masked, frames[:, None] | bands[None])
    return frames, bands


def test_masks_are_whole_bands_and_frames_within_their_limits():
    masked = np.asarray(
        masked_by(SpecAugment(1, 3, 1, 5), jnp.ones((1024, 20, 8, 2)), jnp.arange(1024), fill=-4.0) == -4.0
    )
    assert (masked[..., 0] == masked[..., 1]).all()
    widths, starts = {"frames": [], "bands": []}, {"frames": set(), "bands": set()}
    for example in masked[..., 0]:
        for name, flags in zip(("frames", "bands"), masked_axes(example), strict=True):
            widths[name].append(sum(runs(flags)))
            starts[name].update(np.flatnonzero(flags)[:1])
            assert len(runs(flags)) <= 1
    assert set(widths["frames"]) == set(range(6)) and set(widths["bands"]) == set(range(4))
    assert abs(np.mean(widths["frames"]) - 2.5) < 0.25 and abs(np.mean(widths["bands"]) - 1.5) < 0.2
    assert starts["frames"] == set(range(20)) and starts["bands"] == set(range(8))


def test_masks_are_as_many_as_the_policy_says():
    masked = np.asarray(masked_by(SpecAugment(2, 2, 3, 2), jnp.ones((64, 40, 20, 1))) == 0)
    axes = [masked_axes(example) for example in masked[..., 0]]
    assert max(len(runs(frames)) for frames, _ in axes) == 3 and max(len(runs(bands)) for _, bands in axes) == 2


def test_masks_cover_at_most_their_share_of_the_length():
    lengths = jnp.asarray(RNG.integers(0, 41, 64))
    x = jnp.where(jnp.arange(40)[None, :, None, None] < lengths[:, None, None, None], 1.0, 0.0) * jnp.ones((1, 1, 3, 1))
    masked = np.asarray(masked_by(SpecAugment(0, 0, 1, 40, 0.3), x, INDEX, lengths, -4.0) == -4.0)[:, :, 0, 0]
    counts = np.asarray(lengths)
    assert (masked.sum(1) <= np.floor(0.3 * counts)).all() and masked.sum(1).max() > 5
    assert not masked[np.arange(40)[None] >= counts[:, None]].any()


def test_policies_are_those_of_the_paper():
    assert POLICIES["LD"] == SpecAugment(2, 27, 2, 100, 1.0) and POLICIES["SM"] == SpecAugment(2, 15, 2, 70, 0.2)
    x = masked_by(POLICIES["LD"], jnp.ones((4, 30, 20, 1)), INDEX[:4])  # limits above the size
    assert x.shape == (4, 30, 20, 1) and 0 < x.mean() < 1


# Mixing, and all of them.


def test_mixup_mixes_pairs_and_their_labels():
    labels = jnp.arange(64) % 3
    batch = {"image": SOUNDS, "label": labels, "index": INDEX, "mask": jnp.ones(64).at[6].set(0), "lengths": LENGTHS}
    mixed = jax.jit(mixup, static_argnames=("alpha", "num_classes"))(batch, KEY, alpha=0.4, num_classes=3)
    pairs = np.arange(64) ^ 1
    shares = np.asarray(mixed["label"])[np.arange(64), labels]
    shares = np.where(labels == labels[pairs], np.nan, shares)[:, None, None]
    expected = np.array(shares * SOUNDS + (1 - shares) * SOUNDS[pairs])
    expected[6:8] = SOUNDS[6:8]  # a pair with an example that fills up the batch
    known = np.isfinite(expected).all((1, 2))
    assert known.sum() > 30
    np.testing.assert_allclose(mixed["image"][known], expected[known], atol=1e-5)
    np.testing.assert_allclose(mixed["label"].sum(1), 1, atol=1e-6)
    longest = np.array(jnp.maximum(LENGTHS, LENGTHS[pairs]))
    longest[6:8] = LENGTHS[6:8]
    np.testing.assert_array_equal(mixed["lengths"], longest)
    np.testing.assert_array_equal(mixed["label"][6:8], np.eye(3)[labels[6:8]])
    np.testing.assert_array_equal(mixed["mask"], batch["mask"])
    with pytest.raises(ValueError, match="an even number of examples a device, got 3"):
        mixup({"image": SOUNDS[:3], "mask": jnp.ones(3)}, KEY, alpha=0.4, num_classes=3)


ALL = make_audio_augment(
    shift=4,
    noises=NOISES,
    noise_ratio=(0.0, 10.0),
    noise_probability=0.7,
    settings=SETTINGS,
    masks=SpecAugment(1, 2, 1, 3),
    alpha=0.3,
    num_classes=3,
)
BATCH = {"image": SOUNDS, "label": INDEX % 3, "index": INDEX, "mask": jnp.ones(64), "lengths": LENGTHS}
augment_all = jax.jit(ALL)


def test_samples_follow_the_global_index():
    whole = augment_all(BATCH, KEY)
    order = np.random.default_rng(1).permutation(32)[:, None] * 2 + np.arange(2)[None]  # pairs stay pairs
    shuffled = augment_all({name: x[order.reshape(-1)] for name, x in BATCH.items()}, KEY)
    for name, x in shuffled.items():
        np.testing.assert_array_equal(whole[name][order.reshape(-1)], x, err_msg=name)
    assert (augment_all(BATCH, jax.random.key(6))["image"] != whole["image"]).any()


def test_frames_behind_the_length_stay_zero():
    batch = augment_all(BATCH, KEY)
    pairs = np.arange(64) ^ 1
    np.testing.assert_array_equal(batch["lengths"], frame_count(np.maximum(LENGTHS, LENGTHS[pairs]), SETTINGS))
    behind = np.arange(batch["image"].shape[1])[None] >= np.asarray(batch["lengths"])[:, None]
    assert (np.asarray(batch["image"])[behind] == 0).all() and np.isfinite(batch["image"]).all()


@pytest.mark.parametrize("kind", ["Explicit", "Auto"])
def test_examples_on_several_devices_are_augmented_as_on_one(kind):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType[kind],), devices=jax.devices()[:4])
    sharded = jax.device_put(BATCH, NamedSharding(mesh, PartitionSpec("data")))
    several, one = augment_all(sharded, KEY), augment_all(BATCH, KEY)
    for name, x in one.items():
        np.testing.assert_allclose(several[name], x, rtol=1e-4, atol=1e-3, err_msg=name)


def test_without_options_nothing_changes():
    assert make_audio_augment()(BATCH, KEY) == BATCH
    features = make_audio_augment(settings=SETTINGS, front_end=mfcc)({"image": SOUNDS, "index": INDEX}, KEY)
    np.testing.assert_allclose(features["image"], mfcc(SOUNDS, SETTINGS), atol=1e-4)
    with pytest.raises(ValueError, match="masks: expected settings of spectrograms, got None"):
        make_audio_augment(masks=POLICIES["LD"])


@pytest.mark.parametrize("name, options", [("resnet18", {"in_channels": 1}), ("res8", {})])
def test_nets_take_spectrograms(name, options):
    """Shapes alone: nets of images and of sounds on a second of 40 bands."""
    settings = replace(SETTINGS, fft_size=480, hop=160, bands=40, sample_rate=16000)
    model = create_model(name, num_classes=12, **options)
    sounds = jax.ShapeDtypeStruct((2, 16000, 1), jnp.float32)

    def run(x):
        spectrograms = log_mel(x, settings)
        return spectrograms, model.init_with_output(jax.random.key(0), spectrograms, train=False)[0].logits

    spectrograms, logits = jax.eval_shape(run, sounds)
    assert spectrograms.shape == (2, 101, 40, 1) and logits.shape == (2, 12)
