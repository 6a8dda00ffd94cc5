"""Boxes, masks and label maps in pictures."""

import numpy as np
import pytest

from resnet_jax.analysis.drawing import COLOURS, Drawn, colour, draw_label_map, draw_objects, side_by_side

LIGHT, BLACK = 250, 4


def objects(height, width):
    boxes = np.array([[0.2, 0.3, 0.6, 0.9], [0.7, 0.0, 1.0, 0.4]]) * [width, height, width, height]
    mask = np.zeros((height, width), bool)
    mask[height // 2 : height * 3 // 4, width // 4 : width // 2] = True
    return Drawn(boxes, np.array([0, 1]), ["cat 0.98", "dog 0.51"], [mask, np.zeros_like(mask)])


@pytest.mark.parametrize("level", [LIGHT, BLACK])
@pytest.mark.parametrize("size", [(96, 96), (300, 640), (3000, 400)])
def test_lines_and_names_are_legible_on_light_and_dark_pictures(size, level):
    picture = draw_objects(np.full((*size, 3), level, np.uint8), objects(*size))
    times = picture.shape[0] // size[0]
    assert picture.shape == (size[0] * times, size[1] * times, 3) and max(picture.shape) >= 480
    y0, x0 = round(0.3 * size[0]) * times, round(0.2 * size[1]) * times
    below = y0 + round(0.4 * picture.shape[0])
    across = picture[below, max(0, x0 - 30) : x0 + 30].astype(int)  # over the left edge of the first box
    assert (across == COLOURS[0]).all(-1).any()
    assert np.abs(across.sum(-1) - 3 * level).max() > 200
    plate = picture[: y0 + 1, x0 : x0 + 12].reshape(-1, 3)
    assert (plate == COLOURS[0]).all(-1).mean() > 0.01 and (plate.max(-1) <= 16).any()


def test_masks_are_translucent_inside_of_an_outline():
    picture = draw_objects(np.full((480, 480, 3), 200, np.uint8), objects(480, 480))
    inside = picture[300, 180]
    assert np.abs(inside - (0.6 * 200 + 0.4 * np.array(COLOURS[0]))).max() < 3
    assert (picture[300, 120:126] == COLOURS[0]).all(-1).any() and (picture[300, 120] <= 16).all()


def test_objects_at_the_border_and_none_at_all():
    plain = np.full((500, 20, 1), 9, np.uint8)
    nothing = Drawn(np.zeros((0, 4)), np.zeros(0, int), [])
    assert np.array_equal(draw_objects(plain, nothing), np.broadcast_to(plain, (500, 20, 3)))
    beyond = Drawn(np.array([[-9.0, -9, 40, 900]]), np.array([3]), ["a very long name of a class"])
    assert draw_objects(plain, beyond).shape == (500, 20, 3)


def test_label_maps_have_a_legend_of_the_classes_that_occur():
    labels = np.zeros((480, 480), np.uint8)
    labels[:240, :240], labels[:240, 240:] = 2, 255
    picture = draw_label_map(np.full((480, 480, 3), 100, np.uint8), labels, ["background", "cat", "dog"])
    assert picture.shape[0] > 480 and picture.shape[1:] == (480, 3)
    assert (picture[400, 100] == 100).all() and (picture[100, 400] == 100).all()
    assert np.abs(picture[100, 100] - (60 + 0.4 * np.array(COLOURS[2]))).max() < 3
    legend = picture[480:].reshape(-1, 3)
    assert (legend == COLOURS[2]).all(-1).any() and not (legend == COLOURS[1]).all(-1).any()


def test_classes_have_colours_of_their_own():
    assert len({colour(k) for k in range(90)}) == 90


def test_pictures_of_several_heights_stand_side_by_side():
    pair = side_by_side([np.zeros((50, 90, 3), np.uint8), np.full((70, 30, 3), 255, np.uint8)], ["prediction", "truth"])
    assert pair.shape[0] > 70 and pair.shape[1] > 120
