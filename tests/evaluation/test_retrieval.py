"""Images that fit a text."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from resnet_jax.evaluation import retrieval


def test_images_without_a_cosine_come_last(monkeypatch):
    cosines = {"a.png": 0.2, "b.png": np.nan, "c.png": 0.9, "d.png": np.nan, "e.png": 0.5}
    rows = [SimpleNamespace(file=Path(name), rows={"features": np.array([x])}) for name, x in cosines.items()]
    monkeypatch.setattr(retrieval, "forward_files", lambda *_, **__: rows)
    monkeypatch.setattr(retrieval, "text_features", lambda *_: np.array([[1.0]]))
    matches, unreadable = retrieval.retrieve(None, None, None, list(cosines), "a text", top=4, batch_size=2)
    assert [one.file.name for one in matches] == ["c.png", "e.png", "a.png", "b.png"] and unreadable == {}
