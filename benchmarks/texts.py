"""Baselines for nets of texts: python benchmarks/texts.py tfidf|ngram PATH

tfidf: logistic regression on TF-IDF of words (1 and 2 in a row), of characters (2 to 5 in a row, inside words), and of
both, of the texts at PATH as `--data.path` reads them, on the same splits. C is that of --c which is best on a fifth of
the training texts, held out by contents; then all are trained on. Needs scikit-learn. Some minutes for 50,000 texts.

ngram: bits per character of an interpolated Kneser-Ney model of characters, of the plain text at PATH, also on the
splits of a run. The order is that of --orders which is best on the last tenth of the training text. Two minutes for 4
million characters. Discounts are n1 / (n1 + 2 n2) of each order (Chen and Goodman 1999, section 3); below the first
order, characters are uniform.

Measured on 2026-11-26 (scikit-learn 1.9): accuracy on the 2,159 test snippets of examples/movie_snippets.py, words
0.7818, characters 0.7805, both 0.7994; on the 10,558 of examples/package_descriptions.py, words 0.8321. Bits per
character on the last tenth of examples/bible_text.py: order 10, which is best on the last tenth of the training text,
1.8074; order 7, which is best there of 4 to 7, 1.7947.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable

import numpy as np

from resnet_jax.data.sources.held_out import default_splits
from resnet_jax.formats.texts import open_texts
from resnet_jax.inputs.text import TextPreprocess, ended

UNKNOWN = 0  # the code of a character that training does not have


def texts_and_labels(dataset, split: str) -> tuple[list[str], np.ndarray]:
    source = dataset.examples(split)
    return [item.decode() for item in source.images], source.labels


def features(kind: str):
    """The TF-IDF features of "words", "characters" or "both"."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    words = {"ngram_range": (1, 2), "min_df": 2, "sublinear_tf": True}
    characters = {"analyzer": "char_wb", "ngram_range": (2, 5), "min_df": 2, "sublinear_tf": True}
    chosen = {"words": [words], "characters": [characters], "both": [words, characters]}[kind]
    return make_union(*(TfidfVectorizer(**options, dtype=np.float32) for options in chosen))


def accuracy(kind: str, c: float, train: tuple[list[str], np.ndarray], test: tuple[list[str], np.ndarray]) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    vectors = features(kind)
    model = LogisticRegression(C=c, solver="liblinear", max_iter=200)
    model = model if len(np.unique(train[1])) == 2 else OneVsRestClassifier(model)
    model.fit(vectors.fit_transform(train[0]), train[1])
    return float((model.predict(vectors.transform(test[0])) == test[1]).mean())


def tfidf(path: str, cs: Iterable[float], kinds: Iterable[str]) -> None:
    dataset = open_texts(path)
    train, test = (texts_and_labels(dataset, split) for split in default_splits(dataset, "train", None))
    part, held = (texts_and_labels(dataset, f"train[{which}]") for which in ("training", "held-out"))
    majority = np.bincount(train[1]).argmax()
    counts = {"train": len(train[1]), "test": len(test[1]), "classes": len(np.unique(train[1]))}
    print(json.dumps({**counts, "always the most frequent class": float((test[1] == majority).mean())}))
    for kind in kinds:
        start = time.process_time()
        held_out = {c: accuracy(kind, c, part, held) for c in cs}
        best = max(held_out, key=held_out.get)
        result = {"features": kind, "C": best, "held_out": held_out, "test": accuracy(kind, best, train, test)}
        print(json.dumps(result | {"processor_seconds": round(time.process_time() - start)}), flush=True)


def encoded(texts: Iterable[str], codes: dict[str, int]) -> np.ndarray:
    """Codes of the characters of a text behind a line end, int64 [1 + l]."""
    return np.array([codes["\n"], *(codes.get(letter, UNKNOWN) for text in texts for letter in text)], np.int64)


def grams(ids: np.ndarray, order: int, base: int) -> np.ndarray:
    """A number for each run of `order` codes: int64 [l - order + 1]."""
    codes = np.zeros(len(ids) - order + 1, np.int64)
    for i in range(order):
        codes = codes * base + ids[i : len(ids) - order + 1 + i]
    return codes


class KneserNey:
    """Interpolated Kneser-Ney model of each order up to `order`, from the codes of a text."""

    def __init__(self, ids: np.ndarray, order: int, base: int) -> None:
        if base**order >= 2**63:
            raise SystemExit(f"order {order}: expected base^order below 2^63, got {base} characters")
        self.order, self.base = order, base
        self.tables = []
        for k in range(1, order + 1):
            if k == order:
                keys, counts = np.unique(grams(ids, k, base), return_counts=True)
            else:  # the number of characters that are seen before each run
                keys, counts = np.unique(np.unique(grams(ids, k + 1, base)) % base**k, return_counts=True)
            ones, twos = (counts == 1).sum(), (counts == 2).sum()
            discount = ones / (ones + 2 * twos) if ones else 0.5  # something is for what is not seen
            contexts, first = np.unique(keys // base, return_index=True)
            totals = np.add.reduceat(counts, first)
            kinds = np.diff(np.append(first, len(keys)))
            self.tables.append((keys, counts, contexts, totals, kinds, discount))

    def bits(self, ids: np.ndarray) -> float:
        """Mean bits of each code but the first, given those before it."""
        p = np.full(len(ids) - 1, 1 / self.base)
        for k, (keys, counts, contexts, totals, kinds, discount) in enumerate(self.tables, 1):
            if len(ids) < k:
                break
            codes = grams(ids, k, self.base)[1 if k == 1 else 0 :]  # of the runs that end at each predicted code
            seen = _looked_up(keys, counts, codes)
            total = _looked_up(contexts, totals, codes // self.base)
            follow = _looked_up(contexts, kinds, codes // self.base)
            known = total > 0
            lower = p[max(0, k - 2) :]
            mixed = np.maximum(seen - discount, 0) + discount * follow * lower
            p[max(0, k - 2) :] = np.where(known, mixed / np.where(known, total, 1), lower)
        return float(-np.log2(p).mean())


def _looked_up(keys: np.ndarray, values: np.ndarray, wanted_keys: np.ndarray) -> np.ndarray:
    place = np.minimum(np.searchsorted(keys, wanted_keys), len(keys) - 1)
    return np.where(keys[place] == wanted_keys, values[place], 0)


def ngram(path: str, orders: Iterable[int]) -> None:
    dataset = open_texts(path, label_kind="next-token")
    names = default_splits(dataset, "train", None)
    train, test = ([ended(item.decode()) for item in dataset.examples(name).images] for name in names)
    vocabulary = TextPreprocess.of_texts(train, next_token=True).tokenizer.vocabulary
    codes = {token: place for place, token in enumerate(vocabulary.tokens[1:])}  # 0: unknown
    ids, tested = encoded(train, codes), encoded(test, codes)
    cut = len(ids) * 9 // 10
    base = len(codes)
    held_out = {order: KneserNey(ids[:cut], order, base).bits(ids[cut:]) for order in orders}
    best = min(held_out, key=held_out.get)
    print(json.dumps({"characters": {"train": len(ids) - 1, "test": len(tested) - 1}, "vocabulary": base}))
    bits = KneserNey(ids, best, base).bits(tested)
    print(json.dumps({"order": best, "held_out": held_out, "test bits per character": bits}))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("baseline", choices=("tfidf", "ngram"))
    parser.add_argument("path", help="the texts, as --data.path")
    parser.add_argument("--c", type=float, nargs="+", default=[1, 4, 16], help="inverse strengths of the penalty")
    parser.add_argument("--features", nargs="+", default=["words", "characters", "both"])
    parser.add_argument("--orders", type=int, nargs="+", default=[5, 6, 7, 8, 9])
    options = parser.parse_args(arguments)
    if options.baseline == "tfidf":
        tfidf(options.path, options.c, options.features)
    else:
        ngram(options.path, options.orders)


if __name__ == "__main__":
    main()
