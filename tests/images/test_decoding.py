import io
import math
import re
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from corrupted_files import IMAGE_KINDS, check_corrupted, check_other_contents, check_traps, encoded_picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resnet_jax.errors import UnreadableImage
from resnet_jax.images.decoding import MAX_PIXELS, MAX_SIDE, image_size, pixels, read_image, read_label_map

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 9, 3), np.uint8)
GREY = COLOUR[..., 0]


def encoded(image, kind="png", **options):
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, kind, **options)
    return buffer.getvalue()


def raw_png(values, size, *, depth, colour):
    """A PNG by its specification, for the kinds that Pillow cannot write and the sizes that it will not."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def read(data, channels=None):
    image = read_image(data, "name", channels)
    assert image.mode in ("L", "RGB")
    return np.asarray(image)


def on_white(colour, alpha):
    """Composited by the definition, in whole levels."""
    share = alpha[..., None] / 255
    return colour * share + 255 * (1 - share)


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff", "ppm", "webp"])
def test_lossless_files_come_back_as_they_were(kind):
    options = {"lossless": True} if kind == "webp" else {}
    np.testing.assert_array_equal(read(encoded(COLOUR, kind, **options)), COLOUR)
    if kind != "webp":  # which has no grey
        np.testing.assert_array_equal(read(encoded(GREY, kind)), GREY)


def test_pixels_pass_and_channels_are_made_on_request():
    np.testing.assert_array_equal(read(COLOUR), COLOUR)
    np.testing.assert_array_equal(read(GREY[..., None]), GREY)
    for image in (GREY[..., None], encoded(GREY)):
        np.testing.assert_array_equal(read(image, channels=3), np.stack([GREY] * 3, -1))
    luma = COLOUR @ [0.299, 0.587, 0.114]
    for image in (COLOUR, encoded(COLOUR)):
        np.testing.assert_allclose(read(image, channels=1), luma, atol=1)
    assert pixels(read_image(encoded(GREY), "name")).shape == (6, 9, 1)


def test_sixteen_bits_keep_their_high_byte():
    grey = RNG.integers(0, 2**16, (6, 9), np.uint16)
    for data in (encoded(grey), encoded(grey, "tiff"), raw_png(grey.astype(">u2"), (9, 6), depth=16, colour=0)):
        np.testing.assert_array_equal(read(data), grey >> 8)
    colour = RNG.integers(0, 2**16, (6, 9, 3), np.uint16)
    np.testing.assert_array_equal(read(raw_png(colour.astype(">u2"), (9, 6), depth=16, colour=2)), colour >> 8)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [2, 4])
def test_transparent_pixels_lie_on_white(depth, channels):
    eight = RNG.integers(0, 256, (6, 9, channels), np.uint8)
    stored = (eight.astype(int) << (depth - 8)).astype(f">u{depth // 8}")
    data = raw_png(stored, (9, 6), depth=depth, colour=4 if channels == 2 else 6)
    expected = on_white(eight[..., :-1], eight[..., -1])
    got = pixels(read_image(data, "name"))
    # Pillow has no 16-bit grey with alpha: such an image comes in three equal channels.
    np.testing.assert_allclose(got, np.broadcast_to(expected, got.shape), atol=1)


def test_palettes_are_colours_and_their_transparent_entry_is_white():
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8))
    image.putpalette([10, 20, 30, 200, 100, 50, 7, 7, 7])
    expected = np.array([[[10, 20, 30], [200, 100, 50]], [[7, 7, 7], [200, 100, 50]]])
    for kind in ("png", "gif"):
        np.testing.assert_array_equal(read(encoded(image, kind)), expected)
        shown = expected.copy()
        shown[:, 1] = 255
        np.testing.assert_array_equal(read(encoded(image, kind, transparency=1)), shown)


def test_a_transparent_colour_is_white():
    seen = COLOUR.copy()
    seen[2, 3] = 255
    np.testing.assert_array_equal(read(encoded(COLOUR, transparency=tuple(map(int, COLOUR[2, 3])))), seen)


def test_one_bit_is_black_and_white():
    bits = RNG.random((6, 9)) < 0.5
    for kind in ("png", "tiff", "pbm"):
        np.testing.assert_array_equal(read(encoded(Image.fromarray(bits), kind.replace("pbm", "ppm"))), bits * 255)


@pytest.mark.parametrize(
    "ink, expected", [((0, 255, 255, 0), (255, 0, 0)), ((0, 0, 0, 255), (0, 0, 0)), ((0,) * 4, 255)]
)
def test_cmyk_jpegs_have_their_colours(ink, expected):
    got = read(encoded(Image.new("CMYK", (8, 8), ink), "jpeg", quality=95))
    np.testing.assert_allclose(got, np.broadcast_to(expected, (8, 8, 3)), atol=3)


def test_progressive_jpegs_are_read_whole():
    smooth = np.asarray(Image.fromarray(COLOUR).resize((64, 48), Image.Resampling.BICUBIC))
    plain, progressive = (encoded(smooth, "jpeg", quality=95, progressive=p) for p in (False, True))
    np.testing.assert_array_equal(read(plain), read(progressive))
    assert abs(read(plain).astype(int) - smooth).mean() < 5


SHOWN = {  # by EXIF's orientation: what a viewer makes of the stored rows and columns
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x, 1),
}


@pytest.mark.parametrize("orientation", SHOWN)
def test_exif_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for image in (COLOUR, GREY, GREY.astype(np.uint16) << 8):
        kinds = ("jpeg", "png") if image.dtype == np.uint8 else ("png",)
        for kind in kinds:
            np.testing.assert_array_equal(
                read(encoded(image, kind, exif=exif)), SHOWN[orientation](read(encoded(image, kind)))
            )


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "mpo"])
def test_of_an_animation_the_first_frame_is_taken(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "webp" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=10, **options)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 3
    np.testing.assert_allclose(read(data), np.broadcast_to((255, 0, 0), (8, 8, 3)), atol=1)  # mpo is lossy


def refused(data, name="folder/dog.png"):
    """The message, one line that begins with the name."""
    with pytest.raises(UnreadableImage) as caught:
        read_image(data, name)
    message = str(caught.value)
    assert message.startswith(f"{name}: ") and "\n" not in message
    return message


def test_the_bytes_decide_what_a_file_is_and_not_its_name():
    np.testing.assert_array_equal(np.asarray(read_image(encoded(COLOUR), "dog.jpg")), COLOUR)
    assert "not an image" in refused(b"Not Found\n" * 20)
    assert "not an image" in refused(b"\0" * 1000)
    assert "empty" in refused(b"")


def test_programs_that_draw_are_not_run():
    """PostScript, which Pillow hands to Ghostscript."""
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n%%EOF\n"
    assert "not an image in a format that is known here" in refused(page)


def test_pixels_of_32_bits_are_refused_by_name():
    assert "has float pixels" in refused(encoded(RNG.random((6, 9)).astype(np.float32), "tiff"))
    assert "has pixels of 32 bits" in refused(encoded(np.full((6, 9), 200, np.int32), "tiff"))  # 200 of how many?


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "size, message",
    [
        ((60000, 60000), "expected at most 134,217,728 pixels, got 3,600,000,000"),
        ((10000, 13500), "got 10,000 x 13,500"),
        ((1, 2**27), "expected sides of at most 65,535 pixels, got 1 x 134,217,728"),
    ],
)
def test_a_small_file_that_claims_a_huge_image_is_refused_at_once(size, message):
    assert math.prod(size) > MAX_PIXELS or max(size) > MAX_SIDE
    start = time.perf_counter()
    assert message in refused(raw_png(GREY, size, depth=8, colour=0))
    assert time.perf_counter() - start < 1


PICTURES = {
    "png": encoded(RNG.integers(0, 256, (40, 50, 3), np.uint8)),
    "palette": encoded(Image.fromarray(RNG.integers(0, 256, (40, 50, 3), np.uint8)).quantize(40)),
    "jpeg": encoded(RNG.integers(0, 256, (40, 50, 3), np.uint8), "jpeg"),
    "progressive": encoded(RNG.integers(0, 256, (40, 50, 3), np.uint8), "jpeg", progressive=True),
    "gif": encoded(RNG.integers(0, 256, (40, 50), np.uint8), "gif"),
    "webp": encoded(RNG.integers(0, 256, (40, 50, 3), np.uint8), "webp"),
    "bmp": encoded(RNG.integers(0, 256, (40, 50, 3), np.uint8), "bmp"),
    "tiff": encoded(RNG.integers(0, 256, (40, 50, 3), np.uint8), "tiff"),
    "lzw": encoded(RNG.integers(0, 256, (40, 50, 3), np.uint8), "tiff", compression="tiff_lzw"),
    "ppm": encoded(RNG.integers(0, 256, (40, 50, 3), np.uint8), "ppm"),
}


@pytest.mark.filterwarnings("ignore")  # pytest undoes the module's own filter; see test_nothing_is_warned_of
@pytest.mark.parametrize("kind", PICTURES)
def test_a_file_that_was_cut_off_is_unreadable(kind):
    """Or whole, where only the end mark is missing."""
    data = PICTURES[kind]
    whole = read(data)
    cuts = {*range(64), *np.linspace(64, len(data) - 1, 60).astype(int), *range(len(data) - 20, len(data))}
    served = []
    for cut in cuts:
        try:
            np.testing.assert_array_equal(np.asarray(read_image(data[:cut], "name")), whole)
            served.append(cut)
        except UnreadableImage as error:
            assert str(error).startswith("name: ") and "\n" not in str(error)
    assert all(cut >= len(data) - 20 for cut in served)


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None, max_examples=200)
@given(kind=st.sampled_from(sorted(PICTURES)), place=st.floats(0, 0.999), value=st.binary(min_size=1, max_size=4))
def test_a_damaged_file_is_an_image_or_unreadable(kind, place, value):
    data = bytearray(PICTURES[kind])
    first = int(place * len(data))
    data[first : first + len(value)] = value
    try:
        read_image(bytes(data), "name")
    except UnreadableImage as error:
        assert str(error).startswith("name: ") and "\n" not in str(error)


def test_nothing_is_warned_of(tmp_path):
    """In a fresh process: pytest has filters of its own."""
    exif = (
        b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x0f\x01\x02\0\x40\0\0\0\xff\xff\0\0\0\0\0\0"
    )
    files = {
        "bomb.png": raw_png(GREY, (10000, 13000), depth=8, colour=0),
        "cut.tiff": PICTURES["tiff"][:-50],
        "header.tiff": PICTURES["lzw"][:100],
        "exif.jpg": encoded(COLOUR, "jpeg", exif=exif),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    code = (
        "import pathlib\n"
        "from resnet_jax.images.decoding import UnreadableImage, read_image\n"
        f"for file in sorted(pathlib.Path({str(tmp_path)!r}).iterdir()):\n"
        "    try: print(file.name, read_image(file.read_bytes(), file.name).size)\n"
        "    except UnreadableImage as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["bomb.png", "cut.tiff"] and len(lines) == 4
    assert lines[2] == f"exif.jpg {COLOUR.shape[:2]}"  # EXIF has the orientation before the damage
    assert "Warning" not in done.stderr


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_corrupted_files_are_read_correctly_or_named(tmp_path_factory, kind):
    check_corrupted(tmp_path_factory.mktemp("run"), kind)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_other_contents_under_a_files_name_are_named(tmp_path, kind):
    check_other_contents(tmp_path, kind)


def test_a_small_file_that_claims_to_be_huge_takes_no_memory(tmp_path):
    tiff = encoded_picture("tiff")
    for tag, side in ((256, 8), (257, 9)):
        tiff = re.sub(
            struct.pack("<H", tag) + b"[\x03\x04]" + re.escape(struct.pack("<xII", 1, side)),
            struct.pack("<HHII", tag, 4, 1, 100000),
            tiff,
        )
    files = {
        "a.ppm": (b"P6 100000 100000 255\n" + bytes(99), "expected at most"),
        "a.bmp": (
            encoded_picture("bmp")[:18] + struct.pack("<ii", 10**5, 10**5) + encoded_picture("bmp")[26:],
            "expected at most",
        ),
        "a.gif": (encoded_picture("gif")[:6] + b"\xff" * 4 + encoded_picture("gif")[10:], "expected at most"),
        "a.tiff": (tiff, "expected at most"),
    }
    check_traps(tmp_path, files)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_pixels_as_they_are_stored_and_sizes_from_the_header(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored, buffer = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3), io.BytesIO()
    Image.fromarray(stored).save(buffer, "png", exif=exif)
    np.testing.assert_array_equal(read_image(buffer.getvalue(), "x", upright=False), stored)
    upright = read_image(buffer.getvalue(), "x")
    assert image_size(buffer.getvalue(), "x") == (upright.height, upright.width)
    assert image_size(buffer.getvalue(), "x", upright=False) == (2, 5) == image_size(stored, "x")
    for data in (b"none", b"\xff\xd8\xff\xe0"):  # Pillow says where these bytes are in memory
        with pytest.raises(UnreadableImage, match="^x: not an image in a format that is known here$"):
            image_size(data, "x")


def test_label_maps_are_indices_or_grey_levels():
    values = np.array([[0, 1, 255], [3, 20, 7]], np.uint8)
    palette = Image.fromarray(values).convert("P")
    palette.putpalette([9] * 768)
    for image in (Image.fromarray(values), palette, Image.fromarray(values.astype(np.uint16))):
        buffer = io.BytesIO()
        image.save(buffer, "png")
        np.testing.assert_array_equal(read_label_map(buffer.getvalue(), "x"), values)
    for image, message in (
        (Image.fromarray(values.astype(np.uint16) + 300), "x: expected classes of 0 to 254 and 255, got 555"),
        (Image.new("RGB", (2, 2)), "x: expected a mask of grey levels or a palette, got colours"),
        (Image.new("LA", (2, 2)), "got pixels of mode LA"),
    ):
        buffer = io.BytesIO()
        image.save(buffer, "png")
        with pytest.raises(UnreadableImage, match=message):
            read_label_map(buffer.getvalue(), "x")


def test_jpegs_are_decoded_at_fractions_of_their_size_and_others_are_not():
    image = np.repeat(np.repeat(RNG.integers(0, 256, (5, 7, 3), np.uint8), 16, 0), 16, 1)
    for scale, size in ((1, (112, 80)), (2, (56, 40)), (4, (28, 20)), (8, (14, 10))):
        assert read_image(encoded(image, "jpeg"), "x", scale=scale).size == size
        assert read_image(encoded(image, "jpeg"), "x", 1, scale=scale).mode == "L"
        assert read_image(encoded(image), "x", scale=scale).size == (112, 80)
    assert read_image(encoded(image[:15, :9], "jpeg"), "x", scale=4).size == (3, 4)  # rounded up
    assert read_image(encoded(image[:1, :1], "jpeg"), "x", scale=8).size == (1, 1)
