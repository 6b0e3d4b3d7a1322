"""How well captions and pictures go together: CLIP."""
