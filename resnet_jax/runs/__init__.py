"""A run: the plan made of a Config, its directory, the trainer, its records."""
