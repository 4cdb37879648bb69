"""`vidswap submit`, `status`, `logs`, `cancel`: runs on a Ray cluster from elsewhere, and job folders as they stand."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import VOICE, set_voice, table
from .options import CLUSTER, Json, Quiet

if TYPE_CHECKING:
    from vidswap.runtime.status import JobStatus

    from .ray_jobs import RayJob

Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Ray's dashboard, http://HEAD:8265. Default: $RAY_API_SERVER_ADDRESS, else that of this machine.",
    ),
]
Name = Annotated[str, typer.Argument(metavar="JOB", help="The job, as `vidswap submit` named it.")]

app = typer.Typer()


@app.command(
    rich_help_panel=CLUSTER, context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True}
)
def submit(
    command: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND ...", help="A command as it would be given here: swap -s ... -t ... -o ..."),
    ],
    address: Address = None,
    folder: Annotated[
        str | None,
        typer.Option("--folder", help="Folder of the cluster's head that relative paths begin at. Default: this one."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the job. Default: the time.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show what it says until it ends.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Have a run done by a Ray cluster: vidswap submit --address http://HEAD:8265 swap -s ... -t ... -o ..."""
    set_voice(as_json, quiet)
    folder = folder or str(Path.cwd())
    arguments, job_folder = checked_command(command, folder)
    from .ray_jobs import Jobs

    jobs = Jobs(address)
    given = jobs.submit(arguments, folder, job_folder, name)
    facts = {"job": given, "address": jobs.address, "command": ["vidswap", *arguments]}
    VOICE.result(facts, [f"{given}: see vidswap status {given}, vidswap logs {given} --follow, vidswap cancel {given}"])
    if follow:
        _follow(jobs, given)


@app.command(rich_help_panel=CLUSTER)
def status(
    job: Annotated[
        str | None,
        typer.Argument(
            metavar="[JOB|FOLDER]",
            help="A job of `submit`, a job folder (OUT.vidswap), or its output. Default: all jobs.",
        ),
    ] = None,
    address: Address = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Say how far a run has come: from its job folder, or on a Ray cluster."""
    set_voice(as_json, quiet)
    found = _folder(job) if job is not None else None
    if found is not None:
        _tell_folder(found)
        return
    from .ray_jobs import Jobs

    jobs = Jobs(address)
    if job is None:
        every = jobs.all()
        if VOICE.json or not every:
            VOICE.result({"jobs": [dataclasses.asdict(j) for j in every]}, [f"no jobs of vidswap at {jobs.address}"])
        else:
            table("", ["job", "state", "time", "command"], [(j.name, j.state, _lasted(j), j.command) for j in every])
        return
    one = jobs.one(job)
    inside = _found(one.folder) if one.folder and one.state != "succeeded" else None
    if inside is not None:
        _tell_folder(inside, one)
        return
    facts = dataclasses.asdict(one)
    VOICE.result(facts, [f"{one.name}: {one.state}, {_lasted(one)}: {one.command}", *_last_lines(jobs.log(job))])


@app.command(rich_help_panel=CLUSTER)
def logs(
    job: Name,
    address: Address = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
) -> None:
    """Print what a job on a Ray cluster has said."""
    set_voice(False)
    from .ray_jobs import Jobs

    jobs = Jobs(address)
    if follow:
        _follow(jobs, job)
        return
    sys.stdout.write(jobs.log(job))


@app.command(rich_help_panel=CLUSTER)
def cancel(job: Name, address: Address = None, quiet: Quiet = False, as_json: Json = False) -> None:
    """End a job on a Ray cluster; what is done stays done, and the same command goes on from there."""
    set_voice(as_json, quiet)
    from .ray_jobs import Jobs

    ended = Jobs(address).stop(job)
    VOICE.result(
        dataclasses.asdict(ended), [f"{ended.name}: {ended.state}; the same command goes on from what is done"]
    )


def checked_command(command: list[str], folder: str) -> tuple[list[str], str]:
    """The arguments of a run on a cluster, with `--executor ray` where it can be said; and its job folder, if known.

    `folder` is where its relative paths begin.

    Raises InputError for what is no command that runs, typer's usage errors for options that it has not.
    """
    from typer.main import get_command

    from vidswap.graph import InputError
    from vidswap.storage import RemotePath
    from vidswap.storage.addresses import place

    from .app import app as whole

    group: Any = get_command(whole)
    runs = {n: c for n, c in group.commands.items() if any("--executor" in p.opts for p in c.params)}
    chosen = runs.get(command[0])
    if chosen is None:
        raise InputError(f"vidswap submit {command[0]}: on a cluster run {', '.join(runs)}")
    parsed = chosen.make_context(f"vidswap {command[0]}", list(command[1:])).params
    more = [] if parsed.get("executor") or parsed.get("profile") else ["--executor", "ray"]
    output, job = parsed.get("output"), parsed.get("job")
    found = place(job or (f"{output}.vidswap" if output else ""))
    given = str(found if isinstance(found, RemotePath) else Path(folder) / found) if job or output else ""
    return [*command, *more], given


def _folder(given: str) -> Path | None:
    """The job folder that is meant, None for what is a job's name. Raises InputError for a path without one."""
    from vidswap.runtime.job import read_marker
    from vidswap.storage.addresses import place

    found = _found(given)
    if found is None and ("/" in given or place(given).exists()):
        read_marker(place(given))
    return found


def _found(given: str) -> Path | None:
    """The job folder itself, or that of an output, where one is there."""
    from vidswap.runtime.job import JOB_SUFFIX, MARKER
    from vidswap.storage.addresses import place

    path = place(given)
    folders = (path, path.with_name(f"{path.name}{JOB_SUFFIX}")) if path.name else (path,)
    return next((f for f in folders if (f / MARKER).exists()), None)


def _tell_folder(folder: Path, job: RayJob | None = None) -> None:
    from vidswap.runtime.status import job_status

    found = job_status(folder)
    facts = dataclasses.asdict(found) | ({"job": dataclasses.asdict(job)} if job else {})
    VOICE.result(facts, _lines(found, job))


def _lines(found: JobStatus, job: RayJob | None) -> list[str]:
    who = f" ({found.holder})" if found.holder else ""
    ago = f", last piece {_seconds(found.changed_s)} ago" if found.changed_s is not None else ""
    head = f"{job.name}: {job.state}, {_lasted(job)}: " if job else ""
    lines = [f"{head}{found.target} -> {found.output}, {found.pipeline}: {found.state}{who}{ago}"]
    lines += [f"  {name}: {done} of {found.segments} segments" for name, done in found.parts]
    lines.append(f"  {found.frames} frames finished")
    if found.skipped:
        lines.append(f"  segments left as they were: {', '.join(map(str, found.skipped))}")
    if found.state == "interrupted":
        lines += [f"  last error: {found.error}"] if found.error else []
        lines.append(f"  vidswap resume {found.folder} goes on")
    return lines


def _follow(jobs: Any, name: str) -> None:
    """Print until the end; a job that failed fails this command too."""
    for piece in jobs.follow(name):
        sys.stdout.write(piece)
        sys.stdout.flush()
    ended = jobs.one(name)
    if ended.state != "succeeded":
        raise typer.Exit(130 if ended.state == "stopped" else 1)


def _last_lines(log: str, count: int = 3) -> list[str]:
    return [f"  {line}" for line in log.strip().splitlines()[-count:]]


def _lasted(job: RayJob) -> str:
    return "not begun" if job.began_s is None else _seconds((job.ended_s or time.time()) - job.began_s)


def _seconds(seconds: float) -> str:
    """A length of time for people.

    >>> _seconds(5025)
    '1:23:45'
    """
    whole = round(max(0.0, seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
