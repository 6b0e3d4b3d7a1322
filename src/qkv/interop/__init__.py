"""Checkpoints of other libraries in, programs for other runtimes out, each compared with what it came from."""
