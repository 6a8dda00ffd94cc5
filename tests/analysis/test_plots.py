"""Pictures of responses, gradients and experiments."""

import numpy as np
import pytest
from PIL import Image
from run_records import svg_text

from resnet_jax.analysis import plots
from resnet_jax.analysis.flow import Flow


def test_one_record_of_gradients_gives_a_band_for_each_block(tmp_path):
    pytest.importorskip("matplotlib")
    blocks = ("stem", "stage1_block0", "stage1_block1", "stage1_block2", "stage1_block10")
    flow = Flow(np.array([50]), blocks, np.arange(5.0)[None], (*blocks, "head"), 2 * np.arange(6.0)[None])
    png, svg = plots.draw_flow(flow, tmp_path / "flow")
    with Image.open(png) as picture:
        heat = np.asarray(picture.convert("RGB"))[200:380, 150:400].reshape(-1, 3)
    assert len(np.unique(heat, axis=0)) >= 4
    assert {"stem", "stage1.0", "stage1.10", "head"} <= set(svg_text(svg))


def test_responses_have_a_panel_for_each_kind_by_layer_and_by_size(tmp_path):
    pytest.importorskip("matplotlib")
    _, svg = plots.draw_responses({"plain": {20: [1.0, 0.5]}, "residual": {20: [0.2], 56: [0.1, 0.3]}}, tmp_path / "r")
    assert {"plain", "residual", "20 layers", "56 layers", "layer"} <= set(svg_text(svg))


def test_percentages_are_drawn_with_their_mean_and_the_level_of_chance(tmp_path):
    pytest.importorskip("matplotlib")
    ways = {"probe": [0.5, 0.7], "scratch": [0.4]}
    _, svg = plots.draw_ways(ways, tmp_path / "ways", y="top-1", heading="pets", chance=0.25)
    assert {"mean 60.0", "mean 40.0", "probe", "scratch", "chance, 25 %", "pets"} <= set(svg_text(svg))


def test_each_panel_of_lines_has_its_name_and_one_legend(tmp_path):
    pytest.importorskip("matplotlib")
    line = ([1, 2], [0.1, 10.0])
    panels = {"one": {"plain": line, "residual": line}, "two": {"plain": line}}
    _, svg = plots.draw_lines(panels, tmp_path / "lines", x="depth", y="norm", level=1.0)
    texts = svg_text(svg)
    assert {"one", "two", "depth", "norm"} <= set(texts) and texts.count("residual") == 1
