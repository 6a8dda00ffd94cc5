"""Old module paths: each row of the table, in the ways that people import modules."""

import subprocess
import sys
import textwrap
from importlib import import_module

import pytest

from resnet_jax.moved import MOVED, NOW_PACKAGES


@pytest.mark.parametrize("old", sorted(MOVED.keys() - NOW_PACKAGES))
def test_a_moved_module_is_the_same_object_under_its_old_path(old):
    new = import_module(f"resnet_jax.{MOVED[old]}")
    for row in MOVED:
        if f"{old}.".startswith(f"{row}."):
            sys.modules.pop(f"resnet_jax.{row}", None)
    parent, _, name = f"resnet_jax.{old}".rpartition(".")
    with pytest.warns(DeprecationWarning, match=f"resnet_jax.{old} is now resnet_jax.{MOVED[old]}; "):
        assert import_module(f"resnet_jax.{old}") is new
    assert new.__spec__.name == new.__name__ == f"resnet_jax.{MOVED[old]}"
    assert getattr(import_module(parent), name) is new


@pytest.mark.parametrize("old", sorted(NOW_PACKAGES))
def test_a_package_with_the_name_of_a_moved_module_has_its_names(old):
    package, new = (import_module(f"resnet_jax.{name}") for name in (old, MOVED[old]))
    names = [name for name, value in vars(new).items() if getattr(value, "__module__", "") == new.__name__]
    names = [name for name in names if not hasattr(sys.modules.get(f"{package.__name__}.{name}"), "__file__")]
    assert names
    for name in names:
        with pytest.warns(DeprecationWarning, match=f"is now {new.__name__}.{name}; "):
            assert getattr(package, name) is getattr(new, name)
    assert not hasattr(package, "nothing_of_this_name")


def test_statements_import_old_paths_and_the_package_itself_warns_of_nothing():
    code = """
        import pkgutil, sys, warnings
        warnings.simplefilter("error")
        import resnet_jax
        assert "jax" not in sys.modules
        for module in pkgutil.walk_packages(resnet_jax.__path__, "resnet_jax."):
            if module.name != "resnet_jax.__main__":
                __import__(module.name)

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import resnet_jax.training.steps
            from resnet_jax.training import loop
            from resnet_jax.training.parallel import Parallel
            from resnet_jax.data.formats.idx import read_idx
            from resnet_jax.cli import main
            main(["--version"])
        assert [one.filename for one in caught] == ["<string>"] * len(caught) and len(caught) == 6, caught
        from resnet_jax.data.sources.formats.idx import read_idx as same
        from resnet_jax.distributed import devices
        assert (Parallel, read_idx) == (devices.Parallel, same)
        assert resnet_jax.training.steps is resnet_jax.training.step and loop is sys.modules["resnet_jax.runs.trainer"]
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module, old, new",
    [
        ("errors", "nearest", "did_you_mean"),
        ("checkpoints.checksums", "Damaged", "CorruptedCheckpoint"),
        ("data", "Unreadable", "UnreadableImage"),
        ("data.loading.decoding", "Unreadable", "UnreadableImage"),
        ("data.loading.decoding", "DataError", "DataError"),
        ("runs.trainer", "SetupError", "SetupError"),
        ("types", "NotFinite", "NotFinite"),
        ("weights.pretrained", "Misfit", "WeightsMismatch"),
        ("extras", "MissingExtra", "MissingExtra"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_errors_are_caught_under_their_old_names(module, old, new):
    assert getattr(import_module(f"resnet_jax.{module}"), old) is getattr(import_module("resnet_jax.errors"), new)


def test_a_moved_module_runs_as_a_script():
    done = subprocess.run([sys.executable, "-m", "resnet_jax.nearest"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
