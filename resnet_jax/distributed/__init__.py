"""Devices, processes and signals. No file here knows a net."""
