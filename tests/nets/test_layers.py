"""Building a network that a file's tensors will fill takes no time of its own."""

import subprocess
import sys

_BUILD = """
import sys
import torch
from vidswap.nets import bisenet, discriminator, encoders, facevid2vid, gpen, ir_se50, landmark_mapper, latent_critic
from vidswap.nets import lpips, rgi, rrdbnet, stylegan2, stylegan3, stylemask
made = {
    "BiSeNet": bisenet.BiSeNet,
    "StyleGAN2's discriminator": lambda: discriminator.Discriminator(discriminator.Config((16, 16, 8))),
    "e4e": lambda: encoders.Encoder4Editing(encoders.Config("pyramid", 18)),
    "pSp": lambda: encoders.GradualStyleEncoder(encoders.Config("pyramid", 18)),
    "pSp on W": lambda: encoders.WEncoder(encoders.Config("w", 18)),
    "ReStyle with e4e": lambda: encoders.ProgressiveEncoder(encoders.Config("backbone", 18)),
    "ReStyle with pSp": lambda: encoders.BackboneEncoder(encoders.Config("backbone", 18)),
    "Face-vid2vid": lambda: facevid2vid.FaceVid2Vid(facevid2vid.Config()),
    "GPEN": lambda: gpen.GPEN(gpen.Config()),
    "ArcFace": lambda: ir_se50.ArcFace(ir_se50.Config()),
    "landmark mapper": lambda: landmark_mapper.LandmarkMapper(landmark_mapper.Config()),
    "critic of codes": latent_critic.LatentCritic,
    "LPIPS": lambda: lpips.LPIPS(lpips.Config()),
    "RGI": lambda: rgi.RGI(rgi.Config(stylegan2.Config.of_size(1024))),
    "RealESRNet": lambda: rrdbnet.RRDBNet(rrdbnet.Config()),
    "StyleGAN3": lambda: stylegan3.Generator(stylegan3.Config.of_size(1024)),
    "StyleMask": lambda: stylemask.MaskNetworks(stylemask.Config((512, 256))),
}
for name, make in made.items():
    with torch.device("meta"):
        make()
    if {"torch._dynamo", "sympy"} & {*sys.modules}:
        sys.exit(name)
"""


def test_networks_are_built_without_torchs_compiler():
    """Importing it, or sympy, takes seconds, in every worker."""
    made = subprocess.run([sys.executable, "-c", _BUILD], capture_output=True, text=True, check=False)
    assert (made.returncode, made.stderr) == (0, "")
