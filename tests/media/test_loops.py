"""How often an animation is played, read from its bytes."""

from __future__ import annotations

import pytest
from PIL import Image

from vidswap.media.loops import GifFacts, gif_facts, gif_head_bytes, loop_count


@pytest.fixture
def animation(tmp_path):
    """Write three pictures as one animation."""

    def make(name, **options):
        frames = [Image.new("RGBA", (8, 6), (80 * i, 40, 20, 255)) for i in range(3)]
        path = tmp_path / name
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=80, **options)
        return path

    return make


@pytest.mark.parametrize(("options", "loops"), [({}, 1), ({"loop": 0}, 0), ({"loop": 4}, 5)])
def test_a_gif_without_the_extension_is_played_once_and_with_it_once_more_than_repeated(animation, options, loops):
    path = animation("a.gif", **options)
    assert loop_count(path) == loops
    assert gif_facts(path) == GifFacts(loops, clears=False)


@pytest.mark.parametrize("loops", [0, 1, 7])
@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_apng_and_webp_say_how_often(animation, name, loops):
    assert loop_count(animation(name, loop=loops)) == loops


def test_a_frame_that_is_wiped_to_transparency_is_told(animation):
    assert gif_facts(animation("a.gif", disposal=2)).clears
    assert not gif_facts(animation("b.gif", disposal=1)).clears


def test_what_is_no_animation_has_no_count(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "still.png")
    (tmp_path / "text.gif").write_text("no picture")
    for name in ("still.png", "text.gif", "none.gif", "."):
        assert loop_count(tmp_path / name) is None


def test_a_gif_that_is_cut_off_anywhere_is_read_as_far_as_it_goes(animation, tmp_path):
    whole = animation("a.gif", loop=2).read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut.gif").write_bytes(whole[:length])
        assert gif_facts(tmp_path / "cut.gif").loops in (1, 3)


def test_the_head_ends_before_the_first_frame(animation):
    for options in ({}, {"loop": 3}):
        content = animation("a.gif", **options).read_bytes()
        assert content[gif_head_bytes(content)] in b"!,"
        assert (b"NETSCAPE" in content[: gif_head_bytes(content)]) == bool(options)
