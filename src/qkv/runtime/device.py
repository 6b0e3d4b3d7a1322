"""Where a model runs."""

import torch


def inference_device(name: str | None = None) -> torch.device:
    """The device of that name; without one the accelerator where there is one, else the CPU."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return torch.device(name or accelerator or "cpu")
