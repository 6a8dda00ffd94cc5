import json

import numpy as np

from resnet_jax.files import to_json


def test_numbers_that_json_does_not_have_are_null():
    value = {"a": [1.5, float("nan")], "b": {"c": (float("inf"), np.float64("nan"))}, "d": "NaN", "e": 3}
    assert json.loads(to_json(value)) == {"a": [1.5, None], "b": {"c": [None, None]}, "d": "NaN", "e": 3}
