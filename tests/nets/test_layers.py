"""Building a network that a file's tensors will fill takes no time of its own."""

import subprocess
import sys

_BUILD = """
import sys
import torch
from vidswap.nets import bisenet, facevid2vid, gpen, rgi, rrdbnet, stylegan2
with torch.device("meta"):
    bisenet.BiSeNet()
    facevid2vid.FaceVid2Vid(facevid2vid.Config())
    gpen.GPEN(gpen.Config())
    rgi.RGI(rgi.Config(stylegan2.Config.of_size(1024)))
    rrdbnet.RRDBNet(rrdbnet.Config())
print("torch._dynamo" in sys.modules)
"""


def test_networks_are_built_without_torchs_compiler():
    """Importing it takes seconds, in every worker."""
    made = subprocess.run([sys.executable, "-c", _BUILD], capture_output=True, text=True, check=True)
    assert made.stdout.split() == ["False"]
