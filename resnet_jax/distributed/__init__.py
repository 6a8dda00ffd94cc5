"""Devices, processes and signals. This room knows no model."""
