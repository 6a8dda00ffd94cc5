"""Eight simulated devices, no silent broadcasting, and one place for compiled programs."""

import gc
import os
import tempfile
from collections import Counter
from importlib.metadata import version

# Programs run once, so they are compiled fast: without LLVM's optimisations (once half of the suite's time), in one
# piece and, where jaxlib still has them, by the older emitters (a gradient's compilation: 0.44 s instead of 1.98).
os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_force_host_platform_device_count=8",
        "--xla_backend_optimization_level=0",
        "--xla_cpu_parallel_codegen_split_count=1",
        "--xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else "",
        os.environ.get("XLA_FLAGS", ""),
    ]
)
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # a run's first process makes one, and removes it when it ends
    programs = tempfile.TemporaryDirectory(prefix="resnet_jax_cache_", ignore_cleanup_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = programs.name
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import pytest

from resnet_jax import data

gc.freeze()  # what is imported stays
gc.set_threshold(100_000, 20, 20)  # traced programs are many small objects, and JAX's caches keep them


def pytest_collection_modifyitems(config, items):
    """Tests against more of other libraries than fits into a usual run are made when they are asked for.

    Files with the most slow tests come first: a long one that came last would leave the other processes idle.
    """
    if "parity" not in config.option.markexpr:
        asked = [item for item in items if not item.get_closest_marker("parity")]
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("parity")])
        items[:] = asked
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


def pytest_sessionfinish():
    """Collects the garbage once: pytest does so five times more, and a process that ends for 5 s is interrupted."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def strict_dtypes():
    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture(scope="session")
def tfds_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tfds"))


@pytest.fixture(scope="session")
def digits(tfds_dir):
    """The test split: 360 images."""
    return data.load("digits", "test", data_dir=tfds_dir)
