"""The distribution: its version and its extras; what works without them is tried in test_commands.py."""

import tomllib
from pathlib import Path

import resnet_jax
from resnet_jax.cli.main import main
from resnet_jax.extras import EXTRAS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_that_of_the_distribution(capsys):
    main(["--version"])
    assert capsys.readouterr().out.strip() == resnet_jax.__version__ == PROJECT["version"]


def normal(requirement):
    return requirement.partition("[")[0].partition(">")[0].casefold().replace("-", "_")


def test_extras_have_what_the_errors_say():
    base = {normal(name) for name in PROJECT["dependencies"]}
    extras = {extra: {normal(name) for name in names} for extra, names in PROJECT["optional-dependencies"].items()}
    for package, extra in EXTRAS.items():
        assert package.casefold() in extras[extra] and package.casefold() not in base
    (test,) = (name for name in PROJECT["optional-dependencies"]["test"] if name.startswith("flax-resnets["))
    assert set(EXTRAS.values()) <= set(test.partition("[")[2].rstrip("]").split(","))
