"""Objects and label maps, chosen, painted and under other classes."""

import numpy as np
import pytest

from resnet_jax.data.sources.annotations import (
    Annotations,
    LazyMasks,
    as_annotations,
    no_annotations,
    paint,
    relabel_annotations,
)
from resnet_jax.images.rle import encode


def square(x, y, side, size=(8, 10)):
    mask = np.zeros(size, np.uint8)
    mask[y : y + side, x : x + side] = 1
    return encode(mask)


def objects(labels=(1, 0, 1)):
    masks = (square(0, 0, 4), square(2, 2, 4), square(6, 0, 2))
    boxes = np.array([mask.box for mask in masks])
    area = np.array([16.0, 16.0, 4.0])
    return Annotations(boxes, np.array(labels), masks, np.array([False, True, False]), area, (8, 10))


def test_lazy_masks_are_made_once_and_only_when_they_are_read():
    made = []
    masks = LazyMasks([lambda i=i: made.append(i) or i for i in range(3)])
    assert len(masks) == 3 and not made
    assert list(masks) == [0, 1, 2] and masks[-1] == 2 and masks[1:] == (1, 2) and made == [0, 1, 2]


def test_chosen_objects_and_none():
    chosen = objects().take(np.array([2, 0]))
    assert chosen.labels.tolist() == [1, 1] and chosen.area.tolist() == [4, 16] and chosen.size == (8, 10)
    assert [mask.area for mask in chosen.masks] == [4, 16]
    none = no_annotations((8, 10), has_masks=True)
    assert len(none) == 0 and none.boxes.shape == (0, 4) and not paint(none, (8, 10)).any()


def test_painted_objects():
    label_map = paint(objects(), (8, 10))
    assert label_map[0, 0] == 2 and label_map[5, 5] == 1 and label_map[3, 3] == 255 and label_map[7, 9] == 0
    assert paint(objects((0, 0, 0)), (8, 10)).max() == 1
    with pytest.raises(ValueError, match="expected objects with masks, got boxes alone"):
        paint(
            Annotations(*(getattr(objects(), x) for x in ("boxes", "labels")), None, np.zeros(3, bool), np.ones(3)),
            (8, 10),
        )


def test_other_classes():
    """-1 drops objects, and makes pixels ignored."""
    new = relabel_annotations(objects(), np.array([-1, 5]))
    assert new.labels.tolist() == [5, 5] and [mask.area for mask in new.masks] == [16, 4]
    label_map = np.array([[0, 1, 2, 255]], np.uint8)
    assert relabel_annotations(label_map, np.array([3, -1, 0])).tolist() == [[3, 255, 0, 255]]
    with pytest.raises(TypeError, match="expected annotations, as label_kind='boxes' has, got a ndarray"):
        as_annotations(label_map)
