"""Where a model runs: the same numbers as in training, with less work."""
