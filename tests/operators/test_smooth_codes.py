"""Stages that smooth codes: segments of any length give the same bits, keyframes come back, anchors hold."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from vidswap.operators.smooth_codes import (
    AnchorOptions,
    KeyframesOptions,
    SmoothAnchor,
    SmoothCodesOptions,
    SmoothKeyframes,
    SmoothStyle,
    SmoothWPlus,
    SmoothWPlusOptions,
)

from vidswap.graph.batch import Batch
from vidswap.graph.errors import InputError
from vidswap.graph.operator import Setting

COUNT = 50


def rows(seed=0, lost=0.0):
    random = np.random.default_rng(seed)
    kept = [(frame, track) for frame in range(COUNT) for track in (2, 5) if random.random() >= lost]
    frame, track = (np.array(values, np.int64) for values in zip(*kept, strict=True))
    wplus = np.sin(frame / 6 + track)[:, None, None] + random.normal(0, 0.1, (len(frame), 4, 6))
    return Batch(
        frame=frame,
        pts=frame * 1001,
        track=track,
        wplus=wplus.astype(np.float32),
        style=wplus.astype(np.float32).reshape(len(frame), -1),
    )


def ready(operator):
    operator.setup(Setting(video=SimpleNamespace(pts=np.arange(COUNT) * 1001)))
    return operator


def in_segments(operators, batch, cuts):
    """The rows after a chain of operators, each given the neighbours that it declares, as the engine does it."""
    bounds = [0, *sorted(cuts), COUNT]
    for operator in operators:
        parts = []
        for start, stop in zip(bounds, bounds[1:], strict=False):
            seen = batch.frames_between(max(0, start - operator.context), stop + operator.context)
            if len(seen):
                parts.append(operator(seen).frames_between(start, stop))
        batch = Batch.concat([p for p in parts if len(p)])
    return batch


def same(one, other):
    assert one.names == other.names
    for name in one.names:
        assert np.array_equal(one[name], other[name]), name


CHAINS = [
    lambda: [SmoothWPlus(SmoothWPlusOptions())],
    lambda: [SmoothWPlus(SmoothWPlusOptions(filter="gaussian", sigma=1, gap=3, fine_from=2, fine_sigma=3))],
    lambda: [SmoothStyle(SmoothCodesOptions(filter="savitzky-golay", window=9, gap=2))],
    lambda: [SmoothKeyframes(KeyframesOptions(every=5)), SmoothWPlus(SmoothWPlusOptions(gap=4))],
]


@given(
    seed=st.integers(0, 100),
    cuts=st.sets(st.integers(1, COUNT - 1), max_size=4),
    chain=st.sampled_from(CHAINS),
    lost=st.sampled_from([0.0, 0.3]),
)
def test_segments_of_any_length_give_the_same_bits(seed, cuts, chain, lost):
    operators = [ready(operator) for operator in chain()]
    batch = rows(seed, lost)
    same(in_segments(operators, batch, cuts), in_segments(operators, batch, ()))


def test_frames_between_keyframes_get_the_codes_that_lie_between():
    batch = rows()
    kept = SmoothKeyframes(KeyframesOptions(every=5))(batch)
    assert sorted(set(kept["frame"])) == [*range(0, COUNT, 5), COUNT - 1]
    made = ready(SmoothWPlus(SmoothWPlusOptions(filter="none", gap=4)))(kept)
    assert np.array_equal(made["frame"], batch["frame"]) and np.array_equal(made["track"], batch["track"])
    assert np.array_equal(made["pts"], batch["pts"])
    one = batch.take(batch["track"] == 2)["wplus"]
    two = made.take(made["track"] == 2)["wplus"]
    assert np.array_equal(two[10], one[10])
    assert np.allclose(two[12], 0.6 * one[10] + 0.4 * one[15], atol=1e-6)


def test_frames_that_nobody_would_bring_back_are_told_before_anything_starts():
    sizes = {}
    SmoothKeyframes(KeyframesOptions(every=5)).ready("cpu", sizes)
    SmoothWPlus(SmoothWPlusOptions(gap=4)).ready("cpu", sizes)
    with pytest.raises(InputError, match="set this stage's gap to 4"):
        SmoothWPlus(SmoothWPlusOptions(gap=3)).ready("cpu", sizes)
    SmoothWPlus(SmoothWPlusOptions()).ready("cpu", {})


def test_tracks_do_not_mix():
    batch = rows()
    both = ready(SmoothWPlus(SmoothWPlusOptions()))(batch)
    alone = ready(SmoothWPlus(SmoothWPlusOptions()))(batch.take(batch["track"] == 5))
    assert np.array_equal(both.take(both["track"] == 5)["wplus"], alone["wplus"])


def test_finer_rows_are_held_at_the_portraits_code():
    own = np.full((1, 4, 6), 2.0, np.float32)
    anchor = SmoothAnchor(AnchorOptions(from_row=3))
    anchor.setup(Setting(sources={"source": Batch(source_wplus=own)}))
    batch = rows()
    made = anchor(batch)["wplus"]
    assert np.array_equal(made[:, :3], batch["wplus"][:, :3]) and np.allclose(made[:, 3], 2.0, atol=1e-6)
    anchor.setup(Setting(sources={"source": Batch(source_wplus=own[:, :2])}))
    with pytest.raises(InputError, match="of 2 rows is no anchor for codes of 4 rows"):
        anchor(batch)


def test_windows_are_odd():
    with pytest.raises(ValidationError, match="such as 9"):
        SmoothWPlusOptions(filter="savitzky-golay", window=8)
