"""Parameter names are public: checkpoints carry them. `python tests/models/test_names.py` accepts new ones."""

import hashlib
import json
import sys
from pathlib import Path

import pytest
from flax.traverse_util import flatten_dict

GOLDEN = Path(__file__).parents[1] / "golden" / "names.json"
READABLE = ("cifar_resnet20", "cifar_resnet20_c", "cifar_plain20", "resnet18", "resnet50", "resnet50_v1")


def described(name):
    """Every array's path and shape: in full for some nets, as a digest for the others."""
    from resnet_jax.models import create_model, shapes

    model = create_model(name)
    variables = shapes(model, model.image_size).variables
    lines = sorted(f"{'/'.join(path)} {list(x.shape)}" for path, x in flatten_dict(variables).items())
    if name in READABLE:
        return lines
    return {"arrays": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def names():
    from resnet_jax.models import list_models

    return list_models()


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if "1202" in n else ()) for n in names()])
def test_names_and_shapes_are_what_they_were(name):
    assert described(name) == json.loads(GOLDEN.read_text())[name]


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({name: described(name) for name in names()}, indent=0) + "\n")
    sys.exit(f"wrote {GOLDEN}: look at the difference, and say in the changelog what was renamed")
