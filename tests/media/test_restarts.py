"""Files that are several put one after another: picture and sound go on, in step, where the clock starts anew."""

from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from vidswap import media
from vidswap.media.restarts import Rejoining, Restarts, restarted

SOUND_RATE = 48000
STEP = 3600


def piece(path, frames, grey, codec):
    """A transport stream whose clock begins at the same time as every other's; its sound is a little longer."""
    with av.open(str(path), "w", format="mpegts") as container:
        picture = container.add_stream(codec, rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=SOUND_RATE)
        for i in range(frames):
            image = np.full((48, 64, 3), grey + i, dtype=np.uint8)
            container.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        samples = np.zeros((1, frames * SOUND_RATE // 25 + 2500), dtype=np.float32)
        for start in range(0, samples.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(samples[:, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = SOUND_RATE, start
            container.mux(sound.encode(frame))
        container.mux(picture.encode(None))
        container.mux(sound.encode(None))
    return path.read_bytes()


@pytest.fixture(scope="module", params=["libx264", "mpeg2video"])
def joined(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("restarts")
    pieces = [piece(folder / f"{i}.ts", n, 40 * i, request.param) for i, n in enumerate((30, 20, 25))]
    path = folder / "joined.ts"
    path.write_bytes(b"".join(pieces))
    return path


def test_frames_go_on_at_their_rate(joined):
    index = media.probe(joined)
    assert index.frame_count == 75
    assert np.diff(index.pts).tolist() == [STEP] * 74
    assert index.restarts.frames == (30, 50)
    assert [w for w in index.warnings if "timestamps start anew at frame 30" in w and "frame 50" in w]


def test_frames_are_read_in_the_order_of_the_file(joined):
    index = media.probe(joined)
    greys = [float(p.rgb(8, 8).mean()) for p in media.read(index, 0, 75)]
    assert greys[29] < greys[30] < greys[50]
    assert [p.frame for p in media.read(index, 45, 55)] == list(range(45, 55))


@pytest.mark.parametrize(("start", "end", "seconds"), [(None, None, 3.0), ("1", "2.6", 1.6)])
def test_sound_stays_with_the_picture(joined, tmp_path, start, end, seconds):
    index = media.trim(media.probe(joined), start, end)
    writer = media.SegmentWriter(tmp_path / "segment.nut", index, media.WriterOptions(threads=1))
    for picture in media.read(index, 0, index.frame_count):
        writer.add(picture)
    writer.close()
    warnings = media.join(index, [tmp_path / "segment.nut"], tmp_path / "out.mp4")
    assert not [w for w in warnings if "left out" in w]
    with av.open(str(tmp_path / "out.mp4")) as container:
        sound = container.streams.audio[0]
        packets = [p for p in container.demux(sound) if p.size]
    stamps = np.array([float(p.dts * p.time_base) for p in packets])
    length = 1024 / SOUND_RATE
    # At a seam there may be a packet more of silence than the piece before has, or one less.
    assert np.abs(np.diff(stamps) - length).max() < 1.01 * length
    assert stamps[-1] + length - max(0, stamps[0]) == pytest.approx(seconds, abs=0.1)


def test_sound_that_comes_before_its_piece_of_the_picture_belongs_to_it():
    stream = SimpleNamespace(index=1, type="audio")
    moves = Rejoining(Restarts((25,), (5000,), (Fraction(1),)))

    def moved(pos, dts):
        packet = SimpleNamespace(stream=stream, time_base=Fraction(1, 100), pts=dts, dts=dts, pos=pos, duration=20)
        return moves.takes(packet), packet.dts

    assert [moved(p, t) for p, t in ((100, 0), (3000, 85))] == [(True, 0), (True, 85)]
    # 4800 is before the picture's first packet of the second piece; 100 to 105 is the first one's end.
    assert [moved(p, t) for p, t in ((4800, 0), (5200, 20))] == [(False, 100), (True, 120)]


@pytest.mark.parametrize(
    ("given", "clock", "frames"),
    [
        ([*range(0, 1000, 40), *range(0, 400, 40)], None, (25,)),
        ([*range(2000, 3000, 40), *range(0, 800, 40), *range(0, 400, 40)], None, (25, 45)),
        ([*range(0, 1000, 40)], None, None),
        ([*range(0, 1000, 40), *range(600, 1000, 40)], None, None),  # steps back by less than half a second
        ([*range(0, 1000, 40), *range(0, 120, 40)], None, None),  # too short for a piece
        ([*range(0, 1000, 40), None, *range(0, 400, 40)], None, None),
        ([*range(0, 1000, 40), *range(0, 400, 40)], [*range(0, 1400, 40)], None),  # packets tell of no step back
    ],
)
def test_pieces_are_told_from_damage(given, clock, frames):
    clock = given if clock is None else clock
    found = restarted(given, 40, Fraction(1, 1000), clock, range(len(clock)))
    if frames is None:
        assert found is None
        return
    times, restarts = found
    assert np.diff(times).tolist() == [40] * (len(given) - 1)
    assert restarts.frames == restarts.positions == frames
