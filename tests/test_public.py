"""The package as other projects import it."""

import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import resnet_jax
from resnet_jax.tasks.losses import cross_entropy, label_weights

LIBRARY = Path(__file__).parent / "helpers" / "library_use.py"


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
        assert resnet_jax.models.list_models is resnet_jax.list_models
        for name in "config data evaluation images metrics runs tasks training".split():
            assert getattr(resnet_jax, name).__name__ == f"resnet_jax.{name}"
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
                requirements = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                return seen
            for line in requirements:
                if "extra ==" not in line:
                    needs(re.match(r"[\\w.-]+", line)[0].lower(), seen)
            return seen

        expected = needs("jax", set()) | needs("flax", set()) | needs("optax", set())
        normal = lambda name: re.sub(r"[-_.]+", "-", name).lower()
        expected = {normal(name) for name in expected} | {"flax-resnets", "setuptools", "pip"}
        owners = metadata.packages_distributions()
        absent = {m for m, dists in owners.items() if not {normal(d) for d in dists} & expected}
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


NET, SGD = resnet_jax.create_model("cifar_resnet8", num_classes=3), optax.sgd(0.1)
LOGITS, LABELS = np.zeros((2, 3), np.float32), np.array([0, 1])
STATE = resnet_jax.TrainState
ODD = {
    "a model name .* got None": lambda: resnet_jax.create_model(None),
    "a model name .* got int 5": lambda: resnet_jax.create_model(5),
    "a model name .* or a net of create_model, got int 5": lambda: resnet_jax.summary(5),
    "a model name .* or a net of create_model, got None": lambda: resnet_jax.feature_info(None),
    "a pattern of model names .* got None": lambda: resnet_jax.list_models(None),
    "a pattern of model names .* got int 5": lambda: resnet_jax.list_models(5),
    "a path .str or Path., got None": lambda: resnet_jax.load_checkpoint(None),
    'step "latest", "best" or a number': lambda: resnet_jax.load_checkpoint("run", 1.5),
    "a path .str or Path., got int 5": lambda: resnet_jax.load_pretrained(5),
    "a model name .* or a net of create_model, got list": lambda: resnet_jax.load_pretrained("a.pth", model=[]),
    "variables .* got None": lambda: resnet_jax.save_torch_state(None, "resnet18", "a.safetensors"),
    "a layout .* got list": lambda: resnet_jax.save_torch_state({"params": {}}, "resnet18", "a.safetensors", []),
    "a net .*; create_model.'resnet18'. makes one": lambda: resnet_jax.make_train_step("resnet18", SGD),
    "an optimiser, as .* got str 'sgd'": lambda: resnet_jax.make_train_step(NET, "sgd"),
    "loss .a function., got None": lambda: resnet_jax.make_train_step(NET, SGD, loss=None),
    "frozen .a function., got str 'stem'": lambda: resnet_jax.make_train_step(NET, SGD, frozen="stem"),
    "ema_decay .* got str 'x'": lambda: resnet_jax.make_train_step(NET, SGD, ema_decay="x"),
    "a net .* got None": lambda: resnet_jax.make_eval_step(None),
    "prepare .a function., got int 5": lambda: resnet_jax.make_eval_step(NET, prepare=5),
    "a batch .* got tuple": lambda: resnet_jax.make_eval_step(NET, axis_name=None)(None, (LOGITS, LABELS)),
    "a TrainState, got None": lambda: resnet_jax.make_train_step(NET, SGD, axis_name=None)(None, {}),
    "a key, as .* got int 0": lambda: STATE.create(NET, SGD, 0, np.zeros((1, 8, 8, 3))),
    "sample images .* got None": lambda: STATE.create(NET, SGD, jax.random.key(0), None),
    "variables .* got list": lambda: STATE.from_variables([], SGD, jax.random.key(0)),
    "labels int .2. .* got list": lambda: cross_entropy(LOGITS, [0, 1]),
    "logits float .* got int64": lambda: cross_entropy(LOGITS.astype(np.int64), np.eye(3)[:2]),
    "label_smoothing .* got str 'a'": lambda: cross_entropy(LOGITS, LABELS, label_smoothing="a"),
    "class_weights .* got int 5": lambda: cross_entropy(LOGITS, LABELS, class_weights=5),
    "labels .an array., got list": lambda: label_weights([0, 1], [1, 1]),
}


@pytest.mark.parametrize("message", ODD)
def test_arguments_of_another_type_are_named(message):
    with pytest.raises(TypeError, match=f"^expected {message}"):
        ODD[message]()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: resnet_jax.summary("cifar_resnet8", -1), "image_size: expected a whole number, at least 1, got -1"),
        (lambda: resnet_jax.feature_info("cifar_resnet8", "x"), "image_size: expected a whole number"),
        (lambda: resnet_jax.make_train_step(NET, SGD, accumulate=0), "accumulate: expected a whole number"),
        (lambda: resnet_jax.make_train_step(NET, SGD, ema_decay=2), "expected ema_decay in .0, 1., got 2"),
        (lambda: resnet_jax.save_torch_state({}, "resnet18", "a.safetensors"), 'expected variables with "params"'),
        (lambda: cross_entropy(LOGITS, LABELS, class_weights=[1e308, 1, 1]), "expected finite class weights"),
        (lambda: cross_entropy(LOGITS, LABELS, label_smoothing=2), "expected label_smoothing in .0, 1., got 2"),
        (lambda: resnet_jax.load_checkpoint("a\0b"), "null character"),
    ],
)
def test_arguments_out_of_range_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_case_does_not_hide_a_name():
    with pytest.raises(ValueError, match="did you mean resnet18.$"):
        resnet_jax.create_model("RESNET18")
    assert resnet_jax.list_models("RESNET18*") == resnet_jax.list_models("resnet18*")
