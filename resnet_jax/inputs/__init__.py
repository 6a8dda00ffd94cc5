"""Inputs of nets that read series, sound and text: a preprocessing of each kind, which checkpoints hold."""
