"""Parquet files as Hugging Face's `datasets` writes them."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from resnet_jax.images.decoding import read_image


def png(value):
    buffer = io.BytesIO()
    Image.new("L", (4, 4), value).save(buffer, "png")
    return buffer.getvalue()


def values(part):
    """The grey of each image, and its label."""
    return [(read_image(part[i][0], part.name(i)).getpixel((0, 0)), part[i][1]) for i in range(len(part))]


def write_parquet(file, images, labels, *, names=None, image="image", label="label", struct=True, **more):
    """As Hugging Face's `datasets` writes a set: a struct of bytes and path, class names in the schema's metadata."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if struct:
        images = [None if one is None else {"bytes": one, "path": None} for one in images]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    else:
        kind = pa.binary()
    columns = {image: pa.array(images, kind), label: labels if isinstance(labels, pa.Array) else pa.array(labels)}
    table = pa.table(columns | more)
    if names is not None:
        feature = {"names": names, "_type": "ClassLabel"}
        info = {"info": {"features": {image: {"_type": "Image"}, label: feature}}}
        table = table.replace_schema_metadata({b"huggingface": json.dumps(info).encode()})
    pq.write_table(table, file)
    return file
