"""Inference engines: token sources behind one face that speaks text."""
