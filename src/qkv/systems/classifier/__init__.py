"""Pictures to classes: the Vision Transformer."""
