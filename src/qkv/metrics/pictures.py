"""How like two pictures are: signal-to-noise ratio and structural similarity."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_LEAST_ERROR = 1e-10
_RADIUS, _SIGMA = 5, 1.5
_C1, _C2 = 0.01**2, 0.03**2


def psnr(images: Float[Tensor, "B C H W"], others: Float[Tensor, "B C H W"]) -> Float[Tensor, "B"]:
    """Peak signal-to-noise ratio of each pair of pictures from 0 to 1, in decibels; 100 if they are the same."""
    error = (images.double() - others.double()).square().flatten(1).mean(1)
    return -10 * error.clamp(min=_LEAST_ERROR).log10()


def ssim(images: Float[Tensor, "B C H W"], others: Float[Tensor, "B C H W"]) -> Float[Tensor, "B"]:
    """Structural similarity of each pair of pictures from 0 to 1, the mean over channels; 1 if they are the same.

    Source: Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity", equation 13,
    with its window of 11 x 11 pixels, a Gaussian of deviation 1.5; pictures smaller than that get a smaller one.
    """
    channels, height, width = images.shape[1:]
    radius = min(_RADIUS, (min(height, width) - 1) // 2)
    bell = torch.exp(-torch.arange(-radius, radius + 1, device=images.device).double().square() / (2 * _SIGMA**2))
    window = (bell[:, None] * bell / bell.sum() ** 2).expand(channels, 1, -1, -1)

    def local(values: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h w"]:
        return F.conv2d(values, window, groups=channels)

    x, y = images.double(), others.double()
    mean_x, mean_y = local(x), local(y)
    variances = local(x * x) - mean_x**2 + local(y * y) - mean_y**2
    covariance = local(x * y) - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    return (similarity / ((mean_x**2 + mean_y**2 + _C1) * (variances + _C2))).flatten(1).mean(1)
