"""A run: a recipe, a system and the trainer, joined in a folder."""
