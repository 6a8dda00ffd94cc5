"""What other people's projects see."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import resnet_jax

LIBRARY = Path(__file__).parent / "library_use.py"


def python(code, *arguments):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_public_names_are_there_and_documented():
    for name in resnet_jax.__all__:
        assert getattr(resnet_jax, name).__doc__, name


def test_importing_imports_nothing_heavy_and_takes_no_device():
    python("""
        import sys
        import jax
        import resnet_jax
        heavy = "tensorflow_datasets grain cv2 orbax matplotlib tensorflow PIL shtab array_record".split()
        assert not [name for name in heavy if name in sys.modules]
        resnet_jax.create_model("resnet50")
        resnet_jax.summary("resnet18")
        resnet_jax.feature_info(resnet_jax.create_model("resnet18"))
        from jax._src import xla_bridge
        assert not xla_bridge.backends_are_initialized()
    """)


def test_jax_is_imported_when_a_net_is_first_asked_for():
    python("""
        import os, sys
        import resnet_jax
        from resnet_jax import cli
        assert "jax" not in sys.modules and "create_model" in dir(resnet_jax)
        try:
            cli.main(["--version"])
        finally:
            assert "jax" not in sys.modules
        from importlib.metadata import version
        noisy = version("jaxlib") in ("0.10.0", "0.10.1")
        assert (os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "3") == noisy
        assert resnet_jax.models.create_model is resnet_jax.create_model
        assert not hasattr(resnet_jax, "create_modle")
    """)


@pytest.mark.slow
def test_jax_flax_and_optax_are_enough_to_make_a_net_and_train_a_step():
    """As in an environment that has only those three and what they themselves ask for."""
    python(
        """
        import runpy, sys
        from importlib import metadata
        import re

        def needs(name, seen):
            if name in seen:
                return seen
            seen.add(name)
            try:
                asked = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                return seen
            for line in asked:
                if "extra ==" not in line:
                    needs(re.match(r"[\\w.-]+", line)[0].lower(), seen)
            return seen

        wanted = needs("jax", set()) | needs("flax", set()) | needs("optax", set())
        normal = lambda name: re.sub(r"[-_.]+", "-", name).lower()
        wanted = {normal(name) for name in wanted} | {"flax-resnets", "setuptools", "pip"}
        owners = metadata.packages_distributions()
        absent = {m for m, dists in owners.items() if not {normal(d) for d in dists} & wanted}
        assert {"tensorflow_datasets", "PIL", "safetensors"} <= absent, absent

        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in absent:
                    raise ModuleNotFoundError(f"No module named {name!r}")

        sys.meta_path.insert(0, Absent())
        runpy.run_path(sys.argv[1], run_name="__main__")
        """,
        str(LIBRARY),
    )
