"""Policies: one file and one line of the table each, every answer bounded."""
