"""`vidswap batch`: many jobs, one after another; what is done stays done, and what fails does not stop the rest."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import VOICE, table

if TYPE_CHECKING:
    from vidswap.api import Pipeline
    from vidswap.runtime.journal import Lines
    from vidswap.runtime.object_lines import ObjectLines

STATE_OF_FOLDER = ".vidswap-batch.jsonl"


@dataclass
class Planned:
    """One job, checked: all that it needs, and what came of it."""

    place: str
    pipeline: Pipeline
    target: Path
    output: Path
    sources: dict[str, Path]
    settings: dict[str, Any]
    state: str = "waiting"
    error: str | None = None
    report: dict[str, Any] = field(default_factory=dict)

    def identity(self) -> str:
        """A digest of what the job is about; inputs count by path, size and time, so that thousands are soon seen."""
        from vidswap.graph import InputError
        from vidswap.runtime.job import digest
        from vidswap.runtime.stamps import stamp

        files: list[Any] = []
        for stage in self.pipeline.stages:
            # What is missing is told when the job is run.
            with contextlib.suppress(InputError):
                files += [stamp(file) for file in stage.make().files()]
        return digest(
            {
                "pipeline": self.pipeline.resolved(),
                "target": stamp(self.target),
                "sources": {name: stamp(path) for name, path in self.sources.items()},
                "settings": {n: self.settings[n] for n in ("source_face", "segment_frames", "strict", "start", "end")},
                **({"files": files} if files else {}),
            }
        )

    def facts(self) -> dict[str, Any]:
        """For the summary in JSON."""
        told = {"target": str(self.target), "output": str(self.output), "state": self.state}
        return {**told, **({"error": self.error} if self.error else {}), "report": self.report or None}


def batch(*, jobs: Path, output: Path | None, **given: Any) -> int:
    """Check all jobs, run those that are not done, tell a summary; returns the exit code."""
    from vidswap.graph import InputError, Interrupted, VidswapError
    from vidswap.runtime.interrupt import interruptible
    from vidswap.runtime.journal import lines_of
    from vidswap.runtime.store import trouble
    from vidswap.storage import is_remote

    planned = plan(jobs, output, given)
    try:
        for folder in {p.output.parent for p in planned}:
            folder.mkdir(parents=True, exist_ok=True)
        state = lines_of(output / STATE_OF_FOLDER if output else jobs.with_name(f"{jobs.name}.done.jsonl"))
        if not is_remote(state.path):
            state.path.open("ab").close()
    except OSError as error:
        raise InputError(f"the results or the list of what is done cannot be written: {trouble(error)}") from None
    try:
        with interruptible():
            for number, job in enumerate(planned, 1):
                _do(job, f"[{number}/{len(planned)}]", state, again=given["fresh"])
    except (KeyboardInterrupt, Interrupted):
        done = sum(job.state.startswith("done") for job in planned)
        told = f"interrupted; {done} of {len(planned)} jobs are done, the same command goes on"
        raise Interrupted(told) from None
    except OSError as error:
        raise VidswapError(f"what is done cannot be noted: {trouble(error)}") from error
    return _tell(planned)


def plan(jobs: Path, output: Path | None, given: dict[str, Any]) -> list[Planned]:
    """All jobs of a list, with every pipeline and option checked. Raises InputError, before any work."""
    from vidswap.graph import InputError
    from vidswap.storage import addresses

    from .joblist import read_jobs
    from .running import bind_sources, chosen_faces, prepare

    planned = []
    for place, row in read_jobs(jobs, output):
        rest = {**given, **row.overrides()}
        source = rest.pop("source") or []
        options = [*(rest.pop("options") or []), *row.options]
        if isinstance(row.source, str):
            source = [row.source]
        elif isinstance(row.source, tuple):
            source = list(row.source)
        elif row.source is not None:
            source = [f"{name}={path}" for name, path in row.source.items()]
        try:
            like, mapped = rest.pop("face_like", None), rest.pop("face_map", None)
            rest["face"], source = chosen_faces(rest["face"], like, mapped or [], source)
            pipeline, settings = prepare(rest.pop("pipeline"), options, rest.pop("disclose"), rest.pop("profile"), rest)
            sources = {n: p.absolute() for n, p in bind_sources(source, pipeline.sources).items()}
            for name, wanted in pipeline.sources.items():
                if wanted.required and name not in sources:
                    raise InputError(f"no source; give one in the list, or --source for all ({wanted.about})")
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
        settings |= {"job": None, "trace": None, "report": None}
        planned.append(
            Planned(place, pipeline, addresses.place(row.target), addresses.place(str(row.output)), sources, settings)
        )
    read = {path.resolve(): job for job in planned for path in job.sources.values()}
    for job in planned:
        if (other := read.get(job.output.resolve())) is not None:
            raise InputError(f"{job.place}: the output {job.output} is a source of {other.place}")
    return planned


def _do(job: Planned, label: str, state: Lines | ObjectLines, *, again: bool) -> None:
    from vidswap.graph import Interrupted, VidswapError

    from .running import execute

    identity = job.identity()
    before = None if again else _done_before(job, identity, state)
    if before is not None:
        job.state, job.report = "done before", before
        VOICE.say(f"{label} {job.output}: done before")
        return
    VOICE.say(f"{label} {job.target} -> {job.output}")
    key = {"key": _key(job.output, state.path), "identity": identity}
    state.append({**key, "before": _stamp(job.output)})
    try:
        report = execute(job.pipeline, job.target, job.output, job.sources, job.settings)
    except Interrupted:
        raise
    except VidswapError as error:
        job.state, job.error = "failed", str(error)
    except Exception as error:
        # A bug in one stage is no reason to leave the other videos undone.
        where = traceback.extract_tb(error.__traceback__)[-1]
        job.error = f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})"
        job.state = "failed"
    if job.error:
        sys.stderr.write(f"error: {label} {job.target}: {job.error}\n")
        return
    job.state = "done"
    job.report = {**dataclasses.asdict(report), "frames_per_s": report.frames_per_s}
    for warning in report.warnings:
        VOICE.warn(f"{label} {warning}")
    state.append({**key, "stamp": _stamp(job.output), "report": job.report})


def _key(output: Path, state: Path) -> str:
    """What a list of what is done calls an output: by its way from there, so that a folder of results may be moved."""
    from vidswap.storage import is_remote

    folder = state.parent.absolute()
    within = not is_remote(output) and not is_remote(state) and output.is_relative_to(folder)
    return str(output.relative_to(folder) if within else output)


def _stamp(path: Path) -> list[int] | None:
    """What is known of an output; of numbered pictures the first stands for all. None where there is none."""
    from vidswap.media.outputs import standing_for

    try:
        found = standing_for(path).stat()
    except OSError:
        return None
    return [found.st_ino, found.st_size, found.st_mtime_ns]


def _done_before(job: Planned, identity: str, state: Lines | ObjectLines) -> dict[str, Any] | None:
    """The report of the run that made the output, when that is still there and the job is the same."""
    from vidswap.runtime.job import JOB_SUFFIX, remove_emptied
    from vidswap.runtime.journal import JOURNAL

    remove_emptied(job.output.with_name(f"{job.output.name}{JOB_SUFFIX}"))
    noted = state.entries
    entry, now = noted.get(_key(job.output, state.path), noted.get(str(job.output))), _stamp(job.output)
    if entry is None or now is None or entry.get("identity") != identity:
        return None
    if "report" in entry:
        return dict(entry["report"]) if entry.get("stamp") == now else None
    # Killed after the output had appeared, whole, and before that was noted. With a journal left, the run tells itself.
    left = (job.output.with_name(f"{job.output.name}{JOB_SUFFIX}") / JOURNAL).exists()
    return {} if entry.get("before") != now and not left else None


def _tell(planned: list[Planned]) -> int:
    counts = {state: sum(job.state == state for job in planned) for state in ("done", "done before", "failed")}
    if VOICE.json:
        numbers = {name.replace(" ", "_"): count for name, count in counts.items()}
        VOICE.result({"jobs": [job.facts() for job in planned], **numbers}, [])
    elif not VOICE.quiet:
        rows = []
        for job in planned:
            frames, speed = job.report.get("frames"), job.report.get("frames_per_s")
            faces = job.report.get("frames_with_faces")
            cells = [f"{v:.0f}" if v is not None else "" for v in (frames, faces)]
            rows.append((job.output.name, job.state, *cells, f"{speed:.1f}" if speed else "", job.error or ""))
        table("", ["output", "state", "frames", "with faces", "frames/s", "error"], rows)
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    VOICE.say(f"{len(planned)} jobs: {told}")
    return 1 if counts["failed"] else 0
