"""One model a file: embedding + Transformer + head. Knows nothing of losses, files or training."""
