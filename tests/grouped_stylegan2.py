"""The oracle: StyleGAN2 with weights made per sample and one grouped convolution, as the paper's code has it."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from vidswap.nets.layers import upfirdn


def grouped_conv(x, weight, style, *, demodulate=True, up_taps=None):
    """w'_noikl = s_ni w_oikl, demodulated, in one convolution of N groups."""
    n, inward, height, width = x.shape
    weights = weight[None] * style[:, None, :, None, None]  # (N, O, I, k, k)
    if demodulate:
        weights = weights * torch.rsqrt(weights.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
    outward, size = weight.shape[0], weight.shape[2]
    x = x.reshape(1, n * inward, height, width)
    if up_taps is None:
        x = F.conv2d(x, weights.reshape(n * outward, inward, size, size), padding=size // 2, groups=n)
    else:
        turned = weights.transpose(1, 2).reshape(n * inward, outward, size, size)
        x = F.conv_transpose2d(x, turned, stride=2, groups=n)
        x = upfirdn(x, up_taps, padding=(1, 1, 1, 1), gain=4)
    return x.reshape(n, outward, *x.shape[2:])


def grouped_images(synthesis, wplus):
    """Images (N, 3, R, R) of `vidswap.nets.stylegan2.Synthesis`, constant noise, no clamp."""
    styles = synthesis.styles(wplus)
    x = image = None
    for layer in synthesis.config.layers:
        part = synthesis.get_submodule(layer.name)
        block = synthesis.get_submodule(layer.name.partition(".")[0])
        style = styles[layer.name]
        if layer.kind == "rgb":
            colours = grouped_conv(x, part.weight, style / math.sqrt(layer.in_channels), demodulate=False)
            colours = colours + part.bias[:, None, None]
            if image is not None:
                colours = colours + upfirdn(image, block.resample_filter, up=2, padding=(2, 1, 2, 1), gain=4)
            image = colours
            continue
        x = block.const[None].expand(len(wplus), -1, -1, -1) if x is None else x
        x = grouped_conv(x, part.weight, style, up_taps=part.resample_filter if layer.kind == "up" else None)
        x = x + part.noise_const * part.noise_strength
        x = F.leaky_relu(x + part.bias[:, None, None], 0.2) * math.sqrt(2.0)
    return image
