"""Captions to pictures: DALL-E."""
