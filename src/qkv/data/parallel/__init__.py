"""Sentence pairs: read, tokenized, kept on disk, and cut into batches."""
