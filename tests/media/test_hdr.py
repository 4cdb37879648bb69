"""HDR10 metadata go from the decoder's frames into encoders and containers, and come out again."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import pytest

from vidswap.media import SegmentWriter, WriterOptions, codecs, join, probe, read
from vidswap.media.hdr import Hdr, encoder_settings, hdr_of

DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


@pytest.fixture(scope="module")
def hdr10(tmp_path_factory, make_clip):
    own = f"log-level=none:hdr10=1:repeat-headers=1:master-display={DISPLAY}:max-cll=1000,400"
    return make_clip(
        tmp_path_factory.mktemp("hdr") / "in.mp4",
        6,
        codec="libx265",
        pixel_format="yuv420p10le",
        tags=(1, 9, 16, 9),
        options={"preset": "ultrafast", "x265-params": own, "chroma_sample_location": "topleft"},
        sound="aac",
    )


def test_metadata_of_the_display_and_the_content_are_read(hdr10):
    hdr = probe(hdr10).hdr
    assert hdr.mastering.red == (Fraction(34000, 50000), Fraction(16000, 50000))
    assert hdr.mastering.white == (Fraction(15635, 50000), Fraction(16450, 50000))
    assert (hdr.mastering.darkest, hdr.mastering.brightest) == (Fraction(5, 1000), 1000)
    assert (hdr.light, hdr.dynamic) == ((1000, 400), ())
    assert hdr.summary()["luminance"] == "0.005..1000 cd/m2"


@pytest.mark.parametrize(
    ("codec", "extension"),
    [
        ("libx265", ".mp4"),
        ("libx265", ".mkv"),
        ("libx264", ".mov"),
        ("libx264", ".mkv"),
        ("libsvtav1", ".mp4"),
        ("libsvtav1", ".webm"),
        ("prores_ks", ".mov"),
        ("ffv1", ".mkv"),
    ],
)
def test_hdr10_comes_through(hdr10, tmp_path, ffmpeg, codec, extension):
    if codec not in codecs.available_encoders():
        pytest.skip(f"no {codec} in this build of FFmpeg")
    index = probe(hdr10)
    preset = {"prores_ks": None, "ffv1": None, "libsvtav1": "12"}.get(codec, "ultrafast")
    options = WriterOptions(codec=codec, preset=preset)
    segments = []
    for start, stop in ((0, 3), (3, 6)):
        segments.append(tmp_path / f"{start}{codecs.encoder(codec).segment_extension}")
        writer = SegmentWriter(segments[-1], index, options)
        for picture in read(index, start, stop):
            writer.add(picture)
        writer.close()
    output = tmp_path / f"out{extension}"
    join(index, segments, output)
    result = probe(output)
    assert result.hdr.light == (1000, 400)
    found, wanted = result.hdr.mastering, index.hdr.mastering
    # AV1 has fewer binary digits for them.
    for one, other in zip((*found.red, *found.white), (*wanted.red, *wanted.white), strict=True):
        assert float(one) == pytest.approx(float(other), abs=2e-5)
    assert float(found.darkest) == pytest.approx(0.005, rel=0.02)
    assert result.colour.names()["transfer"] == "smpte2084"
    assert (result.pts * result.time_base == index.pts * index.time_base).all()
    if codec != "prores_ks":
        assert result.colour.chroma_location == "topleft"
    assert ffmpeg("-i", output, "-f", "null", "-") == ""
    if (codec, extension) == ("libx265", ".mp4"):
        with av.open(str(output)) as container:
            assert container.streams.video[0].codec_context.codec_tag == "hvc1"


def test_encoders_are_told_in_their_own_words(hdr10):
    hdr = probe(hdr10).hdr
    assert encoder_settings("libx265", hdr) == {"master-display": DISPLAY, "max-cll": "1000,400"}
    assert encoder_settings("libx264", hdr) == {"mastering-display": DISPLAY, "cll": "1000,400"}
    assert encoder_settings("libsvtav1", hdr)["mastering-display"].startswith("G(0.26500,0.69000)B(0.15000,")
    assert encoder_settings("ffv1", hdr) == {}
    assert encoder_settings("libx265", Hdr()) == {}


def test_metadata_that_change_from_frame_to_frame_are_told():
    described = "side data - Dolby Vision RPU Data: ...\nside data - HDR Dynamic Metadata SMPTE2094-40 (HDR10+): ..."
    hdr = hdr_of({}, described)
    assert hdr.dynamic == ("Dolby Vision", "HDR10+")
    (told,) = hdr.warnings()
    assert told.startswith("Dolby Vision and HDR10+ metadata change from frame to frame")


def test_half_told_or_broken_metadata_count_as_none():
    whole = struct.pack("=22i", *[1, 2] * 10, 1, 1)
    assert hdr_of({"MASTERING_DISPLAY_METADATA": whole}, "").mastering is not None
    for broken in (whole[:40], struct.pack("=22i", *[1, 2] * 10, 1, 0), struct.pack("=22i", *[1, 0] * 10, 1, 1)):
        assert hdr_of({"MASTERING_DISPLAY_METADATA": broken}, "") == Hdr()
    assert hdr_of({"CONTENT_LIGHT_LEVEL": struct.pack("=2I", 0, 0)}, "") == Hdr()
