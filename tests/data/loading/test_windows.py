"""Windows for testing predict each token once; those for training are cut from longer parts."""

import numpy as np
import pytest

from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.data.loading.windows import WindowSource, open_windows
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.inputs.text import TextPreprocess
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


def texts(*items):
    return ArraySource([item.encode() for item in items], np.zeros(len(items), np.int32), (), "corpus.txt")


def test_texts_are_joined_and_the_vocabulary_is_the_classes():
    preprocess = TextPreprocess.of_texts(["ab\n cd"], next_token=True, window=4)
    windows = open_windows(texts("ab\n", "c ", "d"), preprocess, "corpus.txt (train)", context=1)
    assert preprocess.decode(windows.ids) == "\nab\nc d\n"
    assert windows.classes == preprocess.tokenizer.vocabulary.tokens
    assert windows.name(1) == "corpus.txt (train), tokens 4 to 7"


def test_training_cuts_windows_at_random_places_and_testing_predicts_each_token_once():
    text = "".join(chr(97 + i) for i in range(26)) * 3
    preprocess = TextPreprocess.of_texts([text], next_token=True, window=10)
    training = SequenceLoader(open_windows(texts(text), preprocess, "x", context=None), preprocess)
    batches = training.batches(0, batch_size=7)
    first, second = next(batches), next(batches)
    assert first["image"].shape == (7, 10)
    assert "lengths" not in first
    assert first["label"].tolist() == [1] * 7
    rows = {training.preprocess.decode(row) for row in (*first["image"], *second["image"])}
    assert all(row in f"\n{text}\n" for row in rows)
    assert len(rows) > 7  # another place in each epoch
    again = next(training.batches(0, 1, batch_size=7))
    np.testing.assert_array_equal(again["image"], second["image"])
    testing = SequenceLoader(open_windows(texts(text), preprocess, "x", context=4), preprocess)
    predicted = []
    for batch in testing.eval_batches(3):
        for row in range(3):
            if batch["mask"][row]:
                ids = batch["image"][row][batch["label"][row] : batch["lengths"][row]]
                predicted.append((int(batch["example"][row]), testing.preprocess.decode(ids)))
    assert "".join(part for _, part in sorted(predicted)) == f"{text}\n"
