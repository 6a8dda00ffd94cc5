import jax
import pytest

from resnet_jax.runs.loop.memory import is_out_of_memory, out_of_memory


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ("RESOURCE_EXHAUSTED: Out of memory allocating 133089445696 bytes.", " (asked for 124 GiB)"),
        ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12.50GiB.", " (asked for 12.5 GiB)"),
        (
            "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.51G of 15.48G hbm.",
            " (asked for 20.5 GiB)",
        ),
        ("RESOURCE_EXHAUSTED: Failed to allocate request for 768.00MiB (805306368B) on device", " (asked for 768 MiB)"),
        ("RESOURCE_EXHAUSTED", ""),
    ],
)
def test_the_requested_amount_is_reported(message, asked):
    error = jax.errors.JaxRuntimeError(message)
    assert is_out_of_memory(error) and not is_out_of_memory(jax.errors.JaxRuntimeError("INTERNAL: lost"))
    assert str(out_of_memory(error, "in step 1", "less is less")) == f"out of memory in step 1{asked}: less is less"


def test_memory_of_the_host_counts_too():
    error = MemoryError("Unable to allocate 1.21 GiB for an array with shape (1, 2) and data type float32")
    assert is_out_of_memory(error) and "(asked for 1.21 GiB)" in str(out_of_memory(error, "in the test", "x"))
