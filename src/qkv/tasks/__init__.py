"""Model + loss + metrics: all that training needs to know of a system. Knows nothing of devices or checkpoints."""
