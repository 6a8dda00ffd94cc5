import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from box_cases import CODE_WEIGHTS, FILE, codings, matchings, random_boxes
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax.ops.boxes import (
    box_iou,
    clip_boxes,
    decode_boxes,
    decode_distances,
    encode_boxes,
    encode_distances,
    match,
)


@pytest.fixture(scope="module")
def expected():
    with np.load(FILE) as file:
        return dict(file)


def test_codes_equal_torchvision_and_are_inverted(x64, strict_dtypes, expected):
    boxes, anchors, codes = map(jnp.asarray, codings())
    results = {
        "encode": encode_boxes(boxes, anchors, CODE_WEIGHTS),
        "decode": decode_boxes(codes, anchors, CODE_WEIGHTS),
        "encode_distances": encode_distances(boxes, anchors),
        "decode_distances": decode_distances(codes, anchors),
    }
    for name, result in results.items():
        np.testing.assert_allclose(result, expected[name], rtol=1e-12, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(decode_boxes(results["encode"], anchors, CODE_WEIGHTS), boxes, atol=1e-12)
    np.testing.assert_allclose(decode_distances(results["encode_distances"], anchors), boxes, atol=1e-12)


def test_scales_are_clipped_and_codes_of_padding_finite():
    anchor = jnp.asarray([[0, 0, 16, 32]], jnp.float32)
    corners = decode_boxes(jnp.asarray([[0, 0, 99, 4.0]]), anchor)[0]
    np.testing.assert_allclose(corners[2:] - corners[:2], [1000, 32 * np.exp(4)], rtol=1e-5)
    assert jnp.isfinite(encode_boxes(jnp.zeros((1, 4)), anchor)).all()
    assert jnp.isfinite(encode_boxes(anchor, jnp.zeros((1, 4)))).all()


def test_clipping_takes_height_and_width_traced_or_not():
    boxes = jnp.asarray([[-3, -2, 50, 60], [5, 6, 7, 8]], jnp.float32)
    assert clip_boxes(boxes, (20, 30)).tolist() == [[0, 0, 30, 20], [5, 6, 7, 8]]
    sizes = jnp.asarray([[20, 30], [4, 6]])
    assert jax.vmap(clip_boxes, (None, 0))(boxes, sizes)[1].tolist() == [[0, 0, 6, 4], [5, 4, 6, 4]]


def test_matches_equal_torchvision(x64, expected):
    """Invalid boxes with the highest overlaps follow the valid ones."""
    run = jax.jit(lambda *args: match(box_iou(*args[:2]), *args[2:]), static_argnums=(3, 4, 5))
    for name, (truths, anchors, options) in matchings():
        padded = np.concatenate([truths, anchors[:3]])
        result = run(padded, anchors, np.arange(len(padded)) < len(truths), *options)
        assert result.dtype == jnp.int32
        np.testing.assert_array_equal(result, expected[name], name)


def assign(iou, valid, high, low, allow_low_quality):
    """The definition, anchor by anchor."""
    boxes, matches = np.flatnonzero(valid), []
    for column in iou.T:
        if not len(boxes):
            matches.append(-1)
            continue
        best = max(boxes, key=lambda box: column[box])
        is_best = any(column[box] == iou[box].max() for box in boxes)
        if column[best] >= high or (allow_low_quality and is_best):
            matches.append(best)
        else:
            matches.append(-1 if column[best] < low else -2)
    return matches


run_match = {
    low_quality: jax.jit(partial(match, high=0.5, low=0.25, allow_low_quality=low_quality)) for low_quality in (0, 1)
}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_matches_are_as_defined_with_ties(seed, low_quality):
    rng = np.random.default_rng(seed)
    iou, valid = rng.integers(0, 5, (4, 9)).astype(np.float32) / 4, rng.random(4) < 0.6
    result = run_match[low_quality](iou, valid)
    np.testing.assert_array_equal(result, assign(iou, valid, 0.5, 0.25, low_quality))


def test_random_boxes_of_the_cases_are_proper():
    boxes = random_boxes(np.random.default_rng(0), 50, np.float32, 30, 40, grid=5)
    assert (boxes[:, 2:] >= boxes[:, :2]).all() and (boxes % 5 == 0).all() and boxes[:, 2].max() == 40


@pytest.mark.parity
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_cases_equal_torchvision_in_optimised_programs(tmp_path, seed):
    """The tests of `ops/boxes.py` again. The suite's programs are not optimised: no product is contracted in them."""
    pytest.importorskip("torchvision")
    root = Path(__file__).parents[2]
    environment = os.environ | {
        "BOX_CASES_SEED": str(seed),
        "BOX_CASES_FILE": str(tmp_path / "boxes.npz"),
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests" / "helpers")]),
        "XLA_FLAGS": "--xla_backend_optimization_level=3",
    }
    run = [sys.executable, root / "tests" / "helpers" / "box_cases.py"]
    subprocess.run(run, env=environment, check=True)
    names = ("nms", "iou", "boxes", "anchors", "roi_align", "paste", "resize")
    files = [root / "tests" / "ops" / f"test_{name}.py" for name in names]
    tests = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", *files]
    result = subprocess.run(tests, env=environment, capture_output=True, text=True, cwd=root)
    assert result.returncode == 0, result.stdout
