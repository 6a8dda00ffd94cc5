"""Recognises and describes errors of exhausted memory."""

from __future__ import annotations

import math
import re

import jax

from resnet_jax.errors import OutOfMemory

# Amounts in messages of XLA's allocators, its TPU compiler and NumPy.
AMOUNT = re.compile(r"(?:allocat\w*\D{1,20}|Used )([\d.]+)\s*(bytes|[KMGT]?i?B|[KMGT])\b")
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is XLA's or Python's error of exhausted memory."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


def out_of_memory(error: BaseException, activity: str, advice: str) -> OutOfMemory:
    """The error to raise. `activity`: "in step 1"; `advice`: options that use less."""
    requested = amount(str(error))
    return OutOfMemory(f"out of memory {activity}{f' (asked for {requested})' if requested else ''}: {advice}")


def amount(message: str) -> str | None:
    """The size of the failed allocation: "124 GiB"; None if the message does not have it."""
    if not (match := AMOUNT.search(message)):
        return None
    size = float(match[1]) * UNITS.get(match[2][0], 1)
    power = min(3, int(math.log(max(size, 1), 1024)))
    number = size / 1024**power
    return f"{number:.{'3g' if number < 1000 else '0f'}} {('bytes', 'KiB', 'MiB', 'GiB')[power]}"
