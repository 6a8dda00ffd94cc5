from resnet_jax.runs.planning.numerics import NUMERICS, numerics_note


def test_a_checkpoint_of_other_arithmetic_has_a_note():
    (note,) = numerics_note({})
    assert note.startswith("the last digits differ from those of version 0.1.0, which wrote the checkpoint: batch var")
    assert numerics_note({"numerics": 1}) == [note]
    assert numerics_note({"numerics": NUMERICS}) == []
