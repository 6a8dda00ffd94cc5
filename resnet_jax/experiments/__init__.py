"""The experiments behind residual networks: ordinary runs, a table of their results, figures."""
