"""Making clips for the tests of the command, and reading results back."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np

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


def decoded(path, fmt=None):
    """Frames (native planes as bytes, or arrays of `fmt`) and pts of the video stream."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        pixels = [f.to_ndarray(format=fmt) if fmt else f.to_ndarray() for f in frames]
        return pixels, [f.pts * f.time_base for f in frames]


def packets(path, kind):
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [bytes(p) for p in container.demux(stream) if p.size]


def first_time(path, kind):
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return float(next(p.pts for p in container.demux(stream)) * stream.time_base)
