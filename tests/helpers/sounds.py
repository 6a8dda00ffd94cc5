"""Small WAV files in folders, written by the standard library."""

import io
import wave

import numpy as np


def wave_bytes(samples, rate=8000):
    """A 16-bit WAV of floats [L]."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(np.asarray(samples) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def sounds(root, *names, length=80):
    """Sounds of these names, a sine of another pitch each."""
    for place, name in enumerate(names, 1):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(wave_bytes(0.5 * np.sin(np.arange(length) * 0.05 * place)))
    return root
