"""Snippets of the documentation run as they stand."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.slow
def test_snippets_on_jax_run(capsys):
    source = (DOCS / "jax.md").read_text()
    snippets = re.findall(r"^```python\n(.*?)^```", source, re.DOTALL | re.MULTILINE)
    assert len(snippets) >= 5
    exec("\n".join(snippets), {"__name__": "snippets"})
    *losses, children = capsys.readouterr().out.splitlines()
    assert float(losses[2]) < float(losses[0])
    assert "backbone" in children
