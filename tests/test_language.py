"""Docstrings, comments, messages and pages keep to plain words: a short list of phrases stays out."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PHRASES = {  # pattern: what to write instead
    r"\bgo(es|ing|ne)? on (with|from|to the)\b|\bwent on\b": "resume, continue",
    r"\banew\b": "from scratch, again",
    r"\bputs? (it |them )?aside\b": "save, move",
    r"\b(newest|best|last|no|a) sound (one|checkpoint|save)|\bthe sound ones\b": "valid",
    r"\bno \w+ of ours\b|\bnothing of ours\b": "not a valid checkpoint (file, ...) of this package",
    r"\bwanted: |; wanted\b|, wanted\b": "expected",
    r"; valid: |\bvalid choices are: ": "expected ..., got ...; did you mean ...?",
    r"\btold\b": "report, print, warn",
    r"\b(kernels?|weights?|scales?) (is|are) drawn\b": "initialise, sample",
    r"\b(so|that) many (images|steps|epochs|examples|classes|batches|of)\b": "a number of, N",
    r"\ba number that\b": "at least, at most, must be",
    r"\b(left|leaves?|leaving) out\b": "skip, ignore, drop, exclude",
    r"\bfor who\b|\bwho goes on\b": "subject, verb, object",
    r"\bhands? on beside\b|\blooked at for\b|\b(is|are) waited for\b": "pass, check, wait for",
    r"\b(was|has|is|newly) begun\b": "started",
    r"\bthe seal\b|\bsealed\b": "checksums",
    r"\bdamaged checkpoints?\b|\bcheckpoint is damaged\b": "corrupted checkpoint",
    r"\bcannot be told\b": "is not known",
}
NAMES = {  # names of values that do not say what the value is, and what may
    "said": "message, messages",
    "told": "messages, warnings",
    "wanted": "expected, selected",
    "found": "matches, or what they are",
    "kept": "steps, names, ... of what is kept",
    "given": "the argument's meaning",
    "facts": "metadata",
}
BANNED = re.compile("|".join(f"(?:{pattern})" for pattern in PHRASES), re.IGNORECASE)
ROOMS = sorted({file.relative_to(ROOT / "resnet_jax").parts[0] for file in (ROOT / "resnet_jax").rglob("*.py")})


def prose(file):
    """(line, text) of the comments and strings of a Python file; every line of another file."""
    if file.suffix != ".py":
        yield from enumerate(file.read_text().splitlines(), start=1)
        return
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", None)}
    for token in tokenize.generate_tokens(io.StringIO(file.read_text()).readline):
        if token.type in kinds:
            yield token.start[0], " ".join(token.string.split())


def assigned(file):
    """(line, name) of the variables, attributes, parameters, functions and classes that a Python file defines."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name


def check(files):
    matches = [
        f"{file.relative_to(ROOT)}:{line}: {match[0]!r}; write {plain_words(match[0])}"
        for file in files
        for line, text in prose(file)
        for match in BANNED.finditer(text)
    ]
    assert not matches, "\n".join(["", *matches])


def plain_words(phrase):
    return next(words for pattern, words in PHRASES.items() if re.search(pattern, phrase, re.IGNORECASE))


@pytest.mark.parametrize("room", ROOMS)
def test_the_package_keeps_the_phrases_out(room):
    place = ROOT / "resnet_jax" / room
    check(sorted(place.rglob("*.py")) if place.is_dir() else [place])


@pytest.mark.parametrize("folder", ["configs", "benchmarks", "examples", "docs"])
def test_pages_and_programs_keep_the_phrases_out(folder):
    check(sorted(file for file in (ROOT / folder).rglob("*") if file.suffix in (".py", ".md", ".sh")))


def test_readme_keeps_the_phrases_out():
    check([ROOT / "README.md", ROOT / "train.py"])


@pytest.mark.parametrize("folder", ["resnet_jax", "tests", "benchmarks", "examples", "configs"])
def test_names_of_values_say_what_they_are(folder):
    matches = [
        f"{file.relative_to(ROOT)}:{line}: {name}; write {NAMES[name]}"
        for file in sorted((ROOT / folder).rglob("*.py"))
        for line, name in assigned(file)
        if name in NAMES
    ]
    assert not matches, "\n".join(["", *matches])


def test_the_lists_find_what_they_are_for(tmp_path):
    (tmp_path / "a.py").write_text("def f(said, *, told=0):\n    self.kept = [given for given in said]\n")
    assert {name for _, name in assigned(tmp_path / "a.py")} == {"f", "kept", "said", "told", "given"}
    examples = (
        "for who goes on with a run", "wanted: at least 1", "its newest sound checkpoint", "the net is drawn anew",
        "the mistake is told in one line", "so many images of each", "it has begun", "such updates are left out",
    )  # fmt: skip
    assert all(BANNED.search(text) for text in examples)
    honest = ("a row of the table", "expected at least 1", "a sound file", "there is no checkpoint", "so many errors")
    assert not any(BANNED.search(text) for text in honest)
