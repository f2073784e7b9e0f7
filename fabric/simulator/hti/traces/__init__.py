"""Readers of the public traces: files in, frozen rows out."""
