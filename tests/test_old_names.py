"""Old names in the ways that people import them."""

import inspect
import subprocess
import sys
import textwrap
from importlib import import_module, resources

import pytest


def run(*arguments):
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


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
        from resnet_jax.formats.idx import read_idx as same
        from resnet_jax.distributed import devices
        assert (Parallel, read_idx) == (devices.Parallel, same)
        assert resnet_jax.training.steps is resnet_jax.training.step and loop is sys.modules["resnet_jax.runs.trainer"]
    """
    run("-c", textwrap.dedent(code))


def test_a_moved_module_runs_as_a_script():
    assert "resnet_jax.nearest is now resnet_jax.errors; " in run("-W", "always", "-m", "resnet_jax.nearest")


def test_threads_import_old_names_of_an_imported_package():
    code = """
        import threading, warnings
        from importlib import import_module
        import resnet_jax
        warnings.simplefilter("ignore")
        failures = []

        def load(names):
            for name in names:
                try:
                    import_module(f"resnet_jax.{name}")
                except BaseException as error:
                    failures.append(error)

        names = ["arguments", "nearest", "commands"]
        threads = [threading.Thread(target=load, args=(names[i % 3:] + names[:i % 3],)) for i in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
    """
    run("-c", textwrap.dedent(code))


def test_a_module_with_old_names_keeps_its_loader():
    module = import_module("resnet_jax.weights.recognition")
    plain = import_module("resnet_jax.files")
    assert type(module.__loader__) is type(module.__spec__.loader) is type(plain.__loader__)
    assert "def recognise" in inspect.getsource(module)
    assert resources.files("resnet_jax.weights").joinpath("signatures.json").is_file()


def test_a_name_that_never_was_raises():
    with pytest.raises(AttributeError, match="module 'resnet_jax.ops' has no attribute 'conv3d'"):
        _ = import_module("resnet_jax.ops").conv3d
    with pytest.raises(ModuleNotFoundError, match="resnet_jax.training.nothing"):
        import_module("resnet_jax.training.nothing")
