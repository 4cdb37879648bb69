"""The options that `vidswap train` and `vidswap tune` share, with the words that their help says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import HOW_IT_RUNS

_LEARNING = "How it learns"
Folder = Annotated[Path, typer.Option("-o", "--output", help="Folder of the run: checkpoint, logs and the result.")]
Generator = Annotated[
    str, typer.Option("--generator", help="A name of `vidswap weights list`, a file, or random:64 for trials.")
]
Steps = Annotated[
    int, typer.Option("--steps", min=1, help="How many; more may be asked for later.", rich_help_panel=_LEARNING)
]
BatchSize = Annotated[int, typer.Option("--batch", min=1, help="Examples in a step.", rich_help_panel=_LEARNING)]
Rate = Annotated[float, typer.Option("--lr", help="Learning rate of Adam.", rich_help_panel=_LEARNING)]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn.", rich_help_panel=_LEARNING)]
Device = Annotated[
    str,
    typer.Option("--device", help="auto (CUDA where there is one), cpu, cuda, cuda:1 ...", rich_help_panel=HOW_IT_RUNS),
]
Bits = Annotated[
    str, typer.Option("--precision", help="fp32; on CUDA also bf16 or fp16, mixed.", rich_help_panel=HOW_IT_RUNS)
]
SaveEvery = Annotated[
    int, typer.Option("--save-every", min=1, help="Steps between checkpoints.", rich_help_panel=HOW_IT_RUNS)
]
LogEvery = Annotated[
    int,
    typer.Option("--log-every", min=1, help="Steps between lines and points of the logs.", rich_help_panel=HOW_IT_RUNS),
]
Clip = Annotated[
    float, typer.Option("--clip", min=0, help="Largest norm of the gradient; 0: any.", rich_help_panel=_LEARNING)
]
Licence = Annotated[str, typer.Option("--licence", help="Terms to write into the card of the result.")]
Fresh = Annotated[
    bool,
    typer.Option("--fresh", help="Forget what the folder's run has done and begin anew.", rich_help_panel=HOW_IT_RUNS),
]
Losses = Annotated[
    str,
    typer.Option(
        "--losses",
        help="auto: all whose networks are installed; or some of mse,lpips,identity.",
        rich_help_panel=_LEARNING,
    ),
]
