"""Stretches without a face come through as they were, packet by packet; the rest is worked on as ever."""

import json

import av
import numpy as np
import pytest
from cli_media import decoded, moving_portrait, packets, write_clip

FRAMES, FACES = 72, range(36, 48)


@pytest.fixture(scope="module")
def scene(tmp_path_factory, astronaut):
    """72 frames, a face in 12 of them, a keyframe every twelve, and sound."""
    ramp = np.linspace(0, 255, 320, dtype=np.uint8)
    empty = np.repeat(ramp[None, :, None], 240, 0).repeat(3, 2)
    frames = [moving_portrait(astronaut, i) if i in FACES else np.roll(empty, 5 * i, axis=1) for i in range(FRAMES)]
    return write_clip(tmp_path_factory.mktemp("scene") / "scene.mp4", frames, tone_s=FRAMES / 25)


def swap(vidswap, scene, grace, output, *more):
    code, out, err = vidswap("swap", "-s", grace, "-t", scene, "-o", output, "--json", *more)
    assert code == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_stretches_without_a_face_are_copied(vidswap, scene, grace, tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    report = swap(vidswap, scene, grace, output, "-j", 0)
    assert (report["frames"], report["frames_with_faces"], report["not_copied"]) == (FRAMES, 12, None)
    assert (report["copied"], report["frames_copied"]) == ([[0, 36], [48, 72]], 60)
    (before, times), (after, times_after) = decoded(scene), decoded(output)
    moved = {round(float(a - b), 3) for a, b in zip(times_after, times, strict=True)}
    assert len(moved) == 1
    same = [i for i in range(FRAMES) if np.array_equal(before[i], after[i])]
    assert same == [i for i in range(FRAMES) if i not in FACES]
    assert len(set(packets(scene, "video")) & set(packets(output, "video"))) == 60
    assert packets(scene, "audio") == packets(output, "audio")


def test_it_can_be_turned_off(vidswap, scene, grace, tmp_path):
    report = swap(vidswap, scene, grace, tmp_path / "out.mp4", "--no-smart-copy", "-j", 0)
    assert (report["frames_copied"], report["not_copied"]) == (0, "smart copy is turned off")
    assert not set(packets(scene, "video")) & set(packets(tmp_path / "out.mp4", "video"))


def test_what_changes_every_frame_leaves_nothing_to_copy(vidswap, scene, grace, tmp_path):
    report = swap(vidswap, scene, grace, tmp_path / "out.mp4", "--disclose", "AI-altered", "-j", 0)
    assert (report["frames_copied"], report["not_copied"]) == (0, "the pipeline may change every frame")


def test_segments_and_workers_copy_alike_and_resume(vidswap, scene, grace, tmp_path):
    job = tmp_path / "job"
    report = swap(vidswap, scene, grace, tmp_path / "out.mp4", "--segment-frames", 24, "-j", 2, "--job", job)
    # Groups of pictures that a cut between segments goes through are encoded anew.
    assert report["copied"][0] == [0, 22]
    assert report["frames_copied"] > 24
    for segment in job.glob("000001.nut"):
        segment.unlink()
    (tmp_path / "out.mp4").unlink()
    again = swap(vidswap, scene, grace, tmp_path / "out.mp4", "--segment-frames", 24, "-j", 0, "--job", job)
    assert (again["segments_resumed"], again["copied"]) == (2, report["copied"])
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES
