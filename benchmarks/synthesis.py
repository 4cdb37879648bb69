"""Speed and error of synthesis: StyleGAN2 against weights per sample in one grouped convolution, StyleGAN3 fused.

python benchmarks/synthesis.py [--device cpu|cuda] [--json] [--write] [--threads N] [--rounds N] [--rows NAME,...]

On a CPU a batch shares the weights of the blocks up to 32 px and nothing that counts above: of 1.09 s per image at
1024 px they take 57 ms alone and 47 ms in a batch of 8, so that `batch` cannot come below 0.99 there.

Weights are random. On a CPU: ratio of the medians of processor time per image, rounds interleaved. On CUDA: images per
second from events, after warm-up, against the rooflines of one H200; run it there as

    python benchmarks/synthesis.py --device cuda --write

which writes `benchmarks/results/synthesis-DEVICE.json`. `bound` is what each row has to reach.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable

import torch
from measuring_nets import conclude, cpu_seconds, cuda_seconds, parsed, parser_of, row, say
from torch import Tensor
from torch.nn import functional as F

from vidswap.nets import stylegan2, stylegan3, stylegan3_fast
from vidswap.nets.devices import relative_rms
from vidswap.nets.layers import seeded, upfirdn
from vidswap.nets.stylegan2_fast import FastSynthesis

ROOFLINE_SG2 = 4600  # images/s of one H200, 1024 px, fp16
UNFUSED_SG3 = {"T": 243, "R": 122}  # the same, where maps at the temporary rate go through memory
on_device = functools.partial(cuda_seconds, repeats=20)


def grouped_conv(x: Tensor, weight: Tensor, style: Tensor, demodulate: bool, taps: Tensor | None) -> Tensor:
    """The yardstick: weights per sample, one convolution of N groups."""
    n, inward, height, width = x.shape
    if x.dtype == torch.float16 and demodulate:  # as NVlabs does, so that fp16 does not overflow
        weight = weight / (weight.abs().amax(dim=(1, 2, 3), keepdim=True) * math.sqrt(weight[0].numel()))
        style = style / style.abs().amax(dim=1, keepdim=True)
    weights = weight[None] * style[:, None, :, None, None]
    if demodulate:
        weights = weights * torch.rsqrt(weights.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
    weights = weights.to(x.dtype)
    outward, size = weight.shape[0], weight.shape[2]
    x = x.reshape(1, n * inward, height, width)
    if taps is None:
        x = F.conv2d(x, weights.reshape(n * outward, inward, size, size), padding=size // 2, groups=n)
    else:
        turned = weights.transpose(1, 2).reshape(n * inward, outward, size, size)
        x = F.conv_transpose2d(x, turned, stride=2, groups=n)
        x = upfirdn(x, taps, padding=(1, 1, 1, 1), gain=4)
    return x.reshape(n, outward, *x.shape[2:])


@torch.no_grad()
def grouped_images(synthesis: stylegan2.Synthesis, wplus: Tensor, half_from: int | None = None) -> Tensor:
    """Images of the plain formulation; blocks from `half_from` px on in fp16, clamped at 256."""
    styles = synthesis.styles(wplus)
    x = image = None
    for layer in synthesis.config.layers:
        part = synthesis.get_submodule(layer.name)
        block = synthesis.get_submodule(layer.name.partition(".")[0])
        style = styles[layer.name]
        half = half_from is not None and layer.resolution >= half_from
        dtype = torch.float16 if half else torch.float32
        x = block.const[None].expand(len(wplus), -1, -1, -1) if x is None else x
        if layer.kind == "rgb":
            style = style / math.sqrt(layer.in_channels)
            colours = grouped_conv(x.to(dtype), part.weight, style, False, None).float() + part.bias[:, None, None]
            if image is not None:
                colours = colours + upfirdn(image, block.resample_filter, up=2, padding=(2, 1, 2, 1), gain=4)
            image = colours
            continue
        x = grouped_conv(x.to(dtype), part.weight, style, True, part.resample_filter if layer.kind == "up" else None)
        x = x + (part.noise_const * part.noise_strength).to(dtype)
        x = F.leaky_relu(x + part.bias[:, None, None].to(dtype), 0.2) * math.sqrt(2.0)
        x = x.clamp(-256, 256) if half else x
    return image


def medians(runs: dict[str, Callable[[], object]], measure: Callable, rounds: int) -> dict[str, float]:
    """Seconds of each run: medians over interleaved rounds, after one round that warms up."""
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(measure(run))
    return {name: statistics.median(values) for name, values in seconds.items()}


def on_cpu(net: stylegan2.Generator, rounds: int, rows: list[str]) -> list[dict[str, object]]:
    wplus = torch.randn(8, 18, 512)
    fast = FastSynthesis(net.synthesis)
    found = []
    if "plain" in rows:
        taken = medians(
            {"ours": lambda: fast(wplus[:4]), "plain": lambda: grouped_images(net.synthesis, wplus[:4])},
            cpu_seconds,
            rounds,
        )
        per_image = {name: round(value / 4, 4) for name, value in taken.items()}
        ratio = taken["plain"] / taken["ours"]
        found.append(row("SG2 1024 fp32, batch 4: plain / ours", ratio, 1.5, True, cpu_s_per_image=per_image))
    if "batch" in rows:
        taken = medians({"one": lambda: fast(wplus[:1]), "eight": lambda: fast(wplus)}, cpu_seconds, rounds)
        per_image = {"batch 1": round(taken["one"], 4), "batch 8": round(taken["eight"] / 8, 4)}
        ratio = taken["eight"] / 8 / taken["one"]
        found.append(row("SG2 1024 fp32: batch 8 / batch 1, per image", ratio, 0.9, False, cpu_s_per_image=per_image))
    if "bf16" in rows:
        low = FastSynthesis(net.synthesis, precision="bfloat16")
        taken = medians({"fp32": lambda: fast(wplus[:1]), "bf16": lambda: low(wplus[:1])}, cpu_seconds, rounds)
        ratio = taken["fp32"] / taken["bf16"]
        error = relative_rms(low(wplus[:1]), fast(wplus[:1]))
        found.append(row("SG2 1024: fp32 / bf16", ratio, 1.0, True, relative_rms=round(error, 5)))
    if "error" in rows:
        half = FastSynthesis(net.synthesis, precision="float16")
        error = relative_rms(half(wplus[:1]), fast(wplus[:1]))
        found.append(row("SG2 1024: fp16 against fp32, relative RMS", error, 3e-3, False))
    for variant in "TR" if "sg3" in rows else "":
        third = seeded(lambda v=variant: stylegan3.Generator(stylegan3.Config.of_size(256, v)), 0)
        fused, codes = stylegan3_fast.FastSynthesis(third.synthesis), torch.randn(1, 16, 512)
        runs = {"ours": lambda f=fused, c=codes: f(c), "plain": lambda t=third, c=codes: t.synthesis(c)}
        taken = medians(runs, cpu_seconds, rounds)
        seconds = {name: round(value, 3) for name, value in taken.items()}
        ratio = taken["plain"] / taken["ours"]
        found.append(row(f"SG3-{variant} 256 fp32: plain / ours", ratio, 1.0, True, cpu_s_per_image=seconds))
    return found


def on_cuda(net: stylegan2.Generator, rounds: int, rows: list[str]) -> list[dict[str, object]]:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    net = net.cuda()
    wplus = torch.randn(32, 18, 512, device="cuda")
    fast = FastSynthesis(net.synthesis, precision="float16")
    found = []
    rates: dict[int, float] = {}
    if {"speed", "batch", "plain"} & set(rows):
        for batch in (1, 8, 16, 32):
            part = wplus[:batch]
            taken = medians({"ours": lambda part=part: fast(part)}, on_device, rounds)
            rates[batch] = batch / taken["ours"]
    if "speed" in rows:
        best = max(rates, key=lambda batch: rates[batch])
        rate = {f"batch {k}": round(v, 1) for k, v in rates.items()}
        share = rates[best] / ROOFLINE_SG2
        found.append(row("SG2 1024 fp16: images/s over the roofline", share, 0.35, True, images_per_s=rate))
    if "plain" in rows:
        plain = medians({"plain": lambda: grouped_images(net.synthesis, wplus[:8], 8)}, on_device, rounds)["plain"]
        ratio = rates[8] * plain / 8
        found.append(row("SG2 1024 fp16, batch 8: ours over plain", ratio, 2.0, True, plain_per_s=round(8 / plain, 1)))
    if "batch" in rows:
        found.append(row("SG2 1024 fp16: batch 8 / batch 1, per image", rates[1] / rates[8], 0.9, False))
    if "error" in rows:
        exact = FastSynthesis(net.synthesis, fuse=False, graphs=False)
        error = relative_rms(fast(wplus[:8]), exact(wplus[:8]))
        found.append(row("SG2 1024: fp16 against fp32, relative RMS", error, 3e-3, False))
    for variant in "TR" if "sg3" in rows else "":
        third = seeded(lambda v=variant: stylegan3.Generator(stylegan3.Config.of_size(1024, v)), 0).cuda()
        fused = stylegan3_fast.FastSynthesis(third.synthesis, precision="float16")
        codes = torch.randn(8, 16, 512, device="cuda")
        rate = 8 / medians({"ours": lambda f=fused, c=codes: f(c)}, on_device, rounds)["ours"]
        share = rate / UNFUSED_SG3[variant]
        found.append(
            row(f"SG3-{variant} 1024 fp16 over the unfused bound", share, 1.0, True, images_per_s=round(rate, 1))
        )
    return found


def main() -> None:
    options = parsed(parser_of(__doc__, "plain,batch,bf16,error,speed,sg3"))
    torch.manual_seed(0)
    rows = options.rows.split(",")
    net = seeded(lambda: stylegan2.Generator(stylegan2.Config.of_size(1024)), 0)
    found = (on_cuda if options.device == "cuda" else on_cpu)(net, options.rounds, rows)
    for each in found:
        say(each)
    conclude("synthesis", found, options)


if __name__ == "__main__":
    main()
