"""The fabric: a Ray-based compute fabric that decides where and when AI work runs across hybrid tiers."""

__version__ = "0.1.0"
