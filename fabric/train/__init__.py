"""Pre-training and fine-tuning of language models."""
