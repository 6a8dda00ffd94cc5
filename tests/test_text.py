"""Names in any script, in columns of a terminal."""

import math
import time

import pytest

from resnet_jax.errors import did_you_mean
from resnet_jax.text import bytes_of, columns, count_table, decimals, fit_width, printable, printable_lines


@pytest.mark.parametrize("text, width", [("cat", 3), ("猫", 2), ("e\u0301" * 3, 3)])
def test_columns_are_those_of_a_terminal(text, width):
    assert columns(text) == width


def test_a_fitted_text_has_exactly_its_width():
    assert (
        columns(fit_width("猫猫猫猫", 7)) == 7 and fit_width("cat", 5) == "cat  " and fit_width("abcdef", 5) == "ab..."
    )


def test_a_long_name_is_shortened_quickly():
    """Removing one letter at a time took minutes for a name of 20,000 letters."""
    start = time.perf_counter()
    assert fit_width("a" * 200_000, 12) == "a" * 9 + "..."
    assert did_you_mean("b" * 200_000, ["b" * 199_999, "cat"]).startswith("did you mean b")
    assert time.perf_counter() - start < 2


def test_unprintable_characters_are_escaped():
    assert printable("a\nb\x1b") == "a\\nb\\x1b" and printable("caf\udce9") == "caf\\udce9" and printable("猫") == "猫"


def test_a_table_of_many_classes_shows_the_largest_and_the_smallest():
    counts = {"train": list(range(25)), "val": [1000] * 25}
    lines = count_table([f"c{k}" for k in range(25)], counts, width=80)
    assert lines[0].split() == ["class", "train", "val"] and len(lines) == 18
    assert lines[1].split() == ["c24", "24", "1,000"] and lines[9] == "... 9 more classes ..."
    assert lines[-1].split() == ["c0", "0", "1,000"]


def test_four_decimals_or_a_dash():
    assert [decimals(x) for x in (0.12345, None, math.nan)] == ["0.1235", "-", "-"]


def test_a_name_from_a_file_does_nothing_to_a_terminal():
    assert printable_lines("a\x1b[31m\tb\u202e\nc") == "a\\x1b[31m b\\u202e\nc"


def test_bytes_have_a_unit():
    counts = (0, 999, 999.9, 1000, 85_824, 999_999, 2.5e6, 330e9, 1.2e13)
    expected = ["0 bytes", "999 bytes", "1 kB", "1 kB", "85.8 kB", "1 MB", "2.5 MB", "330 GB", "12 TB"]
    assert [bytes_of(count) for count in counts] == expected
