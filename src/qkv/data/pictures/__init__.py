"""Pictures, with labels or without: found, decoded, split, transformed, and cut into batches."""
