"""What the benchmarks of networks share: clocks, rows with their bounds, options, and how results are told."""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch


def cpu_seconds(run: Callable[[], object]) -> float:
    """Processor time of all threads of this process."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def cuda_seconds(run: Callable[[], object], repeats: int = 1) -> float:
    """Time of one run on the device, a mean over repeats."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(repeats):
        run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000 / repeats


def row(what: str, value: float, bound: float, at_least: bool, **more: object) -> dict[str, object]:
    """One line of the results: what was measured, and whether it reaches its bound."""
    return {
        "what": what,
        "value": float(f"{value:.4g}"),
        "bound": f"{'>=' if at_least else '<='} {bound}",
        "met": value >= bound if at_least else value <= bound,
        **more,
    }


def say(row: dict[str, object]) -> None:
    print(f"{row['what']}: {row['value']} ({row['bound']}, {'met' if row['met'] else 'missed'})", flush=True)


def parser_of(about: str | None, rows: str) -> argparse.ArgumentParser:
    """The options that they have in common."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rows", default=rows)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="also into benchmarks/results/")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options, with the device looked for and threads and gradients set."""
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device here; run this on a machine with one")
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    return options


def conclude(name: str, rows: list[dict[str, object]], options: argparse.Namespace) -> None:
    """Print and write the results as the options say."""
    cuda = options.device == "cuda"
    device = torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine()
    told = {"device": device, "torch": torch.__version__, "threads": torch.get_num_threads(), "rows": rows}
    if options.json:
        print(json.dumps(told, indent=2))
    if options.write:
        folder = Path(__file__).parent / "results"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}-{options.device}.json").write_text(json.dumps(told, indent=2) + "\n")
