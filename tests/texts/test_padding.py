"""Texts of unequal lengths as one array."""

import numpy as np
import pytest

from resnet_jax.texts.padding import pad_texts


def test_texts_are_padded_to_the_longest_or_to_a_length():
    tokens, lengths = pad_texts([[5, 6, 7], [], [8]])
    np.testing.assert_array_equal(tokens, [[5, 6, 7], [0, 0, 0], [8, 0, 0]])
    np.testing.assert_array_equal(lengths, [3, 0, 1])
    assert tokens.dtype == lengths.dtype == np.int32
    tokens, lengths = pad_texts([[5, 6, 7], [8]], 2)
    np.testing.assert_array_equal(tokens, [[5, 6], [8, 0]])
    np.testing.assert_array_equal(lengths, [2, 1])
    assert pad_texts([[8]], 4).tokens.shape == (1, 4)


def test_no_text_and_empty_texts_have_an_array():
    assert pad_texts([]).tokens.shape == (0, 1)
    assert pad_texts([[], []]).tokens.shape == (2, 1)


def test_wrong_values_are_named():
    with pytest.raises(ValueError, match="length: expected at least 1, got 0"):
        pad_texts([[1]], 0)
    with pytest.raises(ValueError, match="text 1: expected ids from 0 to 2147483647, got -1"):
        pad_texts([[1], [2, -1]])
    with pytest.raises(ValueError, match="text 0: expected ids from 0 to 2147483647, got 2147483648"):
        pad_texts([[2**31]])
