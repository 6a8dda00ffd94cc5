"""Valid files of every kind that is read, edits that corrupt them, and checks of what reading them does."""

import contextlib
import gzip
import io
import json
import os
import pickle
import re
import resource
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import recipe
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features
from safetensors.numpy import save

from resnet_jax.config import Config, check_config, check_types, load_config, to_dict
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.errors import DataError
from resnet_jax.formats import open_path, read_idx
from resnet_jax.images.crops import centre_crop, random_resized_crop
from resnet_jax.images.decoding import read_image
from resnet_jax.runs.files.config_file import read_config
from resnet_jax.weights.wrappers import read_state

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 9, 8, 3), np.uint8)
LABELS = np.arange(6) % 3
MEBIBYTE = 2**20


# Valid files, and what reads them.


def encoded_picture(kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(buffer, kind, **options)
    return buffer.getvalue()


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def npz(save=np.savez):
    buffer = io.BytesIO()
    save(buffer, x=PIXELS, y=LABELS, classes=np.array(["cat", "dog", "owl"]))
    return buffer.getvalue()


def npz_weights(save=np.savez):
    buffer = io.BytesIO()
    save(buffer, **{"a/kernel": RNG.random((3, 4)), "b": np.ones(3, np.float16)})
    return buffer.getvalue()


def npy():
    buffer = io.BytesIO()
    np.save(buffer, PIXELS[:, :2, :2])
    return buffer.getvalue()


def npz_of(first):
    """With `first` in the place of its images, so that no checksum hides an edit of it."""
    buffer = io.BytesIO()
    np.savez(buffer, y=LABELS)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("x.npy", first)
    return buffer.getvalue()


def parquet(**options):
    images = pa.array(
        [{"bytes": encoded_picture("png"), "path": None}] * 6, pa.struct([("bytes", "binary"), ("path", "string")])
    )
    labels = options.pop("labels", LABELS)
    table = pa.table({"image": images, "label": labels})
    info = {"info": {"features": {"label": {"names": ["cat", "dog", "owl"]}}}}
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), buffer, **options)
    return buffer.getvalue()


TORCH = [(recipe.GOLDEN / "torch" / name).read_bytes() for name in ("tiny.pth", "wrapped.pth")]


def pickled(whole):
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))


def torch_of(data, whole=TORCH[0]):
    """A PyTorch file with another pickle in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, data if name.endswith("/data.pkl") else old.read(name))
    return buffer.getvalue()


def dataset(file):
    data = open_path(file)
    for split in data.splits:
        part = data.examples(split)
        assert len(part) and part.labels.dtype == np.int32
        assert 0 <= part.labels.min() <= part.labels.max() < len(part.classes)
        assert all(type(name) is str for name in part.classes)
        assert isinstance(part[0][0], bytes) or (part.images.dtype == np.uint8 and part.images.shape[-1] in (1, 3))


def image(file):
    files = ImageFileSource([file], np.zeros(1, np.int32), ("a",))
    shown = read_image(files[0][0], files.name(0))
    assert shown.mode in ("L", "RGB")
    for crop in (
        centre_crop(shown, resize=9, size=8),
        random_resized_crop(shown, size=8, rng=np.random.default_rng(0)),
    ):
        assert crop.dtype == np.uint8 and crop.shape in ((8, 8, 1), (8, 8, 3))


def labels_of(file):
    array = read_idx(file)
    assert array.dtype == np.uint8 and array.nbytes <= max(10**5, file.stat().st_size)


def weights(file):
    for name, array in read_state(file).items():
        assert type(name) is str and isinstance(array, np.ndarray) and not array.dtype.hasobject
        assert array.nbytes <= file.stat().st_size
        array.astype(np.complex64).sum()  # every value can be read


def run_config(file):
    config = read_config(file.parent)
    check_types(config)
    with contextlib.suppress(ValueError):
        check_config(config)


def python_config(file):
    check_types(load_config(file))


SCRIPT = b"from resnet_jax.config import Config, OptimConfig\n\nconfig = Config(optim=OptimConfig(peak_lr=0.5))\n"
RUN = json.dumps({"config": to_dict(Config()), "versions": {}, "commit": None}, indent=2).encode()
KINDS = {  # file's name, valid contents, what reads it; then how an edited part is put into the file
    "idx": ("train-images-idx3-ubyte", [idx(PIXELS[..., 0])], labels_of),
    "gzip": ("train-labels-idx1-ubyte.gz", [gzip.compress(idx(LABELS.astype(np.uint8)))], labels_of),
    "npz": ("a.npz", [npz(), npz(np.savez_compressed)], dataset),
    "npy": ("a.npz", [npy()], dataset, npz_of),
    "parquet": (
        "a.parquet",
        [parquet(), parquet(compression="none", use_dictionary=False), parquet(labels=["a", "b", "c"] * 2)],
        dataset,
    ),
    "safetensors": (
        "a.safetensors",
        [save({"a": np.ones((2, 3), np.float32), "b": np.ones((2, 2), jnp.bfloat16)}, metadata={"x": "y"})],
        weights,
    ),
    "torch": ("a.pth", TORCH, weights),
    "pickle": ("a.pth", [pickled(TORCH[0])], weights, torch_of),
    "torch before 1.6": ("a.pth", [(recipe.GOLDEN / "torch" / "legacy.pth").read_bytes()], weights),
    "torchscript": ("a.pt", [(recipe.GOLDEN / "torch" / "scripted.pt").read_bytes()], weights),
    "numpy pickle": (
        "a.pkl",
        [pickle.dumps({"model": {"a": np.ones(300), "b": np.ones((2, 3), ">f4")}}, protocol) for protocol in (2, 4)],
        weights,
    ),
    "npz weights": ("b.npz", [npz_weights(), npz_weights(np.savez_compressed)], weights),
    "config.json": ("config.json", [RUN], run_config),
    "config.py": ("a.py", [SCRIPT], python_config),
    "png": ("a.png", [encoded_picture("png")], image),
    "jpeg": ("a.jpeg", [encoded_picture("jpeg"), encoded_picture("jpeg", progressive=True)], image),
    "webp": ("a.webp", [encoded_picture("webp"), encoded_picture("webp", lossless=True)], image),
    "gif": ("a.gif", [encoded_picture("gif")], image),
    "bmp": ("a.bmp", [encoded_picture("bmp")], image),
    "tiff": (
        "a.tiff",
        [encoded_picture("tiff"), *(encoded_picture("tiff", compression=c) for c in ("tiff_lzw", "jpeg"))],
        image,
    ),
    "ppm": ("a.ppm", [encoded_picture("ppm")], image),
} | ({"avif": ("a.avif", [encoded_picture("avif")], image)} if features.check("avif") else {})
IMAGE_KINDS = [kind for kind, (_, _, read, *_) in KINDS.items() if read is image]


# Reading, with limits of time and memory.


def names(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def greatest_memory():
    """Bytes since `forget_memory`, or where that cannot be, since the process began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_memory():
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def message_for(file, read):
    """The error for a file, or None if it can be read: quickly, with little memory, and with nothing written."""
    before = names(file.parent)
    forget_memory()
    memory, start = greatest_memory(), time.perf_counter()
    message = None
    try:
        read(file)
    except (ValueError, OSError) as error:
        message = str(error)
        first, *_ = message.split("\n")
        assert file.name in first or (file.name == "config.json" and file.parent.name in first), message
        reason = first.partition(file.name)[2].strip(" :'.")
        assert len(reason) > 8 and type(error) not in (UnicodeDecodeError, json.JSONDecodeError), repr(error)
        assert read is not image or isinstance(error, DataError)
    assert time.perf_counter() - start < 5
    assert greatest_memory() - memory < 1200 * MEBIBYTE  # an image of 134 million pixels is allowed, and a copy of it
    assert names(file.parent) == before
    return message


NUMBERS = [0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 10**12, 2**63 - 1, 2**63, 2**64 - 1]
PLACES = st.integers(-200, 200) | st.floats(0, 1, exclude_max=True)  # headers stand at the ends
EDITS = st.one_of(
    st.tuples(st.just("flip"), PLACES, st.integers(0, 7)),
    st.tuples(st.just("cut"), PLACES, st.none()),
    st.tuples(st.just("insert"), PLACES, st.binary(min_size=1, max_size=20)),
    st.tuples(st.just("remove"), PLACES, st.integers(1, 20)),
    st.tuples(
        st.just("number"), PLACES, st.tuples(st.sampled_from("<H <I <Q >H >I >Q".split()), st.sampled_from(NUMBERS))
    ),
    st.tuples(st.just("copy"), PLACES, PLACES),
)


def offset(place, length):
    return int(place * length) if isinstance(place, float) else place % length


def edited(data, edits):
    data = bytearray(data)
    for kind, place, value in edits:
        if not data:
            break
        at = offset(place, len(data))
        if kind == "flip":
            data[at] ^= 1 << value
        elif kind == "cut":
            del data[at:]
        elif kind == "insert":
            data[at:at] = value
        elif kind == "remove":
            del data[at : at + value]
        elif kind == "copy":
            first = offset(value, len(data))
            data[at : at + 4] = data[first : first + 4]
        else:
            size = struct.calcsize(value[0])
            data[at : at + size] = struct.pack(value[0], value[1] % 2 ** (8 * size))
    return bytes(data)


# Checks.


def check_corrupted(folder, kind):
    """A hundred edits of the valid files of a kind: each is read correctly, or one line names the file."""
    name, contents, read, *wrap = KINDS[kind]
    put = wrap[0] if wrap else bytes
    file = folder / name
    for content in contents:
        file.write_bytes(put(content))
        assert message_for(file, read) is None  # or nothing is shown

    @settings(max_examples=100, deadline=None, derandomize=True, database=None)
    @given(st.sampled_from(contents), st.lists(EDITS, min_size=1, max_size=4))
    def read_edited(content, edits):
        file.write_bytes(put(edited(content, edits)))
        message_for(file, read)

    read_edited()


def check_other_contents(folder, kind):
    """Nothing, noise, files of every other format, a folder and a pipe under the file's name: one line names it."""
    name, _, read = KINDS[kind]
    file = folder / name
    for content in (b"", b"\0" * 1000, b"\xff" * 1000, b"Not Found\n" * 20, RNG.bytes(1000)):
        file.write_bytes(content)
        assert message_for(file, read) is not None
    for other, (_, contents, reader, *wrap) in KINDS.items():
        file.write_bytes((wrap[0] if wrap else bytes)(contents[0]))
        message = message_for(file, read)
        # An image may be called as another, and files of weights may be called anything: .npz may be one.
        assert message is not None or reader is read or (read is weights and KINDS[other][0] == "a.npz"), other
    file.unlink()
    file.mkdir()
    if read is not dataset and kind != "config.json":  # a folder may be one, whatever it is called
        assert message_for(file, read) is not None
    file.rmdir()
    os.mkfifo(file)
    if kind != "config.json":
        assert message_for(file, read) is not None


READ_ALL = """
import resource, sys
from pathlib import Path
from resnet_jax.formats import open_path, read_idx
from resnet_jax.images.decoding import read_image
from resnet_jax.weights.wrappers import read_state
image = lambda file: read_image(file.read_bytes(), str(file))
dataset = lambda file: open_path(file).examples("train")
readers = {".npz": dataset, ".parquet": dataset, ".safetensors": read_state, ".pth": read_state}
readers |= dict.fromkeys((".ppm", ".bmp", ".gif", ".tiff"), image)
memory = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)
before = memory()
for file in sorted(Path(sys.argv[1]).iterdir()):
    message = "was read"
    try:
        readers.get(file.suffix, read_idx)(file)
    except ValueError as error:
        message = error
    print(file.name, memory() - before, message)
"""


def check_traps(folder, files):
    """Small files (name: contents, message) that claim to be huge take no memory, in a new process."""
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
        assert len(content) < 4 * MEBIBYTE
    command = [sys.executable, "-c", READ_ALL, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(files)
    for line in lines:
        name, mebibytes, message = line.split(" ", 2)
        assert name in message and re.search(files[name][1], message), line
        assert int(mebibytes) < 300, line
