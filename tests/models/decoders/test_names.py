"""Names of the arrays of every segmenter and detector, ours and the libraries'.

They are public, because checkpoints have them. To accept new ones: `PYTHONPATH=tests/helpers python
tests/models/decoders/test_names.py`, and tests/models/test_registry.py for the signatures.
"""

import hashlib
import json
import sys

import pytest
import recipe
from flax.traverse_util import flatten_dict

from resnet_jax.models import create_model, get_spec, list_models, shapes
from resnet_jax.weights import recognition
from resnet_jax.weights.names import Names, depths_of
from resnet_jax.weights.recognition import signature_for

GOLDEN = recipe.GOLDEN / "dense" / "names.json"
NAMES = [name for name in list_models() if get_spec(name).is_dense]
SIGNATURES = json.loads(recognition.FILE.read_text())


def variables_of(name):
    model = create_model(name)
    return shapes(model, model.image_size).variables


def describe(name):
    """Number of the arrays, and a digest of their paths and shapes."""
    lines = sorted(f"{'/'.join(path)} {list(x.shape)}" for path, x in flatten_dict(variables_of(name)).items())
    return {"arrays": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_are_the_accepted_ones(name):
    assert describe(name) == json.loads(GOLDEN.read_text())[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_library_has_a_distinct_name_for_every_array_and_its_files_are_recognised(name):
    variables, depths = variables_of(name), depths_of(create_model(name))
    ((layout, table),) = get_spec(name).name_tables.items()
    names = Names(layout, table, depths)
    stored = [path for path in flatten_dict(variables) if names.is_stored(path)]
    assert len({names.entry(path)[0] for path in stored}) == len(stored)
    assert name in SIGNATURES[signature_for(variables, names)][layout]


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(describe(name))}" for name in NAMES]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    sys.exit(f"wrote {GOLDEN}: check the difference")
