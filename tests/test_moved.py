"""Old names: each row of the tables."""

import re
import sys
import warnings
from contextlib import nullcontext
from importlib import import_module

import pytest

from resnet_jax.moved import MOVED, NOW_PACKAGES, RENAMED, REPLACED


@pytest.mark.parametrize("old", sorted(MOVED.keys() - NOW_PACKAGES))
def test_a_moved_module_is_the_same_object_under_its_old_path(old):
    new = import_module(f"resnet_jax.{MOVED[old]}")
    rows = [row for row in MOVED if f"{old}.".startswith(f"{row}.")]  # its own, and those of the packages above it
    for row in rows:
        sys.modules.pop(f"resnet_jax.{row}", None)
    parent, _, name = f"resnet_jax.{old}".rpartition(".")
    with pytest.warns(DeprecationWarning) as warned:
        assert import_module(f"resnet_jax.{old}") is new
    messages = "\n".join(str(warning.message) for warning in warned)
    for row in rows:
        assert f"resnet_jax.{row} is now resnet_jax.{MOVED[row]}; " in messages
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


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_a_renamed_object_is_the_same_under_its_old_name(old):
    module, _, name = old.rpartition(".")
    home, _, new = f"resnet_jax.{RENAMED[old]}".rpartition(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        there = import_module(f"resnet_jax.{module}")
    is_imported = name in vars(there)  # the module uses it: nothing to warn of
    warns = pytest.warns(DeprecationWarning, match=rf"\.{name} is now {home}\.{new}; ")
    with nullcontext() if is_imported else warns:
        assert getattr(there, name) is getattr(import_module(home), new)


@pytest.mark.parametrize("old", sorted(REPLACED))
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_replaced_object_names_what_does_its_work(old):
    module, _, name = old.rpartition(".")
    with pytest.raises(ImportError, match=rf"\.{name} is gone; {re.escape(REPLACED[old])}"):
        exec(f"from resnet_jax.{module} import {name}")


@pytest.mark.parametrize(
    "module, old, new",
    [
        ("errors", "nearest", "did_you_mean"),
        ("checkpoints.checksums", "Damaged", "CorruptedCheckpoint"),
        ("data", "Unreadable", "UnreadableImage"),
        ("data.images", "Unreadable", "UnreadableImage"),
        ("data.images", "DataError", "DataError"),
        ("runs.trainer", "SetupError", "SetupError"),
        ("types", "NotFinite", "NotFinite"),
        ("weights.pretrained", "Misfit", "WeightsMismatch"),
        ("extras", "MissingExtra", "MissingExtra"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_errors_are_caught_under_their_old_names(module, old, new):
    assert getattr(import_module(f"resnet_jax.{module}"), old) is getattr(import_module("resnet_jax.errors"), new)
