"""`--report` and `--trace` of the command, on real frames."""

import base64
import io
import json
import re

import numpy as np
from PIL import Image


def test_the_page_shows_frames_before_and_after(vidswap, clip, grace, tmp_path):
    page, trace = tmp_path / "run.html", tmp_path / "run.json"
    given = ("-s", grace, "-t", clip, "-o", tmp_path / "o.mp4", "-j", 1, "--end", "12f")
    assert vidswap("swap", *given, "--report", page, "--trace", trace)[0] == 0
    text = page.read_text()
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)" alt="frame (\d+) (before|after)"', text)
    assert [when for _, _, when in pictures] == ["before", "after"] * 6
    before, after = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int) for data, _, _ in pictures[:2]
    )
    different = np.abs(before - after).max(-1) > 24
    # The face changes, the edge of the picture does not.
    assert different.any() and not different[:2].any() and not different[:, :2].any()
    stages = {e["name"] for e in json.loads(trace.read_text())["traceEvents"] if e.get("cat") == "run"}
    assert {"decode", "detect", "track", "generate", "blend", "encode"} <= stages
