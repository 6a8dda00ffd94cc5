"""The table of counts is that of the nets, and the commands that need no JAX do not import it."""

import json
import subprocess
import sys
from pathlib import Path

from resnet_jax import get_spec, list_models
from resnet_jax.cli.counts import counts_text, read_counts
from resnet_jax.models.inspect import spatial_sizes

GOLDEN = Path(__file__).parents[1] / "golden" / "counts.json"
WITHOUT_JAX = """
import contextlib, io, sys
from resnet_jax import cli
for line in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            cli.main(line.split())
        except SystemExit:
            pass
    assert not {"jax", "flax", "numpy"} & sys.modules.keys(), line
"""


def test_every_net_is_in_the_table_with_its_input():
    """`tests/test_docs.py` traces the nets."""
    table = {net.name: net for net in read_counts()}
    assert list(table) == list_models(input_kind="any"), "run python docs/tables.py"
    for name, net in table.items():
        spec = get_spec(name)
        assert (net.input_kind, tuple(net.input_size)) == (spec.input_kind, spatial_sizes(spec.image_size)), name
    for name, golden in json.loads(GOLDEN.read_text()).items():
        assert table[name].parameters == golden["parameters"], name
    assert counts_text(list(table.values())) == (GOLDEN.parents[2] / "resnet_jax/cli/counts.json").read_text()


def test_help_mistakes_and_the_list_of_nets_import_no_jax():
    lines = ["--help", "--version", "train --help", "train --help-all", "eval --help", "predict --help", "models"]
    lines += ["models resnet18", "models rest18", "modles", "train --model.nam x", "--print-completion bash"]
    subprocess.run([sys.executable, "-c", WITHOUT_JAX, *lines], check=True)
