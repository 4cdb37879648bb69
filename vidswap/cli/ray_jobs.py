"""Ray's Jobs API as the commands need it: commands that run on a cluster's head, found again by their names."""

from __future__ import annotations

import logging
import os
import shlex
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vidswap.graph import InputError, VidswapError
from vidswap.runtime.cluster import NO_TOKEN

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
REACH_S = 5.0
STARTING_S = 60.0
STOPPING_S = 40.0
PROGRESS_EVERY_S = 10
KEY = "vidswap"


@dataclass(frozen=True)
class RayJob:
    """One command on a cluster. `state` is Ray's, in small letters; times are seconds since 1970."""

    name: str
    state: str
    command: str
    folder: str
    message: str
    began_s: float | None
    ended_s: float | None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ("succeeded", "failed", "stopped")


class Jobs:
    """Jobs of the cluster whose dashboard is at `address` (None: $RAY_API_SERVER_ADDRESS, or this machine's).

    Raises InputError where Ray is not installed, nobody answers, or the cluster wants another token or version.
    """

    def __init__(self, address: str | None) -> None:
        self.address = checked_address(address or os.environ.get("RAY_API_SERVER_ADDRESS") or DEFAULT_ADDRESS)
        _set_token_mode()
        client = _client_class()
        _check_reachable(self.address)
        # Ray takes what stands there before what it is given.
        os.environ["RAY_API_SERVER_ADDRESS"] = self.address
        try:
            self._client = client(self.address)
        except Exception as error:
            raise InputError(f"the Ray cluster at {self.address} does not take jobs: {_why(error)}") from None

    def submit(self, arguments: list[str], folder: str, job_folder: str = "", name: str | None = None) -> str:
        """Have `vidswap ARGUMENTS` run in a folder of the head; returns the job's name."""
        name = name or f"vidswap-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"
        variables = {
            "PYTHONUNBUFFERED": "1",
            "VIDSWAP_PROGRESS_EVERY_S": str(PROGRESS_EVERY_S),
            "RAY_JOB_STOP_WAIT_TIME_S": str(int(STOPPING_S) - 10),
        }
        given: dict[str, Any] = {
            "entrypoint": entrypoint(arguments, folder),
            "submission_id": name,
            "metadata": {KEY: shlex.join(["vidswap", *arguments]), "folder": job_folder},
            "runtime_env": {"env_vars": variables},
        }
        until = time.monotonic() + STARTING_S
        while True:
            try:
                return str(self._client.submit_job(**given))
            except Exception as error:
                # A head that has just begun takes no jobs for some seconds.
                if "try again later" in str(error) and time.monotonic() < until:
                    time.sleep(0.5)
                    continue
                raise InputError(f"{self.address} did not take the job {name}: {_why(error)}") from None

    def all(self) -> list[RayJob]:
        """The jobs that vidswap has submitted, the latest last."""
        found = [_job(details) for details in self._asked(self._client.list_jobs)]
        return sorted((j for j in found if j is not None), key=lambda j: j.began_s or 0.0)

    def one(self, name: str) -> RayJob:
        """A job. Raises InputError for none of this name."""
        self._known(name)
        job = _job(self._asked(self._client.get_job_info, name))
        if job is None:
            raise InputError(f"{name} is not a job of vidswap submit")
        return job

    def log(self, name: str) -> str:
        """What a job has said so far."""
        self._known(name)
        return str(self._asked(self._client.get_job_logs, name))

    def follow(self, name: str) -> Iterator[str]:
        """What a job says, until it ends."""
        import asyncio

        self._known(name)
        pieces = self._client.tail_job_logs(name)
        loop = asyncio.new_event_loop()
        try:
            while True:
                yield loop.run_until_complete(pieces.__anext__())
        except StopAsyncIteration:
            return
        finally:
            loop.run_until_complete(pieces.aclose())
            loop.close()

    def stop(self, name: str) -> RayJob:
        """Ask a job to end, and wait until it has."""
        if not self.one(name).ended:
            self._asked(self._client.stop_job, name)
        until = time.monotonic() + STOPPING_S
        while not (job := self.one(name)).ended:
            if time.monotonic() > until:
                raise VidswapError(
                    f"{name} has been asked to end {STOPPING_S:.0f} s ago and has not; see vidswap logs {name}"
                )
            time.sleep(0.5)
        return job

    def _known(self, name: str) -> None:
        names = {job.name for job in self.all()}
        if name not in names:
            there = f"; there are {', '.join(sorted(names)[-5:])}" if names else "; vidswap has submitted none there"
            raise InputError(f"no job {name!r} at {self.address}{there}")

    def _asked(self, call: Any, *given: Any) -> Any:
        try:
            return call(*given)
        except Exception as error:
            raise VidswapError(f"the Ray cluster at {self.address} gave no answer: {_why(error)}") from None


def entrypoint(arguments: list[str], folder: str) -> str:
    """The shell command of a job.

    >>> entrypoint(["swap", "-t", "a b.mp4"], "/data")
    "cd /data && exec vidswap swap -t 'a b.mp4'"
    """
    return f"cd {shlex.quote(folder)} && exec {shlex.join(['vidswap', *arguments])}"


def checked_address(address: str) -> str:
    """The dashboard's URL. Raises InputError for what is none.

    >>> checked_address("10.0.0.1:8265")
    'http://10.0.0.1:8265'
    """
    url = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 443) > 0
    except ValueError:
        good = False
    if not good:
        raise InputError(f"--address {address!r}: give that of Ray's dashboard, such as http://10.0.0.1:8265")
    return url.rstrip("/")


def _check_reachable(address: str) -> None:
    """Raise InputError where nobody listens."""
    parts = urlsplit(address)
    try:
        socket.create_connection(
            (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)), REACH_S
        ).close()
    except OSError as error:
        told = (error.strerror or str(error) or type(error).__name__).lower()
        raise InputError(
            f"no Ray dashboard at {address}: {told}; give --address http://HEAD:8265 (and is the head started with "
            "--dashboard-host 0.0.0.0?)"
        ) from None


def _set_token_mode() -> None:
    """Where there is a token for Ray clusters, and nobody has said otherwise, it is used, as the command `ray` does."""
    if "RAY_AUTH_MODE" in os.environ:
        return
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named or (Path.home() / ".ray" / "auth_token").exists():
        os.environ["RAY_AUTH_MODE"] = "token"


def _client_class() -> Any:
    try:
        from ray.job_submission import JobSubmissionClient

        logging.getLogger(f"{JobSubmissionClient.__module__}").setLevel(logging.ERROR)
    except ImportError:
        raise InputError("jobs on a cluster need Ray, which is not installed: pip install 'vidswap[ray]'") from None
    return JobSubmissionClient


def _job(details: Any) -> RayJob | None:
    metadata = details.metadata or {}
    if KEY not in metadata or not details.submission_id:
        return None
    began, ended = (t / 1000 if t else None for t in (details.start_time, details.end_time))
    return RayJob(
        name=details.submission_id,
        state=str(details.status.value).lower(),
        command=metadata[KEY],
        folder=metadata.get("folder", ""),
        message=details.message or "",
        began_s=began,
        ended_s=ended,
    )


def _why(error: Exception) -> str:
    """In one line, and of a wrong token the remedy."""
    if type(error).__name__ == "AuthenticationError":
        return NO_TOKEN
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
