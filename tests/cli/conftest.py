"""Clips for the tests of the command: a public-domain portrait that moves, with a tone, made with PyAV alone."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from vidswap.cli.app import run_command

WIDTH, HEIGHT = 320, 240


def moving_portrait(portrait, frame, *, angle=6.0, scale=0.55):
    """A frame in which the portrait swings about its face."""
    turn = cv2.getRotationMatrix2D((224, 130), angle * np.sin(frame / 5), scale)
    turn[:, 2] += np.array([WIDTH / 2 - 224 + 12 * np.sin(frame / 7), HEIGHT / 2 - 120 + 6 * np.cos(frame / 4)])
    return cv2.warpAffine(portrait, turn, (WIDTH, HEIGHT), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)


def write_clip(path, frames, *, pts=None, time_base=Fraction(1, 1000), tone_s=None):
    """H.264 with B-frames at the given pts, and a tone."""
    pts = [40 * i for i in range(len(frames))] if pts is None else pts
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": "18", "preset": "veryfast", "g": "12"})
        video.width, video.height, video.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv420p"
        video.codec_context.time_base = time_base
        video.time_base = time_base
        sound = out.add_stream("aac", rate=44100, layout="mono") if tone_s else None
        for image, at in zip(frames, pts, strict=True):
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = at, time_base
            out.mux(video.encode(picture))
        out.mux(video.encode())
        if sound is not None:
            samples = (0.2 * np.sin(np.arange(int(44100 * tone_s)) * 2 * np.pi * 440 / 44100)).astype(np.float32)
            for start in range(0, len(samples), 1024):
                block = samples[start : start + 1024]
                tone = av.AudioFrame.from_ndarray(block[None], format="fltp", layout="mono")
                tone.sample_rate, tone.pts, tone.time_base = 44100, start, Fraction(1, 44100)
                out.mux(sound.encode(tone))
            out.mux(sound.encode())
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory, astronaut):
    """26 frames of a swinging portrait at uneven times, with sound."""
    frames = [moving_portrait(astronaut, i) for i in range(26)]
    pts = [40 * i + (13 if i % 3 == 1 else 0) for i in range(26)]
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames, pts=pts, tone_s=1.0)


@pytest.fixture(scope="session")
def faceless(tmp_path_factory):
    """12 frames of a moving gradient."""
    ramp = np.linspace(0, 255, WIDTH, dtype=np.uint8)
    frames = [np.repeat(np.roll(ramp, 5 * i)[None, :, None], HEIGHT, 0).repeat(3, 2) for i in range(12)]
    return write_clip(tmp_path_factory.mktemp("clip") / "faceless.mp4", frames, tone_s=0.5)


@pytest.fixture(scope="session")
def grace():
    """Path of the portrait used as source."""
    from vidswap.demo import portrait

    return portrait("grace_hopper")


@pytest.fixture
def vidswap(capfd):
    """Run the command in this process: returns exit code, stdout, stderr."""

    def run(*arguments):
        code = run_command([str(a) for a in arguments])
        told = capfd.readouterr()
        return code, told.out, told.err

    return run
