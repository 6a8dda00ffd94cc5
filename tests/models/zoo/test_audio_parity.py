"""The stored numbers of the small nets of sound are PyTorch's and speechbrain's."""

import audio_nets
import numpy as np
import pytest

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("name", audio_nets.SMALL)
def test_every_array_equals_pytorch(x64, name):
    """Outputs of both passes, loss, gradient and statistics, element by element."""
    pytest.importorskip("torch")
    if name == "speaker_seresnet34":
        pytest.importorskip("speechbrain")
    from torch_audio import reference

    expected, actual = reference(name), audio_nets.results(name)
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(actual[key], value, rtol=1e-8, atol=1e-10 * max(1, np.abs(value).max()), err_msg=key)
