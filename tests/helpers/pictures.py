"""Image files in folders, and what a dataset makes of them."""

import io

import pytest
from PIL import Image

from resnet_jax.formats import open_path


def picture(file, value=0):
    file.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()  # by the format's name, not the file's
    Image.new("L", (4, 4), value).save(buffer, "png")
    file.write_bytes(buffer.getvalue())


def pictures(root, *names):
    for value, name in enumerate(names):
        picture(root / name, value)
    return root


def listed(part, root):
    return [(part.paths[i].relative_to(root).as_posix(), int(part.labels[i])) for i in range(len(part))]


def open_all(path, **options):
    """The dataset, once every split has been read."""
    data = open_path(path, **options)
    assert all(len(data.examples(split)) == count for split, count in data.splits.items())
    return data


def write(file, text):
    """Writes a text file, in new folders if need be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def refused(path, kind=ValueError, **options):
    """The message, one line, of the error when every split is read."""
    with pytest.raises(kind) as caught:
        open_all(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    if kind is ValueError and not options:
        assert message.startswith(str(path))
    return message
