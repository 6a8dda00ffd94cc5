"""Suggestions, and every exception class in one file."""

import ast
from pathlib import Path

import pytest

import resnet_jax
from resnet_jax.errors import did_you_mean, listed, public_address

NETS = ["resnet18", "resnet50", "cifar_resnet20", "vgg"]


@pytest.mark.parametrize(
    "name, hint",
    [
        ("RESNET18", "did you mean resnet18?"),
        ("resnet18.a1_in1k", "did you mean resnet18?"),
        ("resnet20", "did you mean cifar_resnet20, resnet50 or resnet18?"),
        ("zzz", "expected resnet18, resnet50, cifar_resnet20 or vgg"),
    ],
)
def test_a_similar_name_is_suggested(name, hint):
    assert did_you_mean(name, NETS) == hint


def test_a_hint_takes_the_place_of_a_long_list():
    assert did_you_mean("zzz", NETS, "see list_models()") == "see list_models()"
    assert did_you_mean("zzz", []) == "expected nothing"


def test_exception_classes_are_in_errors():
    root = Path(resnet_jax.__file__).parent
    elsewhere = [
        f"{file.relative_to(root)}: {node.name}"
        for file in root.rglob("*.py")
        if file.name != "errors.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id.endswith(("Error", "Exception")) for base in node.bases)
    ]
    assert not elsewhere


def test_addresses_are_shown_without_what_may_be_secret():
    assert public_address("https://me:secret@a.org:80/net.pth?token=secret#x") == "https://a.org:80/net.pth?..."
    for source in ("https://a.org/net.pth", "timm/resnet18.a1_in1k", "runs/what?"):
        assert public_address(source) == source


def test_long_names_are_cut_in_lists():
    assert listed(["a", "b" * 200, "c"], 2) == f"a, {'b' * 200} and 1 more"
    assert listed(["a" * 10**6 + "b" * 57]) == "a" * 140 + "..." + "b" * 57
