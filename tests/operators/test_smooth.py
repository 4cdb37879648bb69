from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from vidswap.operators.smooth import SmoothLandmarks, SmoothOptions

from vidswap.faces import topology
from vidswap.faces.resting import reading
from vidswap.graph.batch import Batch
from vidswap.graph.columns import STANDARD_COLUMNS
from vidswap.graph.operator import Setting


def faces(count: int = 60, seed: int = 0, lost: float = 0.15) -> Batch:
    """Two tracks of moving, noisy faces with missing rows, by frame and from left to right."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list] = {name: [] for name in ("frame", "track", "landmarks", "light", "score")}
    for frame in range(count):
        for track in (4, 9):
            if rng.random() < lost:
                continue
            place = np.array([200 + 60 * track + 2 * frame, 300 + 20 * np.sin(frame / 5), 0])
            columns["frame"].append(frame)
            columns["track"].append(track)
            columns["landmarks"].append(topology.canonical() * 80 + place + rng.normal(0, 0.5, (478, 3)))
            columns["light"].append(rng.uniform(0.2, 0.8, (7, 3)))
            columns["score"].append(rng.random())
    landmarks = np.array(columns["landmarks"], np.float32)
    return Batch(
        frame=np.array(columns["frame"], np.int64),
        pts=np.array(columns["frame"], np.int64) * 1001,
        track=np.array(columns["track"], np.int64),
        landmarks=landmarks,
        box=np.concatenate([landmarks[..., :2].min(1), landmarks[..., :2].max(1)], 1),
        light=np.array(columns["light"], np.float32),
        resting=np.array([reading(points) for points in landmarks], np.float32),
        score=np.array(columns["score"], np.float32),
    )


def operator(pts: np.ndarray | None = None, **options) -> SmoothLandmarks:
    made = SmoothLandmarks(SmoothOptions(**options))
    made.setup(Setting(video=None if pts is None else SimpleNamespace(pts=pts)))
    return made


KINDS = ["adaptive", "gaussian", "five-tap", "none"]


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    cuts=st.sets(st.integers(1, 59), max_size=5),
    kind=st.sampled_from(KINDS),
    axes=st.sampled_from(["gaussian", "savitzky-golay", "adaptive"]),
    lost=st.sampled_from([0.0, 0.2, 0.6]),
    reach=st.sampled_from([0, 3, 40]),
)
def test_segments_of_any_length_give_the_same_bits(seed, cuts, kind, axes, lost, reach):
    smooth, rows = operator(landmarks=kind, axes=axes, resting=reach), faces(60, seed, lost)
    whole = smooth(rows)
    parts = []
    for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), 60], strict=True):
        around = rows.frames_between(low - smooth.context, high + smooth.context)
        if len(around):
            own = (around["frame"] >= low) & (around["frame"] < high)
            parts.append(smooth(around.with_columns(own=own)).frames_between(low, high))
    joined = Batch.concat(parts)
    for name in whole.names:
        assert np.array_equal(joined[name], whole[name]), name


@pytest.mark.parametrize(
    ("options", "context"),
    [
        ({}, 16 + 5),
        ({"resting": 96}, 96 + 5),
        ({"light_sigma": 0}, 12 + 5),
        ({"light_sigma": 0, "axes_sigma": 0}, 12 + 5),
        ({"light_sigma": 0, "axes_sigma": 0, "brief": 0}, 4 + 5),
        ({"light_sigma": 0, "axes_sigma": 0, "landmarks": "five-tap", "gap": 0, "brief": 0}, 2),
        ({"light_sigma": 0, "axes_sigma": 0, "landmarks": "gaussian", "sigma": 2.0, "brief": 0}, 8 + 5),
        ({"light_sigma": 0, "axes_sigma": 0, "landmarks": "none", "gap": 0, "brief": 0}, 0),
    ],
)
def test_context_is_the_widest_filter_and_the_gap(options, context):
    assert SmoothLandmarks(SmoothOptions(**options)).context == context


def test_missing_rows_come_back_in_order_with_the_timestamps_of_their_frames():
    rows = faces(30, lost=0.0)
    rows = rows.take(~((rows["track"] == 4) & np.isin(rows["frame"], [10, 11, 12])))
    pts = np.cumsum(np.arange(30) % 3 + 900)
    filled = operator(pts)(rows)
    assert len(filled) == 60
    assert filled["frame"].tolist() == sorted(filled["frame"].tolist())
    assert filled["track"].tolist() == [4, 9] * 30
    own = filled.take((filled["track"] == 4) & np.isin(filled["frame"], [10, 11, 12]))
    assert own["pts"].tolist() == pts[10:13].tolist()
    assert np.abs(np.diff(filled.take(filled["track"] == 4)["landmarks"][:, 4, 0]) - 2).max() < 1


def test_what_stands_before_a_face_on_either_side_of_a_gap_does_so_in_it():
    rows = faces(30, lost=0.0)
    occluded = np.zeros((len(rows), 6), np.uint8)
    occluded[rows["frame"] == 9, 1] = 200
    occluded[rows["frame"] == 13, 4] = 255
    rows = rows.with_columns(occluded=occluded)
    rows = rows.take(~np.isin(rows["frame"], [10, 11, 12]))
    filled = operator()(rows)
    for frame, expected in ((9, [0, 200, 0, 0, 0, 0]), (11, [0, 200, 0, 0, 255, 0]), (14, [0] * 6)):
        assert filled["occluded"][filled["frame"] == frame].tolist() == [expected] * 2


def test_gaps_longer_than_asked_stay_open():
    rows = faces(30, lost=0.0)
    rows = rows.take(~np.isin(rows["frame"], range(10, 16)))
    assert len(operator()(rows)) == len(rows)


def test_columns_keep_their_kind_and_axes_are_added():
    result = operator()(faces())
    for name in (*SmoothLandmarks.gives, "light", "resting", "score", "pts"):
        assert STANDARD_COLUMNS[name].check(result[name]) is None
    assert not result["resting"].any()


def test_how_a_face_is_at_rest_is_told_of_each_track_where_it_is_asked_for():
    rows = faces(30, lost=0.0)
    result = operator(resting=10)(rows)
    assert STANDARD_COLUMNS["resting"].check(result["resting"]) is None
    for track in np.unique(rows["track"]):
        alone = operator(resting=10)(rows.take(rows["track"] == track))
        assert np.array_equal(result["resting"][result["track"] == track], alone["resting"])


def test_light_is_smoothed_for_longer_than_landmarks():
    rows = faces(lost=0.0)
    result = operator()(rows)
    for track in (4, 9):
        before, after = (b.take(b["track"] == track)["light"] for b in (rows, result))
        assert np.std(after, 0).mean() < 0.4 * np.std(before, 0).mean()


def test_what_is_told_of_a_face_over_time_is_smoothed_as_light_is():
    rows = faces(lost=0.0)
    rng = np.random.default_rng(5)
    dark = rng.uniform(20, 60, (len(rows), 3)).astype(np.float32)
    worn = (rng.random(len(rows)) < 0.5).astype(np.float32)
    facing = rng.uniform(0.2, 0.4, len(rows)).astype(np.float32)
    result = operator()(rows.with_columns(darkest=dark, eyewear=worn, nostrils=facing))
    for name, before in (("darkest", dark), ("eyewear", worn), ("nostrils", facing)):
        assert STANDARD_COLUMNS[name].check(result[name]) is None
        assert np.abs(result[name].mean(0) - before.mean(0)).max() < 0.15 * before.mean()
        assert np.std(result[name], 0).max() < 0.5 * np.std(before, 0).min()


def test_rims_that_come_and_go_are_half_there_all_the_time():
    rows = faces(lost=0.0)
    rims = np.zeros((len(rows), *STANDARD_COLUMNS["rims"].shape), np.uint8)
    rims[rows["frame"] % 2 == 0, 5, 7] = 255
    rims[:, 8, 8] = 200
    result = operator()(rows.with_columns(rims=rims))["rims"]
    assert STANDARD_COLUMNS["rims"].check(result) is None
    inner = (rows["frame"] > 16) & (rows["frame"] < rows["frame"].max() - 16)
    assert np.abs(result[inner, 5, 7].astype(int) - 128).max() <= 2
    assert (result[:, 8, 8] == 200).all() and result[:, 0].max() == 0


def test_batches_without_light_are_borne():
    assert "light" not in operator()(faces().without(["light"]))


def test_nothing_is_smoothed_when_nothing_is_asked_for():
    rows = faces(lost=0.0)
    result = operator(landmarks="none", axes_sigma=0, light_sigma=0)(rows)
    assert np.array_equal(result["landmarks"], rows["landmarks"])
    assert np.array_equal(result["light"], rows["light"])


def test_one_row_is_left_as_it_is():
    row = faces(1, lost=0.0).take(slice(0, 1))
    result = operator()(row)
    np.testing.assert_allclose(result["landmarks"], row["landmarks"], atol=1e-3)
    np.testing.assert_allclose(result["light"], row["light"], rtol=1e-6)


@pytest.mark.parametrize("options", [{"sigma": 0}, {"gap": -1}, {"landmarks": "kalman"}, {"axes_sigma": 99}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValidationError):
        SmoothOptions(**options)


def seen(frames: list[int], score: float, track: int = 1) -> Batch:
    """One still face in these frames."""
    count = len(frames)
    landmarks = np.repeat((topology.canonical() * 80 + 300)[None], count, 0).astype(np.float32)
    return Batch(
        frame=np.array(frames, np.int64),
        pts=np.array(frames, np.int64),
        track=np.full(count, track, np.int64),
        landmarks=landmarks,
        box=np.concatenate([landmarks[..., :2].min(1), landmarks[..., :2].max(1)], 1),
        score=np.full(count, score, np.float32),
    )


def test_what_is_seen_briefly_and_never_surely_is_no_face():
    smooth = operator()
    assert len(smooth(seen([40, 41, 42, 44], 0.62))) == 0
    assert len(smooth(seen([40, 41, 42, 44], 0.9))) == 5
    assert len(smooth(seen(list(range(40, 52)), 0.62))) == 12
    assert len(operator(brief=0)(seen([40], 0.5))) == 1
    both = Batch.concat([seen([40, 41], 0.6), seen([41, 42], 0.8, track=2)])
    assert set(smooth(both)["track"].tolist()) == {2}


def test_one_sure_sight_vouches_for_the_frames_around_it():
    faint = Batch.concat([seen([10], 0.6), seen([20], 0.8), seen([60], 0.6)])
    assert operator()(faint)["frame"].tolist() == [10, 20]
