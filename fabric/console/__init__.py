"""Web pages over the SDK."""
