"""Where a model runs: the same numbers as in training, with less work."""

from qkv.runtime.device import inference_device
from qkv.runtime.fusion import fused

__all__ = ["fused", "inference_device"]
