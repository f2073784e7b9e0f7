"""Slices as local processes: one raylet each, on one machine."""
