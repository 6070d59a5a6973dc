"""Latency, window, start and memory, measured on this machine in one run; each figure also as a ratio to a unit."""
