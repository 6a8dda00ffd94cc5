"""Messages that several modules share."""

from resnet_jax.weights.messages import not_floating


def test_at_most_three_arrays_are_named():
    message = not_floating([f"{name} (int8)" for name in "abcd"])
    assert message.startswith("expected floating-point weights, got a (int8), b (int8), c (int8) and 1 more; ")
