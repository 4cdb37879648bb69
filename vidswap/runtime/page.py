"""The page of a run: one HTML file that needs nothing else. Where time and memory went, what failed, how it looks."""

from __future__ import annotations

import base64
import io
import json
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from vidswap.files import written_whole
from vidswap.graph import Pipeline, Segment

from .report import Report
from .resuming import versions
from .settings import RunSettings, available_cores
from .timings import Bins, Timings, part_name

SHEET_FRAMES = 6
SHEET_WIDTH = 480
JPEG_QUALITY = 85
MOST_RETRIES_TOLD = 200

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #3b82c4; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% } td, th { padding: .2rem .6rem; border-bottom: 1px solid var(--line) }
th { text-align: left; font-weight: 600 } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
td.bar { width: 30% } td.bar div { background: var(--bar); height: .7rem; border-radius: 2px }
td { overflow-wrap: anywhere } .failed { color: #c0392b; font-weight: 600 }
.sheet { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem } .sheet img { width: 100%; display: block }
figure { margin: 0 } figcaption { font-size: .85rem; opacity: .75 } svg { width: 100%; height: 7rem }
pre { white-space: pre-wrap }
"""


def write_page(
    path: Path,
    timings: Timings,
    settings: RunSettings,
    sources: Mapping[str, Path],
    report: Report,
    pipeline: Pipeline,
    video: Any,
    segments: Sequence[Segment],
    error: BaseException | None,
) -> None:
    """Write the page about a run that is over; `error` is what ended it, None where it went well. Raises OSError."""
    sheet = [] if error is not None else _sheet(pipeline, report, video, sheet_frames(segments, timings.faces))
    body = [
        f"<h1>{_text(Path(report.output).name)}</h1>",
        _outcome(report, error),
        _section("Warnings", _list(report.warnings)) if report.warnings else "",
        _section("Tried again", _retries(report, pipeline)) if report.retries else "",
        _section("Owners of models that were replaced", _list(report.owners_lost)) if report.owners_lost else "",
        _section("Left as they were", _skipped(report)) if report.skipped else "",
        _section("Before and after", _figures(sheet)) if sheet else "",
        _section("Stages", _stages(timings)),
        _section("Parts", _parts(timings)),
        _section("Workers", _workers(report, timings)),
        _section("Frames finished per second", _chart(timings.finished)) if timings.finished.amounts else "",
        _section("Run", _pairs(_run_facts(settings, sources, segments))),
        _section("Environment", _pairs(_environment())),
        _section("Options", f"<pre>{_text(json.dumps(pipeline.resolved(), indent=1, default=str))}</pre>"),
    ]
    title = f"vidswap: {Path(report.output).name}"
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<body>{''.join(body)}</body></html>\n"
    )
    with written_whole(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def sheet_frames(segments: Sequence[Segment], faces: dict[int, int], wanted: int = SHEET_FRAMES) -> list[int]:
    """The middle frames of some segments, evenly spread over those with faces, or over all where none has any.

    >>> cut = [Segment(i, 10 * i, 10 * i + 10) for i in range(9)]
    >>> sheet_frames(cut, {2: 10, 3: 10, 4: 1, 7: 10}, wanted=2)
    [35, 75]
    """
    seen = [s for s in segments if 2 * faces.get(s.index, 0) >= s.frames] or [s for s in segments if s.index in faces]
    pool = seen or list(segments)
    if len(pool) < wanted:
        # Few long segments: several frames of each.
        each = -(-wanted // max(1, len(pool)))
        found = [s.start + (2 * k + 1) * s.frames // (2 * each) for s in pool for k in range(each)]
        return sorted(set(found))[:wanted]
    spread = (pool[(2 * i + 1) * len(pool) // (2 * wanted)] for i in range(wanted))
    return sorted({(s.start + s.stop) // 2 for s in spread})


def _sheet(pipeline: Pipeline, report: Report, video: Any, frames: list[int]) -> list[tuple[int, str, str]]:
    """(frame, before, after) with pictures as data URLs; empty where pictures are not such as can be shown."""
    decoder: Any = pipeline.decoder.make()
    made = decoder.probe(Path(report.output))
    if getattr(made, "frame_count", 0) != video.frame_count:
        return []
    rows = []
    for frame in frames:
        pair = [next(iter(decoder.read(of, frame, frame + 1)), None) for of in (video, made)]
        if not all(hasattr(picture, "rgb") for picture in pair):
            return []
        before, after = map(_data_url, pair)
        rows.append((frame, before, after))
    return rows


def _data_url(picture: Any) -> str:
    from PIL import Image

    width = min(SHEET_WIDTH, picture.width)
    height = max(1, round(picture.height * width / picture.width))
    file = io.BytesIO()
    Image.fromarray(picture.rgb(width, height)[..., :3]).save(file, "JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _outcome(report: Report, error: BaseException | None) -> str:
    facts = [
        ("pipeline", report.pipeline),
        ("target", report.target),
        ("output", report.output),
        ("frames", f"{report.frames}, {report.frames_with_faces} of them with a face that changed"),
        ("faces", str(report.faces)),
        ("segments", str(report.segments)),
        ("wall time", f"{report.wall_s:.1f} s"),
        ("throughput", f"{report.frames_per_s:.2f} frames/s"),
        ("written", time.strftime("%Y-%m-%d %H:%M:%S %z")),
    ]
    if report.segments_resumed:
        facts.append(("from before", f"{report.segments_resumed} segments, {report.frames_resumed} frames"))
    if report.frames_copied:
        facts.append(("copied", f"{report.frames_copied} frames, packets of the input"))
    elif report.not_copied:
        facts.append(("nothing copied", report.not_copied))
    if error is None:
        return _pairs(facts)
    told = str(error) or type(error).__name__
    return f'<p class="failed">The run ended before its result: {_text(told)}</p>{_pairs(facts)}'


def _stages(timings: Timings) -> str:
    whole = sum(s.seconds for s in timings.stages.values()) or 1.0
    rows = []
    for name, stage in timings.stages.items():
        frames = timings.frames_of(name)
        each = f"{1000 * stage.seconds / frames:.2f}" if frames else "-"
        speed = f"{frames / stage.seconds:.1f}" if stage.seconds and frames else "-"
        extra = (f"{value:.2f}" if value >= 0.005 else "" for value in (stage.setup_s, stage.source_s, stage.wait_s))
        memory = (f"{value:.0f}" if value else "" for value in (stage.memory_mb, stage.gpu_mb))
        rows.append([name, stage.seconds / whole, f"{stage.seconds:.2f}", each, speed, *extra, *memory])
    heads = ["stage", "share", "seconds", "ms per frame", "frames/s of one worker"]
    heads += ["loading s", "sources s", "waiting s", "memory MiB", "GPU MiB"]
    said = "Seconds are wall time, summed over workers; memory is the most that a process held when the stage ended."
    return _table(heads, rows, text=1) + f"<p>{said}</p>"


def _parts(timings: Timings) -> str:
    rows = []
    whole = sum(p.seconds for p in timings.parts) or 1.0
    for part in timings.parts:
        mean = f"{part.seconds / part.segments:.2f}" if part.segments else "-"
        slowest = ", ".join(f"{segment} ({seconds:.2f} s)" for seconds, segment in part.slowest)
        numbers = [str(part.segments), str(part.frames), f"{part.seconds:.2f}", mean]
        rows.append([part.name, part.seconds / whole, *numbers, slowest])
    heads = ["part", "share", "segments", "frames", "seconds", "s per segment", "slowest segments"]
    return _table(heads, rows, text=1) + f"<p>Tasks waited {timings.queue_s:.2f} s for a worker, summed.</p>"


def _workers(report: Report, timings: Timings) -> str:
    wall = report.wall_s or 1.0
    rows: list[list[Any]] = [
        [
            f"{node or 'this machine'}, process {process or os.getpid()}",
            min(1.0, worker.busy_s / wall),
            str(worker.tasks),
            f"{worker.busy_s:.2f}",
            f"{100 * worker.busy_s / wall:.0f} %",
            f"{worker.memory_mb:.0f}" if worker.memory_mb else "",
        ]
        for (node, process), worker in sorted(timings.workers.items())
    ]
    peak = ", ".join(f"{name} {value:.0f} MiB" for name, value in report.peak_memory_mb.items())
    told = f"<p>Peak memory: {_text(peak)}.</p>" if peak else ""
    return _table(["worker", "at work", "tasks", "seconds at work", "share", "peak memory MiB"], rows, text=1) + told


def _retries(report: Report, pipeline: Pipeline) -> str:
    more = len(report.retries) - MOST_RETRIES_TOLD
    told = [f"{_named(r['task'], pipeline)}: {r['reason']}" for r in report.retries[:MOST_RETRIES_TOLD]]
    return _list([*told, *([f"and {more} more"] if more > 0 else [])])


def _named(key: str, pipeline: Pipeline) -> str:
    """What people call the task with this key in the journal."""
    part, _, segment = key.partition("/")
    return f"{part_name(pipeline.parts, int(part))} of segment {segment}" if part.isdigit() else key.replace("/", " ")


def _skipped(report: Report) -> str:
    return _list(f"frames {s['start']} to {s['stop'] - 1}: {s['reason']}" for s in report.skipped)


def _run_facts(
    settings: RunSettings, sources: Mapping[str, Path], segments: Sequence[Segment]
) -> list[tuple[str, str]]:
    given = settings.model_dump(mode="json", exclude_none=True)
    bound = [(f"source {name}", str(path)) for name, path in sources.items()]
    return [*bound, ("segments", str(len(segments))), *((name, str(value)) for name, value in given.items())]


def _environment() -> list[tuple[str, str]]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0.0
    return [
        ("machine", f"{platform.node()}, {platform.system()} {platform.release()} {platform.machine()}"),
        ("cores", str(available_cores())),
        ("memory", f"{memory:.1f} GiB"),
        ("Python", platform.python_version()),
        *versions().items(),
    ]


def _chart(bins: Bins) -> str:
    """Bars over time."""
    most = max(bins.amounts) or 1.0
    width = 1000 / len(bins.amounts)
    bars = "".join(
        f'<rect x="{i * width:.2f}" y="{100 - 100 * amount / most:.2f}" width="{max(0.5, width - 0.6):.2f}" '
        f'height="{100 * amount / most:.2f}" fill="var(--bar)"><title>{i * bins.width_s:.0f} s: '
        f"{amount / bins.width_s:.1f} frames/s</title></rect>"
        for i, amount in enumerate(bins.amounts)
    )
    whole = len(bins.amounts) * bins.width_s
    return (
        f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none">{bars}</svg><p>0 to {whole:.0f} s; '
        f"the highest bar is {most / bins.width_s:.1f} frames/s. A segment counts when it is finished.</p>"
    )


def _figures(sheet: Iterable[tuple[int, str, str]]) -> str:
    cells = [
        f'<figure><img src="{url}" alt="frame {frame} {when}"><figcaption>frame {frame}, {when}</figcaption></figure>'
        for frame, before, after in sheet
        for when, url in (("before", before), ("after", after))
    ]
    return f'<div class="sheet">{"".join(cells)}</div>'


def _section(title: str, content: str) -> str:
    return f"<h2>{_text(title)}</h2>{content}"


def _table(heads: list[str], rows: list[list[Any]], *, text: int) -> str:
    """A table whose floats are bars from 0 to 1; columns from the first `text` on are numbers."""
    made = ["<table><tr>", *(f"<th{_kind(i, text)}>{_text(h)}</th>" for i, h in enumerate(heads)), "</tr>"]
    for row in rows:
        made.append("<tr>")
        for i, cell in enumerate(row):
            if isinstance(cell, float):
                made.append(f'<td class="bar"><div style="width:{100 * cell:.1f}%"></div></td>')
            else:
                made.append(f"<td{_kind(i, text)}>{_text(cell)}</td>")
        made.append("</tr>")
    return "".join([*made, "</table>"])


def _kind(column: int, text: int) -> str:
    return "" if column < text else ' class="n"'


def _pairs(facts: Iterable[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><th>{_text(n)}</th><td>{_text(v)}</td></tr>" for n, v in facts) + "</table>"


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>"


def _text(value: object) -> str:
    return escape(str(value))
