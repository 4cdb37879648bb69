"""Errors that a user reads: what is wrong, where, and what to do."""

from __future__ import annotations


class VidswapError(Exception):
    """Base of all errors that vidswap raises on purpose; the command exits with `exit_code`."""

    exit_code = 1


class InputError(VidswapError):
    """Bad input or usage, found before any work: one clear line with the remedy. Exit code 2."""

    exit_code = 2


class StageError(VidswapError):
    """A stage failed: carries the stage, the segment and, where known, the frame.

    `frame` is an index into the video in presentation order; `detail` is the traceback of the original error.
    """

    def __init__(
        self, reason: str, *, stage: str, segment: int | None = None, frame: int | None = None, detail: str = ""
    ) -> None:
        self.reason, self.stage, self.segment, self.frame, self.detail = reason, stage, segment, frame, detail
        where = [f"stage {stage}"]
        if segment is not None:
            where.append(f"segment {segment}")
        if frame is not None:
            where.append(f"frame {frame}")
        super().__init__(f"{', '.join(where)}: {reason}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_stage_error, (self.reason, self.stage, self.segment, self.frame, self.detail)


def _rebuild_stage_error(reason: str, stage: str, segment: int | None, frame: int | None, detail: str) -> StageError:
    return StageError(reason, stage=stage, segment=segment, frame=frame, detail=detail)


def first_line(error: BaseException, most: int = 160) -> str:
    """The first line of what an error says, no longer than `most` characters; its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:most] if lines else type(error).__name__


class Interrupted(VidswapError):
    """The user stopped the run; the job folder holds what is done. Exit code 130."""

    exit_code = 130
