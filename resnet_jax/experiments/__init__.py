"""The experiments that made residual networks famous: ordinary runs, what they have in common, and its pictures."""
