"""Orbax is silent, and the user's logging stays as it is."""

import logging

from resnet_jax import load_checkpoint


def test_loading_does_not_change_the_users_logging(run):
    before = logging.getLogger("absl").level
    load_checkpoint(run)
    assert logging.getLogger("absl").level == before
