"""Pictures of curves, sounds and texts, judged by their pixels."""

import numpy as np
import pytest

from resnet_jax.analysis.sequence_drawing import (
    COLOURS,
    GROUND,
    HEAT,
    Curves,
    draw_curves,
    draw_spectrogram,
    draw_text,
    draw_waveform,
    drawable,
    sheet,
    stack,
    table,
    value_range,
)


def is_ink(picture):
    return (picture.astype(int).sum(-1) < 600) & ~(picture == 225).all(-1)


def test_a_curve_rises_from_the_lower_left_and_stops_at_its_length():
    line = np.linspace(-1, 1, 50)[:, None]
    picture = draw_curves(Curves([line]), (60, 100), span=(-1, 1), length=100)
    columns = np.flatnonzero(is_ink(picture).any(0))
    assert picture.shape == (60, 100, 3) and columns[0] == 0 and 47 <= columns[-1] <= 52
    rows = [np.flatnonzero(is_ink(picture)[:, x]).mean() for x in (2, 25, 47)]
    assert rows[0] > 50 and 25 < rows[1] < 35 and rows[2] < 10


def test_channels_have_colours_and_the_thick_curve_is_on_top_of_thin_ones():
    flat = np.stack([np.full(20, 0.5), np.full(20, -0.5)], 1)
    picture = draw_curves(Curves([flat], [flat]), (60, 80), span=(-1, 1), length=20)
    for channel, row in ((0, 15), (1, 44)):
        nearest = np.abs(picture[row - 1 : row + 2, 40].astype(int) - COLOURS[channel]).sum(-1).min()
        assert nearest < 60  # and not the pale colour of the thin one
    assert draw_curves(Curves([flat[:1]]), (60, 80), span=(-1, 1), length=1).min() < 100  # a single point is seen


def test_outliers_do_not_flatten_the_rest_and_constants_have_a_range():
    values = np.concatenate([np.sin(np.arange(5000)), [1e6]])
    low, high = value_range([values[:, None]])
    assert -1.3 < low < -1 and 1 < high < 1.3
    assert value_range([np.ones((5, 1))]) == (0, 2)


@pytest.mark.parametrize("length", [10, 5000])
def test_a_waveform_fills_its_height_and_silence_is_a_line(length):
    loud = draw_waveform(0.02 * np.sin(np.arange(length)), (60, 100))
    rows = np.flatnonzero(is_ink(loud).any(1))
    assert rows[0] <= 2 and rows[-1] >= 57 and is_ink(loud).any(0).all()
    silent = draw_waveform(np.zeros(length), (60, 100))
    assert len(np.flatnonzero(is_ink(silent).any(1))) <= 2


def test_a_spectrogram_has_time_to_the_right_and_low_bands_below():
    values = np.zeros((40, 8))
    values[30:, 0] = 5.0
    picture = draw_spectrogram(values, (80, 120))
    assert picture.shape == (80, 120, 3)
    np.testing.assert_array_equal(picture[79, 119], HEAT[-1])
    for y, x in ((0, 119), (79, 0), (0, 0)):
        np.testing.assert_array_equal(picture[y, x], HEAT[0])
    assert (draw_spectrogram(np.zeros((4, 8)), (80, 120)) == HEAT[0].astype(int)).all()  # silence


def test_a_long_text_is_broken_at_spaces_and_shortened():
    short, long = (draw_text("word " * count, (60, 200)) for count in (3, 500))
    assert 0 < is_ink(short[:26]).sum() and not is_ink(short[30:]).any()
    assert is_ink(long[36:56]).any() and not is_ink(long[:, 196:]).any() and not is_ink(long[58:]).any()
    assert is_ink(draw_text("x" * 500, (60, 200))[36:56]).any()  # a word that fits into no line
    assert is_ink(draw_text("日本", (60, 200))).any() and not is_ink(draw_text("", (60, 200))).any()


def test_letters_that_the_font_lacks_lose_their_accents_or_become_question_marks():
    assert drawable("Amélie naïve ŝ日\x07·") == "Amelie naive s??·"


def test_a_sheet_has_rows_of_frames_with_captions_and_a_heading():
    pictures = [np.full((30, 50, 3), level, np.uint8) for level in (10, 90, 170)]
    whole = sheet(pictures, ["one", "two", "three" * 20], columns=2, heading="what it is")
    assert whole.shape[1] == 2 * 58 + 8
    for level in (10, 90, 170):
        assert ((whole == level).all(-1).sum()) >= 1500
    assert is_ink(whole[:30]).any() and (sheet(pictures[:1], [""], columns=4)[0] == GROUND).all()
    assert len(stack(pictures)) == 96


def test_a_table_has_names_beside_texts_of_one_or_two_lines():
    rows = table([("spam", "free money"), ("ham", "see you " * 99)], width=300)
    assert rows.shape[1] == 300 and len(rows) == 32 + 1 + 50
    assert is_ink(rows[:32, :60]).any() and is_ink(rows[:32, 60:]).any() and is_ink(rows[60:, 60:]).any()
    assert is_ink(table([("", "text")], width=300)[:, :20]).any()  # no first column
