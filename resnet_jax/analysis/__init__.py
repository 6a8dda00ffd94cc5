"""Summaries of nets, curves of runs, and figures of both."""

from resnet_jax.analysis.summary import Summary, summary

__all__ = ["Summary", "summary"]
