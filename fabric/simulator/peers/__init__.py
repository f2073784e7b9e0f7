"""Other people's schedulers, each at its best, as deciders that the benchmark plays in place of ours."""
