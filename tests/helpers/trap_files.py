"""Parts of small files that claim to be huge, and of pickles that would do harm."""

import io
import json
import struct
import zipfile
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MEBIBYTE = 2**20


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
    """Makes a tensor as a pickle of PyTorch's does."""
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0" + numbers(size) + numbers(stride) + b"\x89}tR"


def state(value, key=b"X\x01\0\0\0a"):
    return zipped({"x/data.pkl": b"\x80\x02}" + key + value + b"s.", "x/data/0": bytes(8)})  # two float32


def deflated(data):
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)


def zeros(mebibytes):
    """Deflated, to a thousandth of them: the same block again and again."""
    return deflated(bytes(MEBIBYTE)) * mebibytes
