"""Checkpoints: saving, reading, recovery and checksums. The only room that imports Orbax; it knows no model."""
