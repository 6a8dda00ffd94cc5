"""Windows of a long text: each token but the first is predicted once, from at least the context."""

import numpy as np
import pytest

from resnet_jax.texts.windows import token_windows


@pytest.mark.parametrize("context", [1, 3, 6])
@pytest.mark.parametrize("size", [1, 2, 6, 7, 8, 20, 43])
def test_each_token_is_predicted_once(size, context):
    ids = np.arange(100, 100 + size)
    windows = token_windows(ids, 7, context=context)
    assert windows.tokens.shape[1] == 7
    predicted = []
    for tokens, length, first in zip(*windows, strict=True):
        np.testing.assert_array_equal(tokens[:length], np.arange(tokens[0], tokens[0] + length))
        np.testing.assert_array_equal(tokens[length:], 0)
        assert first == (1 if tokens[0] == 100 else context)
        predicted += [*tokens[first:length]]
    assert predicted == [*ids[1:]]


def test_wrong_arguments_are_named():
    for context in (0, 5):
        with pytest.raises(ValueError, match=f"context: expected 1 to 4, below the length of a window, got {context}"):
            token_windows([1, 2], 5, context=context)
    with pytest.raises(ValueError, match="expected at least one id, got none"):
        token_windows([], 5)
