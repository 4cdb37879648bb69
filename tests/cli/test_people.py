"""Several pictures of one person, several people, and faces that are told by a portrait."""

import json

import numpy as np
import pytest
from cli_media import decoded, moving_portrait, write_clip

from vidswap.demo import portrait


@pytest.fixture(scope="module")
def pair(tmp_path_factory, astronaut, grace_hopper):
    """Six frames with two people side by side: the astronaut to the left, the admiral to the right."""
    frames = [
        np.hstack([moving_portrait(astronaut, i), moving_portrait(grace_hopper, i, scale=0.45)]) for i in range(6)
    ]
    return write_clip(tmp_path_factory.mktemp("pair") / "pair.mp4", frames)


def changed_halves(before, after):
    """Mean change of the left and the right half of the picture."""
    change = np.mean([np.abs(a.astype(float) - b) for a, b in zip(before, after, strict=True)], axis=0)[:240]
    return change[:, :320].mean(), change[:, 320:].mean()


def swap(vidswap, pair, output, *more):
    code, out, err = vidswap("swap", "-t", pair, "-o", output, "--codec", "ffv1", "--json", "-j", 0, *more)
    assert code == 0, err
    return json.loads(out.splitlines()[-1])


def test_each_face_becomes_the_person_that_is_mapped_to_it(vidswap, pair, tmp_path):
    ada, grace = portrait("astronaut"), portrait("grace_hopper")
    report = swap(vidswap, pair, tmp_path / "both.mkv", "--map", f"left={grace}", "--map", f"right={ada}")
    assert report["faces"] == 12
    alone = swap(vidswap, pair, tmp_path / "left.mkv", "--source", grace, "--face", "left")
    assert alone["faces"] == 6
    both, left = decoded(tmp_path / "both.mkv")[0], decoded(tmp_path / "left.mkv")[0]
    assert all(np.array_equal(a[:240, :300], b[:240, :300]) for a, b in zip(both, left, strict=True))
    assert min(changed_halves(decoded(pair)[0], both)) > 0.3


def test_the_face_of_a_portrait_is_found_among_others(vidswap, pair, tmp_path):
    for name, half in (("astronaut", 0), ("grace_hopper", 1)):
        output = tmp_path / f"{name}.mkv"
        report = swap(vidswap, pair, output, "-s", portrait("astronaut"), "--face-like", portrait(name))
        halves = changed_halves(decoded(pair)[0], decoded(output)[0])
        assert (report["faces"], int(np.argmax(halves))) == (6, half)
        assert min(halves) == 0


def test_several_pictures_and_a_video_serve_as_one_person(vidswap, pair, clip, tmp_path):
    grace = portrait("grace_hopper")
    report = swap(vidswap, pair, tmp_path / "two.mkv", "-s", grace, "-s", grace, "--face", "left")
    one = swap(vidswap, pair, tmp_path / "one.mkv", "-s", grace, "--face", "left")
    assert report["faces"] == one["faces"] == 6
    same = zip(decoded(tmp_path / "two.mkv")[0], decoded(tmp_path / "one.mkv")[0], strict=True)
    assert max(np.abs(a.astype(float) - b).max() for a, b in same) <= 3
    assert swap(vidswap, pair, tmp_path / "video.mkv", "-s", clip, "--face", "right")["faces"] == 6


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--map", "left"], "--map 'left' is not FACE=PORTRAIT, such as left=ada.jpg"),
        (["--map", "left={a}", "--source", "{a}"], "--map says who becomes whom; leave out --source"),
        (["--map", "left={a}", "--face", "all"], "--face, --face-like and --map say all three which faces change"),
        (["--map", "tall={a}"], "face is 'tall'"),
        (["--map", "all={a}", "--map", "left={a}"], "'all' stands alone"),
        (["--face-like", "nobody.jpg", "--source", "{a}"], "no such file"),
        (["--source", "{a}", "--source", "missing.jpg"], "source.2: no such file: missing.jpg"),
        (["--source", "{a}", "--source", "driver={a}"], "source.2: no such file: driver="),
    ],
)
def test_what_cannot_be_meant_is_told_in_one_line(vidswap, pair, tmp_path, given, told):
    given = [g.format(a=portrait("astronaut")) for g in given]
    code, _, err = vidswap("swap", "-t", pair, "-o", tmp_path / "out.mp4", *given, "-j", 0)
    assert (code, err.count("\n")) == (2, 1), err
    assert told in err
    assert not list(tmp_path.iterdir())
