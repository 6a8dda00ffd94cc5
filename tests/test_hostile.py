"""Files that are damaged, or made to do harm: what is read is sound, or one line names the file and what is wrong."""

import contextlib
import gzip
import io
import json
import os
import re
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import recipe
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features
from safetensors.numpy import save

from resnet_jax.cli.arguments import make_parser
from resnet_jax.cli.train import parse
from resnet_jax.config import Config, check_config, check_types, from_dict, load_config, to_dict
from resnet_jax.data import open_loader
from resnet_jax.data.sources.formats import open_path, read_idx
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.errors import DataError
from resnet_jax.images.crops import centre_crop, random_resized_crop
from resnet_jax.images.decoding import read_image
from resnet_jax.runs.files.config_file import read_config
from resnet_jax.weights.wrappers import read_state

resource = pytest.importorskip("resource")

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 9, 8, 3), np.uint8)
LABELS = np.arange(6) % 3
MEBIBYTE = 2**20


# Sound files, and what reads them.


def encoded(kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(buffer, kind, **options)
    return buffer.getvalue()


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def npz(save=np.savez):
    buffer = io.BytesIO()
    save(buffer, x=PIXELS, y=LABELS, classes=np.array(["cat", "dog", "owl"]))
    return buffer.getvalue()


def npy():
    buffer = io.BytesIO()
    np.save(buffer, PIXELS[:, :2, :2])
    return buffer.getvalue()


def npz_of(first):
    """With `first` in the place of its images, so that no checksum keeps the damage from being read."""
    buffer = io.BytesIO()
    np.savez(buffer, y=LABELS)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("x.npy", first)
    return buffer.getvalue()


def parquet(**options):
    images = pa.array(
        [{"bytes": encoded("png"), "path": None}] * 6, pa.struct([("bytes", "binary"), ("path", "string")])
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
KINDS = {  # file's name, sound contents, what reads it; then how the damaged part is put into the file
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
    "config.json": ("config.json", [RUN], run_config),
    "config.py": ("a.py", [SCRIPT], python_config),
    "png": ("a.png", [encoded("png")], image),
    "jpeg": ("a.jpeg", [encoded("jpeg"), encoded("jpeg", progressive=True)], image),
    "webp": ("a.webp", [encoded("webp"), encoded("webp", lossless=True)], image),
    "gif": ("a.gif", [encoded("gif")], image),
    "bmp": ("a.bmp", [encoded("bmp")], image),
    "tiff": ("a.tiff", [encoded("tiff"), *(encoded("tiff", compression=c) for c in ("tiff_lzw", "jpeg"))], image),
    "ppm": ("a.ppm", [encoded("ppm")], image),
} | ({"avif": ("a.avif", [encoded("avif")], image)} if features.check("avif") else {})


# The exam.


def names(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def greatest_memory():
    """Bytes since `forget_memory`, or where that cannot be, since the process began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_memory():
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def exam(file, read):
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


def damaged(data, edits):
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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_soundly_or_named(tmp_path_factory, kind):
    name, contents, read, *wrap = KINDS[kind]
    put = wrap[0] if wrap else bytes
    file = tmp_path_factory.mktemp("run") / name
    for content in contents:
        file.write_bytes(put(content))
        assert exam(file, read) is None  # or nothing is shown

    @settings(max_examples=100, deadline=None, derandomize=True, database=None)
    @given(st.sampled_from(contents), st.lists(EDITS, min_size=1, max_size=4))
    def take(content, edits):
        file.write_bytes(put(damaged(content, edits)))
        exam(file, read)

    take()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [kind for kind, (_, _, _, *wrap) in KINDS.items() if not wrap])
def test_other_things_under_a_files_name_are_named(tmp_path, kind):
    """Nothing, noise, files of every other format; a folder; a pipe, which is not waited for."""
    name, _, read = KINDS[kind]
    file = tmp_path / name
    for content in (b"", b"\0" * 1000, b"\xff" * 1000, b"Not Found\n" * 20, RNG.bytes(1000)):
        file.write_bytes(content)
        assert exam(file, read) is not None
    for other, (_, contents, reader, *wrap) in KINDS.items():
        file.write_bytes((wrap[0] if wrap else bytes)(contents[0]))
        error = exam(file, read)
        assert error is not None or reader is read, other  # an image may be called as another
    file.unlink()
    file.mkdir()
    if read is not dataset and kind != "config.json":  # a folder may be one, whatever it is called
        assert exam(file, read) is not None
    file.rmdir()
    os.mkfifo(file)
    if kind != "config.json":
        assert exam(file, read) is not None


# Traps.


def npy_header(shape, kind="|u1"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def zipped(members, **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def lying_zip(header, size):
    """A zip whose directory says what the header of the array in it says."""
    whole = zipped({"x.npy": header + b"few", "y.npy": header + b"few"})
    return whole.replace(struct.pack("<I", len(header) + 3), struct.pack("<I", len(header) + size))


def repeated(rows, image):
    """Rows that are the same: a few bytes say how often."""
    images = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([image], pa.binary()))
    buffer = io.BytesIO()
    table = pa.table({"image": images, "label": np.zeros(rows, np.int8)})
    pq.write_table(table, buffer, store_schema=False, row_group_size=rows, compression="zstd")
    return buffer.getvalue()


def header_of(kind, shape, end):
    text = json.dumps({"a": {"dtype": kind, "shape": shape, "data_offsets": [0, end]}}).encode()
    return struct.pack("<Q", len(text)) + text


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def numbers(values):
    return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in values) + b"t"


STORAGE = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x02tQ"


def tensor(size, stride, storage=STORAGE):
    """What a pickle of PyTorch's does to make a tensor."""
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0" + numbers(size) + numbers(stride) + b"\x89}tR"


def state(value, key=b"X\x01\0\0\0a"):
    return zipped({"x/data.pkl": b"\x80\x02}" + key + value + b"s.", "x/data/0": bytes(8)})  # two float32


def deflated(data):
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)


def zeros(mebibytes):
    """Deflated, to a thousandth of them: the same block again and again."""
    return deflated(bytes(MEBIBYTE)) * mebibytes


def traps():
    """File's name: its contents, and the error for it."""
    deflate = {"compression": zipfile.ZIP_DEFLATED}
    five = npy_header((5,)) + b"01210"
    start = b"\0\0\x08\x03" + struct.pack(">3I", 2**8, 2**10, 2**10)
    tiff = encoded("tiff")
    for tag, side in ((256, 8), (257, 9)):
        tiff = re.sub(
            struct.pack("<H", tag) + b"[\x03\x04]" + re.escape(struct.pack("<xII", 1, side)),
            struct.pack("<HHII", tag, 4, 1, 100000),
            tiff,
        )
    return {
        "claims.npz": (
            zipped({"x.npy": npy_header((10**9, 10**9)), "y.npy": five}),
            "0 bytes for uint8 .1000000000, 1",
        ),
        "minus.npz": (zipped({"x.npy": npy_header((-3, -3)) + bytes(9), "y.npy": five}), "9 bytes for uint8 .-3, -3."),
        "none.npz": (
            zipped(
                {"x.npy": npy_header((5, 1, 1)) + b"01234", "y.npy": five, "classes.npy": npy_header((10**12,), "|S0")}
            ),
            "array 'classes' is truncated or corrupted: 0 bytes for .S0 .1000000000000.",
        ),
        "lies.npz": (
            lying_zip(npy_header((2**28, 2, 2)), 2**30),
            "corrupted or malicious: its .* bytes claim to hold 1,07",
        ),
        "zeros.npz": (
            zipped({"x.npy": npy_header((2**17, 24, 24)) + bytes(2**17 * 24**2), "y.npy": five}, **deflate),
            "corrupted or malicious",
        ),
        "zeros-idx3-ubyte.gz": (b"\x1f\x8b\x08" + bytes(7) + deflated(start) + zeros(2**8), "corrupted or malicious"),
        "claims-idx3-ubyte": (b"\0\0\x08\x03" + b"\xff" * 12 + b"few", "3 values for shape .4294967295"),
        "ones-idx1-ubyte": (b"\0\0\x08\x64" + b"\0\0\0\x01" * 100 + b"a", "claims to have 100 dimensions"),
        "rows.parquet": (repeated(10**6, bytes(MEBIBYTE)), "corrupted or malicious"),
        "small.parquet": (repeated(3 * 10**6, b"little"), "corrupted or malicious"),
        "length.safetensors": (struct.pack("<Q", 2**40) + b"{}", "header too large"),
        "claims.safetensors": (header_of("F32", [2**40], 2**42), "is not a valid .safetensors file: .*"),
        "none.safetensors": (header_of("F32", [2**62, 0], 0), "reaches beyond its storage"),
        "ones.safetensors": (header_of("U8", [1] * 99, 1) + b"a", "is not a valid .safetensors file: .*99"),
        "tiny.safetensors": (header_of("F4", [2], 1) + b"a", "has the unknown type .F4"),
        "memo.pth": (zipped({"x/data.pkl": b"\x80\x02}r\xff\xff\xff\x7f."}), "has other contents than a state dict"),
        "bytes.pth": (zipped({"x/data.pkl": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"."}), "but only 1 remain"),
        "array.pth": (zipped({"x/data.pkl": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"."}), "but only 1 remain"),
        "frame.pth": (zipped({"x/data.pkl": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"}."}), "not a valid"),
        "stride.pth": (state(tensor((10**6, 10**6), (0, 0))), "a tensor reaches beyond its storage of 2 values"),
        "beyond.pth": (state(tensor((1, 2), (1, 2))), "a tensor reaches beyond its storage of 2 values"),
        "many.pth": (state(tensor((1,) * 99, (1,) * 99)), "not a valid PyTorch state dict: .*99"),
        "twice.pth": (state(tensor((5,), (1,), tensor((5, 0), (1, 1)))), "tensor 'a' has no storage"),
        "zeros.pth": (
            zipped(
                {"x/data.pkl": b"\x80\x02}" + text("a") + tensor((2,), (1,)) + b"s.", "x/data/0": bytes(2**20)},
                **deflate,
            ),
            "x/data.pkl is compressed",
        ),
        "dots.pth": (zipped({"x/data.pkl": b"." * 2**20}, **deflate), "x/data.pkl is compressed"),
        "empty.pth": (zipped({}), "it has no data.pkl"),
        "a.ppm": (b"P6 100000 100000 255\n" + bytes(99), "expected at most"),
        "a.bmp": (encoded("bmp")[:18] + struct.pack("<ii", 10**5, 10**5) + encoded("bmp")[26:], "expected at most"),
        "a.gif": (encoded("gif")[:6] + b"\xff" * 4 + encoded("gif")[10:], "expected at most"),
        "a.tiff": (tiff, "expected at most"),
    }


READ = """
import resource, sys
from pathlib import Path
from resnet_jax.data.sources.formats import open_path, read_idx
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


def test_a_small_file_that_claims_to_be_huge_takes_no_memory(tmp_path):
    """In a new process, whose memory has not been larger before."""
    files = traps()
    for name, (content, _) in files.items():
        (tmp_path / name).write_bytes(content)
        assert len(content) < 4 * MEBIBYTE
    done = subprocess.run([sys.executable, "-c", READ, str(tmp_path)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(files)
    for line in lines:
        name, mebibytes, message = line.split(" ", 2)
        assert name in message and re.search(files[name][1], message), line
        assert int(mebibytes) < 300, line


@pytest.mark.parametrize("value", [b"ctorch\nBFloat16Storage\n", tensor((2,), (1,)), STORAGE])
def test_a_pickle_cannot_change_what_it_is_given(tmp_path, value):
    """BUILD hands a dtype or an array a new state: NumPy's own bfloat16 would have other bytes in the whole process."""
    file = tmp_path / "a.pth"
    dtype = b"(K\x03" + text(">") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0t"
    file.write_bytes(state(value + dtype + b"b"))
    assert exam(file, weights) is not None
    assert np.dtype(jnp.bfloat16).byteorder == "=" and np.asarray(1, jnp.bfloat16).tobytes() == b"\x80\x3f"


MODULES = (
    "os posix subprocess builtins collections torch torch._utils numpy resnet_jax.weights.readers __main__".split()
)
NAMES = (
    "system eval exec getattr OrderedDict OrderedDict.__init__.__globals__ _rebuild_tensor_v2.__globals__ open mkdir"
)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(MODULES), st.sampled_from(NAMES.split()) | st.text(max_size=9), st.sampled_from("R b \x81".split())
)
def test_no_other_name_is_given_to_a_pickle(tmp_path_factory, module, name, use):
    file = tmp_path_factory.mktemp("names") / "a.pth"
    called = b"\x8c" + bytes([len(module)]) + module.encode()
    called += text(name) + b"\x93(" + text("here") + b"t" + use.encode("latin-1")
    file.write_bytes(zipped({"x/data.pkl": b"\x80\x04}" + text("a") + called + b"s."}))
    message = exam(file, weights)
    if (module, name) != ("collections", "OrderedDict"):
        assert "not part of a state dict" in message


def test_pipes_and_devices_are_not_waited_for(tmp_path):
    (tmp_path / "cat").mkdir()
    os.mkfifo(tmp_path / "cat" / "a.png")
    with pytest.raises(DataError, match="cat/a.png: not a file$"):
        open_loader(open_path(tmp_path), "train")
    with pytest.raises(ValueError, match="^/dev/null is no dataset; expected "):
        open_path("/dev/null")


def test_the_home_of_nobody_is_not_there():
    with pytest.raises(FileNotFoundError, match="no file or folder '~nobody_of_that_name/pictures'"):
        open_path("~nobody_of_that_name/pictures")


# Configs.


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**400, "sgd", 1e308]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
GROUPS = {group: fields for group, fields in to_dict(Config()).items() if isinstance(fields, dict)}
FIELDS = [(group, name) for group, fields in GROUPS.items() for name in fields]


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from([*((name, None) for name in ("workdir", "task", None, *GROUPS)), *FIELDS]),
    JSON,
)
def test_a_config_of_anything_is_a_config_or_its_field_is_named(place, value):
    group, name = place
    values = value if group is None else {group: value if name is None else {name: value}}
    try:
        config = from_dict(values)
        check_types(config)
        check_config(config)
    except ValueError as error:
        message = str(error)
        assert "expected " in message or "has no field" in message
        assert len(message) < 2000 and (name is None or f"{group}.{name}" in message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100000, "maximum recursion depth"),
        ("[]", "expected an entry 'config'"),
        ("{}", "expected an entry 'config'"),
        ('{"config": 3}', "expected names and values of the fields of Config, got 3"),
        ('{"config": {"optim": []}}', "expected names and values of the fields of OptimConfig, got .."),
        ('{"config": {"optim": {"peak_lr": NaN}}}', "optim.peak_lr: expected a finite number, got nan"),
        ('{"config": {"train": {"seed": "0"}}}', "train.seed: expected a whole number, got '0'"),
        ('{"config": {"data": {"channels": true}}}', "data.channels: expected 1 or 3 or None, got True"),
        ('{"config": {"train": {"seed": 1%s}}}' % ("0" * 5000), "Exceeds the limit"),
    ],
)
def test_a_runs_config_that_is_none_is_named(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(
        ValueError, match=f"^{re.escape(str(tmp_path))}/config.json is not the config of a run: .*{message}"
    ):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise RuntimeError", "RuntimeError"),
        ("def f(): f()\nf()", "RecursionError"),
        ("\0", "null bytes"),
        ("config = Config", "NameError"),
        ("from resnet_jax.config import *; config = Config", "expected `config = Config"),
        (
            "from resnet_jax.config import *; config = Config(optim=OptimConfig(peak_lr=10**400))",
            "optim.peak_lr: expected a finite number, got 1000",
        ),
        (
            "from resnet_jax.config import *; config = Config(train=TrainConfig(seed=10**9999))",
            "train.seed: expected at least 0 and less than 2..63, got a number of 33,216 bits",
        ),
        ("from resnet_jax.config import *; config = Config(optim=3)", "optim: expected a OptimConfig, got 3"),
        (
            "from resnet_jax.config import *; config = Config(data=DataConfig(std=()))",
            "data.std: expected standard deviations of values in .0, 1.",
        ),
    ],
)
def test_config_files_that_fail_are_named(tmp_path, text, message):
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(ValueError, match=f"^(config file .*a.py[: ].*)?{message}"):
        check_config(load_config(tmp_path / "a.py"))


WORDS = [
    "",
    "nan",
    "-1",
    "1e400",
    "9" * 5000,
    "None",
    "{",
    "'",
    "\0",
    "\ud800",
    "a\nb",
    "--",
    "-",
    "-x",
    "%s",
    "[red]",
    "│",
]
VALUES = st.sampled_from(WORDS) | st.text(max_size=8)
FLAGS = st.sampled_from([*make_parser(Config, prog="train", description="").options])
ARGUMENTS = st.one_of(
    st.tuples(FLAGS, VALUES),
    st.tuples(st.builds("{}={}".format, FLAGS, VALUES)),
    st.tuples(st.builds("--{}".format, VALUES), VALUES),
    st.tuples(st.builds("{}{}".format, FLAGS, st.text(max_size=3)), VALUES),
    st.tuples(VALUES),
    st.tuples(FLAGS),
)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.lists(ARGUMENTS, min_size=1, max_size=2))
def test_any_arguments_are_a_config_or_one_line(arguments):
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            config = parse([argument for pair in arguments for argument in pair])
        with contextlib.suppress(ValueError):  # reported before any work
            check_types(config)
    except SystemExit as exit:
        message = err.getvalue()
        assert exit.code == 2 or "usage" in out.getvalue()
        assert exit.code == 0 or re.fullmatch(r"error: [^\n]{8,}\n", message), message
