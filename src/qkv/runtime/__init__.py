"""Where a model runs: the same numbers as in training, with less work."""

from qkv.runtime.fusion import fused

__all__ = ["fused"]
