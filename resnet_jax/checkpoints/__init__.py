"""What is on disk of a run's state: writing, reading, recovery, checksums. The only room that imports Orbax."""
