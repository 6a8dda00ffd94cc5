"""Resizing and cropping."""

import io
import math
import time

import evaluation_crops
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resnet_jax.images import crops as module
from resnet_jax.images.crops import (
    centre_crop,
    eval_crop,
    fitted_size,
    on_canvas,
    random_resized_crop,
    read_random_crop,
    resized,
    shrunk,
)
from resnet_jax.images.decoding import pixels, read_image
from resnet_jax.models.published import match

COLOUR = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


NAMES = dict(evaluation_crops.preprocesses())


@pytest.fixture(scope="module")
def library_crops():
    with np.load(evaluation_crops.FILE) as stored:
        return dict(stored)


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_sees_what_timms_and_torchvisions_transforms_make(name, library_crops):
    """Portraits, landscapes, sides of a pixel and images smaller than the crop, to one level."""
    assert library_crops.keys() == NAMES.keys()
    for shape, expected in zip(evaluation_crops.SHAPES, library_crops[name], strict=True):
        crop = NAMES[name].image(evaluation_crops.picture(*shape))
        np.testing.assert_allclose(crop.astype(int), expected, atol=1, err_msg=str(shape))


@pytest.mark.parity
def test_the_library_crops_are_those_of_the_libraries(library_crops):
    pytest.importorskip("timm")
    for name, crops in evaluation_crops.library_crops().items():
        np.testing.assert_allclose(library_crops[name].astype(int), crops, atol=1, err_msg=name)


@pytest.mark.parity
def test_published_weights_see_what_the_libraries_transforms_make():
    """All published preprocessings, each once, at their sizes, normalised."""
    timm, models = pytest.importorskip("timm"), pytest.importorskip("torchvision.models")
    seen = set()
    for row in match():
        preprocess = row.preprocess
        if (preprocess, row.source) in seen or "fpn" in row.model:  # torchvision's detectors resize inside of the net
            continue
        seen.add((preprocess, row.source))
        if row.source == "timm":
            config = timm.models.get_pretrained_cfg(f"{row.model}.{row.tag}").to_dict()
            transform = timm.data.create_transform(
                **timm.data.resolve_data_config(pretrained_cfg=config, use_test_size=True)
            )
        else:
            transform = models.get_model_weights(row.model)[row.tag].transforms()
        for shape in ((375, 500), (301, 200)):
            picture = evaluation_crops.picture(*shape)
            expected = transform(picture).numpy().transpose(1, 2, 0)
            level = 1 / (255 * min(preprocess.std))
            images, ((height, width),) = preprocess.batch_and_sizes([picture])
            image = images[0, :height, :width]
            np.testing.assert_allclose(image, expected, atol=level + 1e-5, err_msg=row.name)
    assert len(seen) > 30


@pytest.mark.parametrize("size", [(255, 1), (1, 3000), (333, 2)])
def test_the_crop_of_a_strip_is_that_of_the_whole(size):
    """To the two levels that the place of the crop costs, which Pillow has in single precision."""
    width, height = size
    image = evaluation_crops.picture(height, width)
    crop = centre_crop(image, resize=40, size=32, interpolation="bicubic")
    np.testing.assert_allclose(crop.astype(int), torchvision_eval(image, 40, 32, "bicubic"), atol=2)


def test_a_smaller_image_lies_on_black_or_on_the_mean():
    image = Image.new("RGB", (9, 6), (10, 20, 30))
    crop = eval_crop(image, resize=5, size=8)  # 7 x 5 in 8 x 8
    assert crop[0].max() == crop[:, 7].max() == 0 and (crop[1:6, :7] == (10, 20, 30)).all()
    crop = eval_crop(image, resize=6, size=6, mode="border", fill=(1, 2, 3))
    assert (crop[[0, 5]] == (1, 2, 3)).all() and (crop[1:5] == (10, 20, 30)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "squish"}, "expected a crop mode, got 'squish'; did you mean squash"),
        ({"interpolation": "cubic"}, "expected an interpolation, got 'cubic'; did you mean bicubic"),
    ],
)
def test_an_unknown_mode_or_interpolation_is_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        eval_crop(Image.new("L", (9, 6)), resize=8, size=8, **options)


def torchvision_eval(image, resize, size, interpolation):
    """Resize(resize) and CenterCrop(size) by torchvision's documented formulas, for resize >= size."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    new_short, new_long = resize, int(resize * long / short)
    new = (new_short, new_long) if width <= height else (new_long, new_short)
    array = np.asarray(image.resize(new, getattr(Image.Resampling, interpolation.upper())))
    top, left = int(round((new[1] - size) / 2.0)), int(round((new[0] - size) / 2.0))
    return array[top : top + size, left : left + size]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@settings(deadline=None, max_examples=60)
@given(
    width=st.integers(1, 60),
    height=st.integers(1, 60),
    size=st.integers(1, 40),
    more=st.integers(0, 9),
    grey=st.booleans(),
)
def test_the_centre_crop_is_torchvisions(interpolation, width, height, size, more, grey):
    """Up and down, even and odd, to the bit."""
    array = np.random.default_rng((width, height)).integers(0, 256, (height, width, 3), np.uint8)
    image = Image.fromarray(array[..., 0] if grey else array)
    got = centre_crop(image, resize=size + more, size=size, interpolation=interpolation)
    assert got.shape == (size, size, 1 if grey else 3) and got.dtype == np.uint8
    expected = torchvision_eval(image, size + more, size, interpolation)
    np.testing.assert_array_equal(got[..., 0] if grey else got, expected)


def test_an_image_of_the_size_is_not_resampled():
    np.testing.assert_array_equal(centre_crop(Image.fromarray(COLOUR), resize=6, size=6), COLOUR[:, 2:8])


def test_the_middle_of_a_strip_needs_little_memory():
    """Its longer side would be 13 million pixels once the shorter is 200."""
    strip = np.zeros((1, 65501), np.uint8)
    strip[0, 32750] = 200
    start = time.perf_counter()
    crop = centre_crop(Image.fromarray(strip), resize=200, size=200)
    assert time.perf_counter() - start < 1
    assert crop.shape == (200, 200, 1) and crop[:, 50:150].min() > 90


def box_of(image, box):
    left, top, width, height = box
    return np.asarray(image)[top : top + height, left : left + width]


def reference_box(width, height, rng, area, ratio):
    """RandomResizedCrop.get_params, line by line, with our generator for torch's."""
    for _ in range(10):
        target_area = height * width * rng.uniform(*area)
        aspect_ratio = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w = int(round(math.sqrt(target_area * aspect_ratio)))
        h = int(round(math.sqrt(target_area / aspect_ratio)))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            return left, top, w, h
    in_ratio = width / height
    if in_ratio < min(ratio):
        w, h = width, int(round(width / min(ratio)))
    elif in_ratio > max(ratio):
        w, h = int(round(height * max(ratio))), height
    else:
        w, h = width, height
    return (width - w) // 2, (height - h) // 2, w, h


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@settings(deadline=None, max_examples=60)
@given(width=st.integers(2, 90), height=st.integers(2, 90), seed=st.integers(0, 2**32), grey=st.booleans())
def test_the_random_crop_is_torchvisions_cut_out_and_then_resized(interpolation, width, height, seed, grey):
    array = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    image = Image.fromarray(array[..., 0] if grey else array)
    got = random_resized_crop(image, size=17, rng=np.random.default_rng(seed), interpolation=interpolation)
    box = reference_box(width, height, np.random.default_rng(seed), (0.08, 1.0), (3 / 4, 4 / 3))
    cut = Image.fromarray(box_of(image, box)).resize((17, 17), getattr(Image.Resampling, interpolation.upper()))
    np.testing.assert_array_equal(got, pixels(cut))


def crops(width, height, count, **options):
    """The boxes (left, top, right, bottom) of random crops."""
    boxes = []
    image = Placed(Image.new("L", (width, height)), boxes)
    for seed in range(count):
        random_resized_crop(image, size=4, rng=np.random.default_rng(seed), **options)
    return np.array(boxes)


class Placed:
    """An image that notes what is cut out of it."""

    def __init__(self, image, boxes):
        self.image, self.boxes, self.width, self.height = image, boxes, *image.size

    def crop(self, box):
        self.boxes.append(box)
        return self.image.crop(box)


def test_areas_and_ratios_of_random_crops_are_spread_as_asked():
    left, top, right, bottom = crops(400, 400, 3000, crop_area=(0.1, 0.5)).T
    width, height = right - left, bottom - top
    assert left.min() >= 0 and top.min() >= 0 and right.max() <= 400 and bottom.max() <= 400
    share, ratio = width * height / 400**2, np.log(width / height)
    edge = math.log(4 / 3)
    slack = 0.01  # sides are whole pixels
    assert 0.1 - slack < share.min() < 0.11 and 0.49 < share.max() < 0.5 + slack
    assert -edge - slack < ratio.min() < -edge + 2 * slack and edge - 2 * slack < ratio.max() < edge + slack
    # Every square of this size fits, so nothing is sampled twice: both are uniform and independent.
    for values, low, high in ((share, 0.1, 0.5), (ratio, -edge, edge)):
        counts = np.histogram(values, np.linspace(low, high, 9)[1:-1])[0]
        assert (abs(counts - 375) < 5 * math.sqrt(375)).all()
    assert abs(np.corrcoef(share, ratio)[0, 1]) < 0.08
    free = 400 - width
    assert abs((left[free > 0] / free[free > 0]).mean() - 0.5) < 0.03


@pytest.mark.parametrize(
    "size, expected", [((1000, 10), (493, 0, 506, 10)), ((10, 1000), (0, 493, 10, 506)), ((1, 900), (0, 449, 1, 450))]
)
def test_where_no_crop_fits_it_is_the_middle_one_of_an_allowed_ratio(size, expected):
    boxes = crops(*size, 20, crop_area=(0.9, 1.0))
    np.testing.assert_array_equal(boxes, np.broadcast_to(expected, boxes.shape))


def test_an_image_lies_at_the_top_left_of_its_canvas():
    """The shorter side has `shorter` pixels, or the longer one fills the canvas."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))
    for shorter, size in ((12, (12, 16)), (40, (30, 40)), (30, (30, 40)), (29, (29, 38))):
        array, fitted = on_canvas(image, shorter=shorter, canvas=40, fill=(1, 2, 3))
        assert fitted == size and array.shape == (40, 40, 3)
        np.testing.assert_array_equal(array[: size[0], : size[1]], image.resize(size[::-1], Image.Resampling.BILINEAR))
        assert (array[size[0] :] == (1, 2, 3)).all() and (array[:, size[1] :] == (1, 2, 3)).all()
        np.testing.assert_array_equal(eval_crop(image, resize=shorter, size=40, mode="pad", fill=(1, 2, 3)), array)
    assert fitted_size(1, 1000, shorter=32, canvas=64) == (1, 64)


@pytest.mark.parity
def test_sizes_on_the_canvas_are_torchvisions():
    transform = pytest.importorskip("torchvision.models.detection.transform")
    torch = pytest.importorskip("torch")
    resize = transform.GeneralizedRCNNTransform(40, 66, [0.0] * 3, [1.0] * 3).resize
    for height, width in ((480, 640), (427, 640), (37, 41), (33, 90), (91, 30), (40, 66), (7, 3)):
        expected = resize(torch.zeros(3, height, width), None)[0].shape[1:]
        assert fitted_size(height, width, shorter=40, canvas=66) == tuple(expected), (height, width)


# Crops that are read: of pixels only the crop, of a JPEG a half, a quarter or an eighth of its size.


def jpeg(width, height, **options):
    """A smooth picture with texture, quality 90."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 60 * np.sin(x / (29 + c)) * np.cos(y / (33 - c)) + 30 * np.sin((x + y) / 40) for c in range(3)]
    Image.fromarray(np.stack(waves, -1).astype(np.uint8)).save(buffer := io.BytesIO(), "jpeg", quality=90, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(40, 60, 3), (50, 30, 1), (33, 20, 4)])
def test_of_pixels_the_same_crop_is_read_as_of_the_whole_picture(shape):
    array = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    for seed in range(5):
        whole = random_resized_crop(read_image(array, "x", 3), size=16, rng=np.random.default_rng(seed))
        part = read_random_crop(array, "x", 3, size=16, rng=np.random.default_rng(seed))
        np.testing.assert_array_equal(pixels(part), whole)


def test_by_default_a_jpeg_is_decoded_fully():
    data = jpeg(400, 300)
    for seed in range(3):
        whole = random_resized_crop(read_image(data, "x"), size=16, rng=np.random.default_rng(seed))
        crop = read_random_crop(data, "x", None, size=16, rng=np.random.default_rng(seed))
        np.testing.assert_array_equal(pixels(crop), whole)


@pytest.mark.parametrize("orientation", [1, 6])
def test_scaled_decoding_has_the_same_crops_of_almost_the_same_pixels(orientation, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data, scales = jpeg(803, 598, exif=exif), []
    original = module.read_image
    monkeypatch.setattr(module, "read_image", lambda *a, scale=1: (scales.append(scale), original(*a, scale=scale))[1])
    for seed in range(12):
        generators = [np.random.default_rng(seed) for _ in range(2)]
        whole, scaled = (
            pixels(read_random_crop(data, "x", 3, size=48, rng=rng, is_scaled=is_scaled)).astype(float)
            for rng, is_scaled in zip(generators, (False, True), strict=True)
        )
        assert generators[0].random() == generators[1].random()  # the same numbers were sampled
        assert abs(whole - scaled).mean() < 3 and abs(whole.mean() - scaled.mean()) < 0.5
        shifted = abs(whole[:, 1:] - scaled[:, :-1]).mean()
        assert shifted > 2 * abs(whole - scaled).mean()  # a pixel of a crop is more than they differ by
    assert {4, 8} <= {*scales}


def test_scaled_decoding_is_for_jpegs_that_are_much_larger_than_the_crop():
    assert [module.decoding_scale(side, 224) for side in (447, 448, 895, 896, 1792)] == [1, 2, 2, 4, 8]
    small, png = jpeg(40, 30), io.BytesIO()
    Image.open(io.BytesIO(jpeg(400, 300))).save(png, "png")
    for data, size in ((small, 24), (png.getvalue(), 24)):
        for seed in range(4):
            crop, scaled = (
                read_random_crop(data, "x", 3, size=size, rng=np.random.default_rng(seed), is_scaled=is_scaled)
                for is_scaled in (False, True)
            )
            np.testing.assert_array_equal(pixels(crop), pixels(scaled))


@pytest.mark.parametrize("orientation", [*range(1, 9), (6, 6)])
def test_scaled_decoding_of_turned_images_has_the_same_crops(orientation):
    """Sides of 801 x 601 pixels are rounded up to whole decoded pixels; blocks with sharp edges show the shift."""
    blocks = np.random.default_rng(0).integers(0, 256, (38, 51, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(blocks.repeat(16, 0).repeat(16, 1)[:601, :801])
    image.save(buffer := io.BytesIO(), "jpeg", quality=95, exif=exif)
    for seed in range(4):
        whole, scaled = (
            pixels(read_random_crop(buffer.getvalue(), "x", 3, size=48, rng=np.random.default_rng(seed), is_scaled=one))
            for one in (False, True)
        )
        assert abs(whole.astype(float) - scaled).mean() < 8  # 15 to 37 with the shift


@pytest.mark.parametrize(("side", "size"), [(73, 8), (33, 4), (25, 3), (9, 1), (21, 5)])
def test_scaled_decoding_of_small_sides_stays_inside_the_image(side, size):
    """A side of 73 pixels is 10 at an eighth: the ratio of the sides is nearer to 7."""
    Image.new("RGB", (side, side), "white").save(buffer := io.BytesIO(), "jpeg")
    for seed in range(4):
        options = {"size": size, "rng": np.random.default_rng(seed), "crop_area": (0.9, 1.0), "is_scaled": True}
        assert pixels(read_random_crop(buffer.getvalue(), "x", 3, **options)).min() > 250  # nothing black from outside


def test_images_are_shrunk_and_never_enlarged():
    image = read_image(jpeg(60, 40), "x")
    assert shrunk(image, 40) is image and shrunk(image, 50) is image
    assert shrunk(image, 20).size == (30, 20)
    np.testing.assert_array_equal(pixels(shrunk(image, 20)), pixels(resized(image, 20)))
