"""Scouting: stretches without a face are passed over, and what is passed over hangs on the video alone."""

import av
import numpy as np
import pytest
from cli_media import moving_portrait
from vidswap.operators.scout import DetectScout, stretch_edges

from vidswap import media
from vidswap.graph import Batch
from vidswap.graph.operator import Setting

FRAMES = 180


@pytest.fixture(scope="module")
def video(tmp_path_factory, astronaut):
    """180 frames, a keyframe every 45; a face in [60, 80) and from 130 on."""
    path = tmp_path_factory.mktemp("scout") / "video.mp4"
    empty = np.tile(np.linspace(0, 255, 320, dtype=np.uint8)[None, :, None], (240, 1, 3))
    options = {"preset": "ultrafast", "g": "45", "sc_threshold": "0", "bf": "2"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for i in range(FRAMES):
            seen = 60 <= i < 80 or i >= 130
            image = moving_portrait(astronaut, i) if seen else np.roll(empty, 3 * i, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    index = media.probe(path)
    assert index.keyframes.tolist() == [0, 45, 90, 135]
    return index


@pytest.fixture(scope="module")
def scouted(video):
    def scout(index=video, cuts=(), **options):
        operator = DetectScout(DetectScout.Options(**options))
        operator.setup(Setting(video=index))
        edges = [0, *cuts, index.frame_count]
        looks = [
            operator(Batch(frame=np.arange(a, b), pts=index.pts[a:b]))["look"]
            for a, b in zip(edges, edges[1:], strict=False)
        ]
        operator.teardown()
        return np.concatenate(looks)

    return scout


def test_frames_are_passed_over_up_to_the_last_glance_without_a_face(scouted):
    look = scouted()
    first, second = np.flatnonzero(look)[0], 90 + np.flatnonzero(look[90:])[0]
    assert 45 < first <= 60
    assert look[first:90].all()
    assert 90 < second <= 130
    assert look[second:].all()
    assert not look[:45].any()


@pytest.mark.parametrize("cuts", [(7,), (50, 60, 100), (45, 90, 135), (44, 46, 91, 134)])
def test_what_is_passed_over_does_not_depend_on_segments(scouted, cuts):
    assert np.array_equal(scouted(cuts=cuts), scouted())


def test_every_frame_may_be_searched(scouted):
    assert scouted(every=0).all()


def test_a_part_of_a_video_is_scouted_from_its_first_keyframe_on(scouted, video):
    part = media.trim(video, "20f", "95f")
    look = scouted(part)
    assert look[:25].all()
    assert np.array_equal(look[25:70], scouted()[45:90])


def test_stretches_are_whole_groups_of_pictures():
    class Video:
        keyframes = np.array([3, 10, 50, 60, 120])
        frame_count = 200

    assert stretch_edges(Video()).tolist() == [3, 50, 120, 200]


def test_glances_are_the_frames_that_they_say(video):
    glancer = media.scouting.Glancer(video)
    plain = {p.frame: p.rgb(64, 48).astype(int) for p in media.read(video, 45, 90)}
    seen = []
    for picture in glancer.glances(45, 90, 8):
        seen.append(picture.frame)
        assert np.abs(picture.rgb(64, 48) - plain[picture.frame]).mean() < 3
    glancer.close()
    assert seen[0] == 45
    assert all(8 <= b - a <= 11 for a, b in zip(seen, seen[1:], strict=False))


def test_glances_that_go_on_from_the_last_stretch_show_the_same(video):
    def seen(glancer, start):
        stop = start + 45
        return [(p.frame, p.rgb(64, 48)) for p in glancer.glances(start, min(stop + 1, FRAMES), 8, last=stop)]

    going_on = media.scouting.Glancer(video)
    sought = []
    going_on._sought = lambda frame, seek=going_on._sought: sought.append(frame) or seek(frame)
    for start in (0, 45, 90):
        fresh = media.scouting.Glancer(video)
        for (a, one), (b, other) in zip(seen(going_on, start), seen(fresh, start), strict=True):
            assert a == b
            assert np.array_equal(one, other)
        fresh.close()
    going_on.close()
    assert sought == [0]
