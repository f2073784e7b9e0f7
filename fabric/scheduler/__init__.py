"""Decisions and nothing that acts: snapshot in, plan out."""
