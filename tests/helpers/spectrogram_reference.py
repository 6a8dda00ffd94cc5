"""Mel spectrograms, their logarithms and MFCC of torchaudio and librosa in float64, and the sounds they are made of.

    PYTHONPATH=tests/helpers python tests/helpers/spectrogram_reference.py torchaudio
    PYTHONPATH=tests/helpers python tests/helpers/spectrogram_reference.py librosa

write tests/golden/sequence/spectrogram_torchaudio.npz and spectrogram_librosa.npz. `CASES` change the settings that
have the library's name.
"""

import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "golden" / "sequence"
SMALL = {"sample_rate": 8000, "fft_size": 256, "bands": 16, "coefficients": 13}
CASES = {  # changes of the library's settings
    "torchaudio": {
        "usual": {**SMALL, "hop": 100},
        "slaney": {
            **SMALL,
            **{"scale": "slaney", "norm": "slaney", "window_length": 200, "hop": 100, "padding": "none"},
            **{"power": 1.0, "log": "natural", "floor": 1e-6, "low": 50.0, "high": 3500.0},
        },
        "odd": {**SMALL, "sample_rate": 11025, "fft_size": 255, "hop": 128, "padding": "zeros", "dynamic_range": 30.0},
    },
    "librosa": {
        "usual": {**SMALL, "hop": 64},
        "htk": {
            **SMALL,
            **{"scale": "htk", "norm": None, "window_length": 201, "hop": 100, "padding": "reflect"},
            **{"power": 1.0, "dynamic_range": None, "low": 50.0, "high": 3500.0},
        },
        "odd": {**SMALL, "sample_rate": 11025, "fft_size": 255, "hop": 128, "padding": "none", "dynamic_range": 30.0},
        # Tang and Lin 2018: 101 frames of 40 bands for each second.
        "keywords": {"sample_rate": 16000, "fft_size": 480, "hop": 160, "bands": 40, "low": 20.0, "high": 4000.0},
    },
}


def sounds():
    """float64 [2, 900]: noise, and a rising tone that fades into silence."""
    place = np.arange(900)
    noise = 0.1 * np.random.default_rng(0).standard_normal(900)
    tone = np.sin(place * (0.05 + place / 900)) * np.maximum(0, 1 - place / 600)
    return np.stack([noise, tone])


def weights(shape):
    """Of a sum whose gradient is compared."""
    return np.random.default_rng(1).standard_normal(shape)


def torchaudio_arrays(settings):
    """{"filters" [bins, bands], "mel", "log", "mfcc" [2, frames, ...], "gradient" [2, L]} of a `MelSettings`."""
    import torch
    import torchaudio

    s, defaults = settings, torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        to_mel = torchaudio.transforms.MelSpectrogram(
            **{"sample_rate": s.sample_rate, "n_fft": s.fft_size, "win_length": s.window_length, "hop_length": s.hop},
            **{"f_min": s.low, "f_max": s.high, "n_mels": s.bands, "power": s.power, "norm": s.norm},
            **{"center": s.padding != "none", "pad_mode": "reflect" if s.padding == "reflect" else "constant"},
            mel_scale=s.scale,
        )
        to_decibels = torchaudio.transforms.AmplitudeToDB("power", s.dynamic_range)
        transform = torchaudio.functional.create_dct(s.coefficients, s.bands, "ortho")
        waveforms = torch.tensor(sounds(), requires_grad=True)
        mels = [to_mel(waveform) for waveform in waveforms]  # one by one: each has its peak
        logs = [(mel + s.floor).log() if s.log == "natural" else to_decibels(mel) for mel in mels]
        log = torch.stack(logs).mT
        mfcc = log @ transform
        (mfcc * torch.tensor(weights(mfcc.shape))).sum().backward()
    finally:
        torch.set_default_dtype(defaults)
    arrays = {"filters": to_mel.mel_scale.fb, "mel": torch.stack(mels).mT, "log": log, "mfcc": mfcc}
    return {name: x.detach().numpy() for name, x in {**arrays, "gradient": waveforms.grad}.items()}


def librosa_arrays(settings):
    """The same of librosa, without a gradient."""
    import librosa

    s = settings
    filters = {"n_mels": s.bands, "fmin": s.low, "fmax": s.high, "htk": s.scale == "htk", "norm": s.norm}
    frames = {"n_fft": s.fft_size, "hop_length": s.hop, "win_length": s.window_length, "power": s.power}
    padding = {"center": s.padding != "none", "pad_mode": "reflect" if s.padding == "reflect" else "constant"}
    arrays = {"mel": [], "log": [], "mfcc": []}
    for sound in sounds():
        mel = librosa.feature.melspectrogram(
            y=sound, sr=s.sample_rate, dtype=np.float64, **frames, **padding, **filters
        )
        log = librosa.power_to_db(mel, amin=s.floor, top_db=s.dynamic_range)
        for name, x in {"mel": mel, "log": log, "mfcc": librosa.feature.mfcc(S=log, n_mfcc=s.coefficients)}.items():
            arrays[name].append(x.T)
    kernel = librosa.filters.mel(sr=s.sample_rate, n_fft=s.fft_size, dtype=np.float64, **filters)
    return {"filters": kernel.T, **{name: np.stack(x) for name, x in arrays.items()}}


ARRAYS = {"torchaudio": torchaudio_arrays, "librosa": librosa_arrays}

if __name__ == "__main__":
    library = sys.argv[1]
    from dataclasses import replace

    from resnet_jax.ops.spectrogram import LIBROSA, TORCHAUDIO

    base = {"torchaudio": TORCHAUDIO, "librosa": LIBROSA}[library]
    results = {case: ARRAYS[library](replace(base, **changes)) for case, changes in CASES[library].items()}
    arrays = {f"{case}/{name}": x for case, of_case in results.items() for name, x in of_case.items()}
    FOLDER.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(FOLDER / f"spectrogram_{library}.npz", **arrays)
