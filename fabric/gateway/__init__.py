"""The OpenAI-compatible data plane: who may ask, how much, and which replica answers."""
