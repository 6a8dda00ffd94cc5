"""Windows for testing predict each token once; those for training are cut from longer parts."""

import numpy as np
import pytest

from resnet_jax.data.loading.windows import WindowSource
from resnet_jax.texts.windows import token_windows


def source(size, length=7, context=None):
    return WindowSource(np.arange(100, 100 + size, dtype=np.int32), length, context, ("<pad>", "<unk>"), "corpus.txt")


@pytest.mark.parametrize("context", [1, 3, 6])
@pytest.mark.parametrize("size", [2, 6, 7, 8, 20, 43])
def test_the_source_for_testing_has_these_windows(size, context):
    windows, examples = token_windows(np.arange(100, 100 + size), 7, context=context), source(size, context=context)
    assert len(examples) == len(windows.lengths)
    assert examples.labels.tolist() == [label for _, label in examples] == windows.context.tolist()
    for (ids, _), tokens, length in zip(examples, windows.tokens, windows.lengths, strict=True):
        np.testing.assert_array_equal(ids, tokens[:length])


def test_the_source_for_training_has_parts_to_cut_a_window_from():
    examples = source(23)
    assert [ids.tolist() for ids, _ in examples] == [
        [*range(100, 113)],
        [*range(107, 120)],
        [*range(114, 123)],  # at least a window to the end of the text
    ]
    assert examples.labels.tolist() == [1, 1, 1]
    assert [ids.tolist() for ids, _ in source(5)] == [[*range(100, 105)]]


def test_windows_have_names_and_identities():
    examples = source(2000, length=1000, context=10)
    assert examples.name(1) == "corpus.txt, tokens 991 to 1,990"
    identity = examples.identity(np.array([0, 1, 2]), "contents")
    assert len({*identity.fingerprints.tolist()}) == 3
    assert identity.labels.tolist() == [1, 10, 10]


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (1, {}, "corpus.txt: expected a text of at least two tokens, got 1"),
        (9, {"length": 1}, "length: expected windows of at least 2 ids, got 1"),
        (9, {"context": 7}, "context: expected 1 to 6, below the length of a window, got 7"),
    ],
)
def test_impossible_windows_are_refused(size, options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        source(size, **options)
