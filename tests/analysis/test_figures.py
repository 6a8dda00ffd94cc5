"""Figure files, and lines that would hide others."""

import sys

import numpy as np
import pytest

from resnet_jax.analysis import figures


def test_can_draw_needs_matplotlib(monkeypatch):
    assert figures.can_draw()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not figures.can_draw()


def test_missing_matplotlib_is_named_with_its_install_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r"pip install 'flax-resnets\[plots\]'"):
        figures.save_figure(tmp_path / "picture", print, height=1, kinds=("png",))


def test_a_figure_is_saved_in_every_kind_below_a_new_folder(tmp_path):
    pytest.importorskip("matplotlib")
    paths = figures.save_figure(
        tmp_path / "new/v1.5.svg", lambda figure: figures.title(figure, "$a_b"), height=1, kinds=("png", "svg")
    )
    assert paths == [tmp_path / "new/v1.5.png", tmp_path / "new/v1.5.svg"]
    assert "$a_b" in paths[1].read_text() and paths[0].read_bytes().startswith(b"\x89PNG")


def test_covered_lines_are_counted():
    xs = np.arange(10.0)
    same, close, other = (xs, xs), (xs, xs + 0.01), (xs, 9 - xs)
    assert figures.hidden_under([same, other, close, same]) == [2, 0, 1, 0]
    assert figures.hidden_under([(xs, np.full(10, np.nan)), ([], []), same]) == [0, 0, 0]


def test_the_span_of_lines_ignores_what_is_not_finite():
    assert figures.span_of([([0, 1], [1.0, np.nan]), ([0], [np.inf]), ([0], [4.0])]) == 3
    assert figures.span_of([]) == figures.span_of([([0], [np.nan])]) == 0


def test_a_long_text_keeps_its_end():
    assert figures.shorten("abcdefgh", 6) == "...fgh" and figures.shorten("abcdef", 6) == "abcdef"
