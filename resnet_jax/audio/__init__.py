"""Audio files into waveforms, at the sample rate of a net."""
