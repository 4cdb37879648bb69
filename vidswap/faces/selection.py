"""Which of a frame's faces are worked on: `largest`, `all`, `left`, `right` or a number, as part of the causal scan.

The choice sticks to a track. `left`, `right` and a number (0 is the leftmost) go by the order in which people stood
when they first met in the shot: crossing does not change it. Another face takes the choice over only after it has had
the better claim for `hold` frames on end (for `largest`, by a clear margin). When the chosen face is lost, a face that
was there beside it is not taken instead for `patience` frames, while a new one is: the lost one coming back, as a rule.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vidswap.graph.errors import InputError
from vidswap.storage import place

from .tracking import Track, TrackState, centre_and_size

NAMES = ("largest", "all", "left", "right")
LIKE = "like:"


@dataclass(frozen=True)
class SelectionOptions:
    """face: `largest`, `all`, `left`, `right`, a number as text, or `like:` and the file of a portrait; hold and
    patience in frames; margin of areas, likeness_margin of distances in shape.
    """

    face: str = "largest"
    hold: int = 12
    patience: int = 24
    margin: float = 1.5
    likeness_margin: float = 1.15

    def __post_init__(self) -> None:
        check_face(self.face)


@dataclass
class SelectionState:
    """What one frame leaves for the next: the order of the tracks, the chosen one, who claims its place since when."""

    shot: int = -1
    order: list[int] = field(default_factory=list)
    chosen: int = -1
    lost: int = -1
    rivals: list[int] = field(default_factory=list)
    claimant: int = -1
    claims: int = -1

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        return asdict(self)

    def start(self, shot: int) -> None:
        """Forget all that was: a new shot."""
        self.shot, self.order, self.rivals = shot, [], []
        self.chosen = self.lost = self.claimant = self.claims = -1

    @staticmethod
    def from_dict(stored: dict[str, Any]) -> SelectionState:
        """The state that `to_dict` told."""
        return SelectionState(**stored)


def check_face(face: str) -> str:
    """The choice as given, or InputError that lists what may be said."""
    if face in NAMES or (face.isascii() and face.isdigit()) or (face.startswith(LIKE) and len(face) > len(LIKE)):
        return face
    known = f"{', '.join(NAMES)}, {LIKE}PORTRAIT"
    raise InputError(f"face is {face!r}; it must be one of {known} or a number, 0 being the leftmost face")


def choices(face: str) -> tuple[str, ...]:
    """The choices of a list such as "left,right", one for each person who is put in; checked.

    Raises InputError for an unknown one, one that stands twice, and `all` beside others.
    """
    found = (face,) if face.startswith(LIKE) and "," in face and place(face[len(LIKE) :]).is_file() else face.split(",")
    named = tuple(check_face(f.strip()) for f in found)
    if len(set(named)) < len(named) or (len(named) > 1 and "all" in named):
        raise InputError(f"face is {face!r}; in a list every face is another one, and 'all' stands alone")
    return named


def choose(
    state: SelectionState,
    tracks: TrackState,
    options: SelectionOptions,
    *,
    taken: Collection[int] = (),
    distances: Mapping[int, float] | None = None,
) -> list[int]:
    """Numbers of the tracks chosen in the frame that `tracks` has just been brought up to; `state` follows.

    May name a track that is missing in this frame and may still come back.

    Args:
        taken: tracks that another choice has; they keep their place in the order but are not to be had.
        distances: for `like:`, how far each track's face is from the portrait's.
    """
    if options.face == "all":
        return [t.number for t in tracks.tracks]
    frame = tracks.frame
    if state.shot != tracks.shot:
        state.start(tracks.shot)
    living = {t.number: t for t in tracks.tracks}
    if state.chosen >= 0 and state.chosen not in living:
        state.rivals = [n for n in state.order if n != state.chosen]
        state.lost, state.chosen = frame, -1
    _keep_order(state, tracks.tracks)
    state.order = [n for n in state.order if n in living]
    if state.chosen < 0:
        barred = state.rivals if state.lost >= 0 and frame - state.lost < options.patience else []
        # A place in the order counts all who stand there; the largest is sought among those who may be taken.
        ranked = options.face == "largest" or options.face.startswith(LIKE)
        open_to = [n for n in state.order if not ranked or (n not in barred and n not in taken)]
        best = _best([living[n] for n in open_to], options.face, distances)
        state.chosen, state.claimant = (-1 if best in barred or best in taken else best), -1
        return [state.chosen] if state.chosen >= 0 else []
    best = _best([living[n] for n in state.order], options.face, distances)
    if (
        best < 0
        or best == state.chosen
        or best in taken
        or not _clearly(living[best], living[state.chosen], options, distances)
    ):
        state.claimant = -1
    elif best != state.claimant:
        state.claimant, state.claims = best, frame
    elif frame - state.claims >= options.hold and living[best].seen == frame:
        state.chosen, state.claimant = best, -1
    return [state.chosen]


def _keep_order(state: SelectionState, tracks: Sequence[Track]) -> None:
    """Set new tracks into the order, each before the first one that is now to the right of it."""
    known = {t.number: centre_and_size(t.box)[0] for t in tracks}
    for track in sorted((t for t in tracks if t.number not in state.order), key=lambda t: known[t.number]):
        x = known[track.number]
        place = next((i for i, n in enumerate(state.order) if n in known and known[n] > x), len(state.order))
        state.order.insert(place, track.number)


def _best(tracks: Sequence[Track], face: str, distances: Mapping[int, float] | None) -> int:
    """The track that the rule takes of those given in their order, -1 where there is none."""
    if not tracks:
        return -1
    if face == "largest":
        return max(tracks, key=_area).number
    if face.startswith(LIKE):
        known = distances or {}
        return min(tracks, key=lambda t: known.get(t.number, math.inf)).number
    place = {"left": 0, "right": len(tracks) - 1}.get(face)
    place = int(face) if place is None else place
    return tracks[place].number if place < len(tracks) else -1


def _clearly(one: Track, other: Track, options: SelectionOptions, distances: Mapping[int, float] | None) -> bool:
    if options.face.startswith(LIKE):
        known = distances or {}
        return options.likeness_margin * known.get(one.number, math.inf) < known.get(other.number, math.inf)
    return options.face != "largest" or _area(one) > options.margin * _area(other)


def _area(track: Track) -> float:
    return (track.box[2] - track.box[0]) * (track.box[3] - track.box[1])
