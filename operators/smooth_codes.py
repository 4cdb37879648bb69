"""Smooth: codes of a generator over time, the frames that are inverted at all, and the portrait's code as anchor."""

from __future__ import annotations

import numpy as np
from pydantic import Field, field_validator

from vidswap.graph.batch import Batch
from vidswap.graph.errors import InputError
from vidswap.graph.operator import Operator, Options, Setting
from vidswap.latents import temporal

from .smooth import filled

_KEYFRAMES = "keyframes"
"""Under this name the distance of keyframes stands among the sizes that stages tell each other; no column has it."""


class SmoothCodesOptions(Options):
    """How codes are smoothed over time; all in frames."""

    filter: temporal.Filter = Field("adaptive", description="adaptive is wide where codes rest, narrow where they move")
    sigma: float = Field(2.0, ge=0.3, le=12, description="of the Gaussian; of the adaptive filter where codes rest")
    window: int = Field(7, ge=5, le=49, description="frames that savitzky-golay fits; odd")
    eager: float = Field(0.1, ge=0, le=10, description="how fast the adaptive filter narrows with motion over noise")
    gap: int = Field(0, ge=0, le=30, description="longest gap filled, linearly; keyframes need their distance less one")

    @field_validator("window")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"a window has a frame in its middle, so it is odd, such as {value + 1}")
        return value

    @property
    def steadying(self) -> temporal.Steadying:
        """The filter that they describe."""
        return temporal.Steadying(self.filter, self.sigma, self.window, self.eager)


class SmoothWPlusOptions(SmoothCodesOptions):
    """The same, and what holds for the finer rows of W+ alone."""

    fine_from: int = Field(9, ge=0, le=64, description="from this row on, codes carry colour and light")
    fine_sigma: float = Field(0.0, ge=0, le=12, description="of a Gaussian for those rows alone; 0: as the others")


class SmoothWPlus(Operator[SmoothWPlusOptions]):
    """Codes in W+ of each track, smoothed without lag; frames between keyframes get the codes that lie between."""

    kind = "smooth"
    needs = ("track", "wplus")
    gives = ("wplus",)
    Options = SmoothWPlusOptions

    def __init__(self, options: SmoothWPlusOptions) -> None:
        super().__init__(options)
        fine = temporal.Steadying("gaussian", options.fine_sigma).radius if options.fine_sigma > 0 else 0
        reach = max(options.steadying.radius, fine)
        self.context = reach + options.gap

    def ready(self, device: str | None, sizes: dict[str, tuple[int, ...]]) -> None:
        """Hold the gaps that are filled against those that keyframes leave. Raises InputError."""
        every = sizes.get(_KEYFRAMES, (1,))[0]
        if self.options.gap < every - 1:
            raise InputError(
                f"one frame in {every} is inverted, but gaps of {self.options.gap} frames are filled: the others would "
                f"be lost; set this stage's gap to {every - 1}"
            )

    def setup(self, setting: Setting) -> None:
        """Take the timestamps of the frames that are filled in."""
        self._pts = None if setting.video is None else np.asarray(setting.video.pts, np.int64)

    def __call__(self, batch: Batch) -> Batch:
        """Rows of all tracks, by frame, with their codes smoothed."""
        made = [self._smoothed(track) for track in _tracks(batch, self.options.gap, self._pts)]
        return _by_frame(made)

    def _smoothed(self, track: Batch) -> Batch:
        options = self.options
        codes = temporal.steadied_wplus(
            track["frame"], track["wplus"], options.steadying, options.fine_from, options.fine_sigma
        )
        return track.with_columns(wplus=codes)


class SmoothStyle(Operator[SmoothCodesOptions]):
    """Codes in S of each track, smoothed without lag."""

    kind = "smooth"
    needs = ("track", "style")
    gives = ("style",)
    Options = SmoothCodesOptions

    def __init__(self, options: SmoothCodesOptions) -> None:
        super().__init__(options)
        self.context = options.steadying.radius + options.gap

    def setup(self, setting: Setting) -> None:
        """Take the timestamps of the frames that are filled in."""
        self._pts = None if setting.video is None else np.asarray(setting.video.pts, np.int64)

    def __call__(self, batch: Batch) -> Batch:
        """Rows of all tracks, by frame, with their codes smoothed."""
        how = self.options.steadying
        made = [
            track.with_columns(style=how(track["frame"], track["style"]))
            for track in _tracks(batch, self.options.gap, self._pts)
        ]
        return _by_frame(made)


class KeyframesOptions(Options):
    """How far keyframes are apart."""

    every: int = Field(1, ge=1, le=31, description="frames; 1 keeps every frame")


class SmoothKeyframes(Operator[KeyframesOptions]):
    """Leaves of each track only the frames that will be inverted; `smooth.wplus` with `gap` brings the others back."""

    kind = "smooth"
    needs = ("track",)
    gives = ()
    Options = KeyframesOptions

    def __init__(self, options: KeyframesOptions) -> None:
        super().__init__(options)
        self.context = 1 if options.every > 1 else 0

    def ready(self, device: str | None, sizes: dict[str, tuple[int, ...]]) -> None:
        """Tell the stage that fills in how far keyframes are apart."""
        sizes[_KEYFRAMES] = (self.options.every,)

    def __call__(self, batch: Batch) -> Batch:
        """The rows of keyframes: every so many, and the ends of a track."""
        if self.options.every == 1:
            return batch
        keep = np.zeros(len(batch), bool)
        for number in np.unique(batch["track"]):
            rows = np.flatnonzero(batch["track"] == number)
            keep[rows] = temporal.keyframes(batch["frame"][rows], self.options.every)
        return batch.take(keep)


class AnchorOptions(Options):
    """How far codes are drawn to the portrait's own, and which rows."""

    share: float = Field(1.0, ge=0, le=1, description="1: the portrait's own code; 0: nothing is done")
    from_row: int = Field(9, ge=0, le=64, description="rows of W+ before this one are left alone")


class SmoothAnchor(Operator[AnchorOptions]):
    """The finer rows of W+ held at the portrait's own code, so that colour and light do not swim.

    What others take the mean over the whole video for, which must be known then before the first frame can be made.
    """

    kind = "smooth"
    needs = ("wplus",)
    gives = ("wplus",)
    needs_source = ("source_wplus",)
    Options = AnchorOptions

    def setup(self, setting: Setting) -> None:
        """Take the portrait's code."""
        self._anchor = setting.sources["source"]["source_wplus"][0]

    def __call__(self, batch: Batch) -> Batch:
        """Draws each row's code."""
        codes = batch["wplus"]
        if codes.shape[1:] != self._anchor.shape:
            raise InputError(
                f"the portrait's code of {self._anchor.shape[0]} rows is no anchor for codes of {codes.shape[1]} rows; "
                "both are to come of one generator's encoders"
            )
        return batch.with_columns(
            wplus=temporal.anchored(codes, self._anchor, self.options.share, self.options.from_row)
        )


def _tracks(batch: Batch, gap: int, pts: np.ndarray | None) -> list[Batch]:
    return [filled(batch.take(batch["track"] == number), gap, pts) for number in np.unique(batch["track"])]


def _by_frame(tracks: list[Batch]) -> Batch:
    rows = Batch.concat(tracks)
    return rows.take(np.lexsort((rows["track"], rows["frame"])))
