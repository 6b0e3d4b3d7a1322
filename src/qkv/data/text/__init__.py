"""Text to tokens and back, and rows of tokens as tensors."""
