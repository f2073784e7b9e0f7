"""What a data set, a checkpoint and a model version is, and which moves are allowed."""
