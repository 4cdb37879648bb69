"""Speed and error of E4S's generator: one pass for all regions against one pass per region.

python benchmarks/e4s.py [--device cpu|cuda] [--maps FILE] [--json] [--write] [--threads N] [--rounds N] [--rows ...]

Weights are random, at full size (1024 px, K = 13). Both run in one process, in turn, and the least of the rounds
counts: processor time of all threads on a CPU, time between events on CUDA. The yardstick is
`vidswap.nets.rgi.RegionSynthesis`, every masked layer twelve times. What depends on label maps alone (`masks`) is made
anew in every run. Operations are those of convolutions and matrix products. On a machine with CUDA run it as

    python benchmarks/e4s.py --device cuda --write

Label maps: shared/fixtures/e4s/perf_label_maps.npz, or any file of 512 px maps of those names. `bound` is what each row
has to reach.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measuring_nets import conclude, cpu_seconds, cuda_seconds, parsed, parser_of, row, say
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vidswap.nets import rgi
from vidswap.nets.layers import seeded
from vidswap.nets.rgi_fast import FastRegionSynthesis, fastest_exact_enough
from vidswap.nets.stylegan2_fast import FastSynthesis

MAPS = Path(__file__).parents[2] / "shared/fixtures/e4s/perf_label_maps.npz"
MASKED_BELOW = 512  # px: the masked blocks are those under it


def least(
    runs: dict[str, Callable[[], object]], measure: Callable, rounds: int, *, is_warm: bool = False
) -> dict[str, float]:
    """Seconds of each run: the least of interleaved rounds, after one that warms up."""
    for run in () if is_warm else runs.values():
        run()
    seconds = {name: float("inf") for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name] = min(seconds[name], measure(run))
    return seconds


def operations(run: Callable[[], object]) -> float:
    """Operations of convolutions and matrix products, in units of 10^9."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in seconds.items()}


class Measured:
    """The two generators, codes and label maps of a run."""

    def __init__(self, maps: dict[str, Tensor], device: str, rounds: int) -> None:
        self.maps, self.device, self.rounds = maps, device, rounds
        self.net = seeded(lambda: rgi.RegionSynthesis(rgi.Config()), 0).to(device)
        self.fast = FastRegionSynthesis(self.net)
        self.codes = torch.randn(16, 12, 18, 512, generator=torch.Generator().manual_seed(0)).to(device)

    def masked(self, labels: Tensor, is_fast: bool) -> object:
        """The masked blocks of one frame, from codes and a label map."""
        codes = self.codes[:1]
        if not is_fast:
            return self.net(codes, labels, below=MASKED_BELOW)
        return self.fast.masked_blocks(self.fast.region_styles(codes), self.fast.masks(labels).parts[0])

    def several(self, count: int) -> Tensor:
        """So many different label maps: those of the file, also mirrored and shifted."""
        names = ["smooth", "rough3", "rough6_glasses"]
        made = []
        for i in range(count):
            each = self.maps[names[i % 3]].roll(11 * (i // 3), dims=1)
            made.append(each.flip(1) if i % 2 else each)
        return torch.stack(made)

    def masked_rows(self) -> list[dict[str, object]]:
        found = []
        for name in ("smooth", "rough3"):
            labels = self.maps[name][None]
            runs = {way: lambda f=way == "fast", m=labels: self.masked(m, f) for way in ("naive", "fast")}
            counts = {way: operations(run) for way, run in runs.items()}
            taken = least(runs, cpu_seconds, self.rounds, is_warm=True)
            ratio = taken["naive"] / taken["fast"]
            found.append(row(f"masked layers, {name}: naive / fast, time", ratio, 8, True, cpu_s=rounded(taken)))
            ratio = counts["naive"] / counts["fast"]
            giga = {way: round(count, 1) for way, count in counts.items()}
            found.append(row(f"masked layers, {name}: naive / fast, operations", ratio, 8, True, gigaflop=giga))
        return found

    def whole_rows(self) -> list[dict[str, object]]:
        labels = self.maps["rough3"][None]
        runs = {"naive": lambda: self.net(self.codes[:1], labels), "fast": lambda: self.fast(self.codes[:1], labels)}
        taken = least(runs, cpu_seconds, self.rounds, is_warm=True)
        ratio = taken["naive"] / taken["fast"]
        found = [row("whole generator, rough3: naive / fast, time", ratio, 5, True, cpu_s=rounded(taken))]
        masks = least({"masks": lambda: self.fast.masks(labels)}, cpu_seconds, self.rounds)["masks"]
        share = masks / taken["fast"]
        found.append(row("masks made anew: share of the whole generator's time", share, 0.05, False))
        return found

    def worst_rows(self) -> list[dict[str, object]]:
        labels = self.maps["iid_noise"][None]
        runs = {way: lambda f=way == "fast": self.masked(labels, f) for way in ("naive", "fast")}
        taken = least(runs, cpu_seconds, self.rounds, is_warm=True)
        ratio = taken["naive"] / taken["fast"]
        return [row("masked layers, random labels: naive / fast, time", ratio, 1, True, cpu_s=rounded(taken))]

    def parity_rows(self) -> list[dict[str, object]]:
        found = []
        for name in ("rough3", "iid_noise"):
            labels = self.maps[name][None]
            expected = self.net(self.codes[:1], labels)
            gap = (self.fast(self.codes[:1], labels) - expected).abs().max() / expected.abs().max()
            found.append(row(f"{name}: largest difference over the largest value, fp32", float(gap), 1e-5, False))
        return found

    def batch_rows(self) -> list[dict[str, object]]:
        codes, labels = self.codes[:8], self.several(8)
        runs = {
            "eight": lambda: self.fast(codes, labels),
            "singles": lambda: [self.fast(codes[i : i + 1], labels[i : i + 1]) for i in range(8)],
        }
        taken = least(runs, cpu_seconds, self.rounds, is_warm=True)
        ratio = taken["singles"] / taken["eight"]
        return [
            row(
                "batch of 8 masks against 8 single calls (1 but for noise), time",
                ratio,
                0.98,
                True,
                cpu_s=rounded(taken),
            )
        ]

    def cuda_rows(self) -> list[dict[str, object]]:
        """fp16, batch 16; the naive loop in fp16 throughout, as autocast has it."""
        codes, labels = self.codes, self.several(16)
        expected = self.net(codes[:2], labels[:2])
        gap = (FastRegionSynthesis(self.net, fuse=False, graphs=False)(codes[:2], labels[:2]) - expected).abs().max()
        found = [row("parity on CUDA, fp32", float(gap / expected.abs().max()), 1e-5, False)]
        fast, error = fastest_exact_enough(self.net, codes[:2], labels[:2])
        told = {"precision": fast.precision, "half_from": fast.half_from}
        found.append(row("fp16 against fp32, relative RMS", error, 3e-3, False, **told))

        def naive() -> None:
            with torch.autocast("cuda", torch.float16):
                self.net(codes, labels)

        plain = FastSynthesis(self.net, precision="float16")
        runs = {
            "naive": naive,
            "fast": lambda: fast(codes, labels),
            "singles": lambda: [fast(codes[i : i + 1], labels[i : i + 1]) for i in range(16)],
            "stylegan2": lambda: plain(codes[:, 0]),
        }
        taken = least(runs, cuda_seconds, self.rounds)
        rate = {name: round(16 / value, 1) for name, value in taken.items()}
        ratio = taken["naive"] / taken["fast"]
        found.append(row("whole generator, fp16, batch 16: naive / fast", ratio, 8, True, images_per_s=rate))
        found.append(row("batch of 16 against single calls", taken["singles"] / taken["fast"], 2, True))
        share = taken["stylegan2"] / taken["fast"]
        found.append(row("images/s as a share of plain StyleGAN2's", share, 0.0, True))
        return found


def main() -> None:
    parser = parser_of(__doc__, "masked,whole,worst,parity,batch")
    parser.add_argument("--maps", type=Path, default=MAPS)
    options = parsed(parser)
    if not options.maps.is_file():
        parser.error(f"{options.maps} is missing; --maps names a file of label maps")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    with np.load(options.maps) as file:
        maps = {name: torch.from_numpy(file[name].astype(np.int64)).to(options.device) for name in file.files}
    measured = Measured(maps, options.device, options.rounds)
    found: list[dict[str, object]] = []
    for name in ["cuda"] if options.device == "cuda" else options.rows.split(","):
        for each in getattr(measured, f"{name}_rows")():
            found.append(each)
            say(each)
    conclude("e4s", found, options)


if __name__ == "__main__":
    main()
