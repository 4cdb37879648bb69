"""`vidswap evaluate`: how good a result is, in numbers, beside what is to be reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import VOICE, table

if TYPE_CHECKING:
    from vidswap.evaluation import Evaluation


@dataclass(frozen=True)
class Measure:
    """One line of the table: name, what it is, and what is to be reached (`most` by absolute value), if anything."""

    name: str
    about: str
    least: float | None = None
    most: float | None = None

    def passes(self, value: float | None) -> bool | None:
        """None where there is no value or nothing to be reached."""
        if value is None or (self.least is None and self.most is None):
            return None
        return (self.least is None or value >= self.least) and (self.most is None or abs(value) <= self.most)

    @property
    def wanted(self) -> str:
        """What is to be reached, in words."""
        if self.least is not None:
            return f"at least {self.least:g}"
        return f"at most {self.most:g}" if self.most is not None else ""


MEASURES = (
    Measure("jitter_ratio", "landmark jitter ratio", most=1.10),
    Measure("motion_gain", "motion gain, 1 to 3 Hz", least=0.9),
    Measure("lag_frames", "lag, frames", most=1.0),
    Measure("flicker_ratio", "luma flicker ratio", most=1.15),
    Measure("pose_difference_deg", "head pose difference, deg", most=3.0),
    Measure("seam", "seam, grey levels"),
    Measure("seam_deviation", "seam, deviation over time"),
    Measure("warping_ratio", "warping error ratio"),
    Measure("nme", "landmarks, NME to target"),
    Measure("likeness", "likeness, result to source"),
    Measure("target_likeness", "likeness, target to source"),
    Measure("tl_id", "TL-ID"),
    Measure("tlp", "tLP"),
    Measure("faces_found_share", "share of faces found again"),
)
OF_REENACTMENT = (
    Measure("jitter_ratio", "landmark jitter ratio", most=1.10),
    Measure("turn_gain", "gain of turns, 1 to 3 Hz", least=0.9),
    Measure("lag_frames", "lag, frames", most=1.0),
    Measure("flicker_ratio", "luma flicker ratio", most=1.15),
    Measure("pose_deviation_deg", "head turns, deviation, deg", most=3.0),
    Measure("mouth_follows", "mouth, correlation"),
    Measure("lids_follow", "lids, correlation"),
    Measure("likeness", "likeness, result to source"),
    Measure("faces_found_share", "share of faces found again"),
)
_OF_TRACKS = {
    "jitter": "jitter_ratio",
    "gain": "motion_gain",
    "lag": "lag_frames",
    "flicker": "flicker_ratio",
    "pose": "pose_difference_deg",
    "seam": "seam",
}
_MARKS = {True: "pass", False: "MISS", None: ""}
_CHECKS = {
    "frame_count": "frames",
    "pts": "timestamps",
    "shape": "size and rotation",
    "streams": "other streams",
}


def evaluate(*, source: Path, target: Path, result: Path, reenacted: bool = False) -> None:
    """Measure and print."""
    from vidswap.evaluation import evaluate as evaluate_swap
    from vidswap.following import evaluate_reenactment

    from .progress import counted

    with counted("evaluate", shown=VOICE.shows_progress) as done:
        found = (evaluate_reenactment if reenacted else evaluate_swap)(source, target, result, progress=done)
    for warning in found.warnings:
        VOICE.warn(warning)
    measures = OF_REENACTMENT if reenacted else MEASURES
    VOICE.result(facts_of(found, source, target, result, measures), [])
    if VOICE.json or VOICE.quiet:
        return
    table(f"{result} against {target}", ["measure", "value", "to reach", "mark"], _rows(found, measures))
    if len(found.tracks) > 1:
        table("faces", ["frames", "changed", *_OF_TRACKS], [_track_row(t) for t in found.tracks])
    for note in _notes(found, measures):
        VOICE.say(note)


def facts_of(
    found: Evaluation, source: Path, target: Path, result: Path, measures: Sequence[Measure] = MEASURES
) -> dict[str, Any]:
    """Everything as plain data for JSON; numbers are finite, what could not be measured is null with a reason."""
    told = {
        m.name: {
            "value": found.values[m.name],
            "about": m.about,
            "least": m.least,
            "most": m.most,
            "passes": m.passes(found.values[m.name]),
            "reason": found.reasons.get(m.name),
        }
        for m in measures
    }
    if measures is MEASURES:
        told["background_psnr_db"] = {
            "value": found.background_psnr_db,
            "about": "PSNR outside the changed regions; null when exact or when nothing lies outside",
            "exact": found.background_exact,
        }
    named = {m.name for m in measures}
    return {
        "source": str(source),
        "target": str(target),
        "result": str(result),
        "frames": found.frames,
        "changed": found.changed,
        "measures": told,
        "more": {name: value for name, value in found.values.items() if name not in named},
        "checks": {name: {"passes": wrong is None, "difference": wrong} for name, wrong in found.checks.items()},
        "tracks": [asdict(track) for track in found.tracks],
        "tracks_left_out": found.tracks_left_out,
        "warnings": list(found.warnings),
    }


def _rows(found: Evaluation, measures: Sequence[Measure]) -> list[tuple[str, str, str, str]]:
    rows = []
    for measure in measures:
        value = found.values[measure.name]
        rows.append((measure.about, _number(value), measure.wanted, _MARKS[measure.passes(value)]))
    if measures is MEASURES:
        background = "bit-equal" if found.background_exact else _number(found.background_psnr_db)
        rows.append(("PSNR outside the change, dB", background, "", ""))
    for name, wrong in found.checks.items():
        rows.append((_CHECKS[name], "differ" if wrong else "equal", "equal", _MARKS[wrong is None]))
    return rows


def _notes(found: Evaluation, measures: Sequence[Measure]) -> Iterator[str]:
    """What the table has no room for: differences of streams, and why measures are missing."""
    for name, wrong in found.checks.items():
        if wrong:
            yield f"{_CHECKS[name]} differ: {wrong}"
    missing = [m.name for m in measures if found.values[m.name] is None]
    for reason in dict.fromkeys(found.reasons[name] for name in missing):
        names = ", ".join(n for n in missing if found.reasons[n] == reason)
        yield f"not measured: {names} ({reason})"
    if not found.changed:
        yield (
            "no face was changed; the measures are of all faces"
            if measures is MEASURES
            else "no face was found in both"
        )
    if found.tracks_left_out:
        yield f"{found.tracks_left_out} shorter appearances of faces are not listed"


def _track_row(track: Any) -> tuple[str, ...]:
    frames = f"{track.first}-{track.last}" + (f" ({track.lost} lost)" if track.lost else "")
    return (frames, "yes" if track.changed else "no", *(_number(track.values[n]) for n in _OF_TRACKS.values()))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
