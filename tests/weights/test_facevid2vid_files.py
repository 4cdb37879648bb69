"""The released file of FaceVid2Vid has three tables side by side: all go through the store to the networks."""

import torch

from vidswap.nets import facevid2vid
from vidswap.nets import facevid2vid_generator as rendering
from vidswap.nets.layers import seeded
from vidswap.weights import load, store

TINY = facevid2vid.Config(
    rendering.Config(3, (4, 4), 4, 2, 4, 2, 4, 2, 8), base=4, levels=2, most=8, pose_base=4, pose_units=(1, 1, 1, 1)
)


def unfolded(state):
    """A part's tensors with spectral norms, as files have them; those of the norms are random."""
    made = {}
    for name, value in state.items():
        if name.startswith("decoder.") and "conv_img" not in name and ".conv_" in name and name.endswith("weight"):
            u, v = torch.randn(value.shape[0]), torch.randn(value[0].numel())
            sigma = u @ value.flatten(1) @ v
            made |= {f"{name}_orig": value * sigma, f"{name}_u": u, f"{name}_v": v / sigma}
        else:
            made[name] = value
    return made


def test_the_released_form_goes_through_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "kept"))
    net = seeded(lambda: facevid2vid.FaceVid2Vid(TINY), 4)
    state = net.state_dict()
    table = {
        part: unfolded({n.removeprefix(f"{part}."): t.clone() for n, t in state.items() if n.startswith(f"{part}.")})
        for part in facevid2vid.PARTS
    }
    table["discriminator"] = {"conv.weight": torch.zeros(3)}
    table["optimizer_generator"] = {
        "state": {0: {"step": 4, "exp_avg": torch.zeros(2)}},
        "param_groups": [{"lr": 1e-4}],
    }
    torch.save(table | {"epoch": 189}, tmp_path / "00000189-checkpoint.pth.tar", _use_new_zipfile_serialization=False)
    store.add("own", tmp_path / "00000189-checkpoint.pth.tar")
    checkpoint = load("own", needs={"generator": {"network": "facevid2vid-generator"}})
    made = facevid2vid.network_of({part: checkpoint.part(part) for part in facevid2vid.PARTS})
    assert made.config == TINY
    with torch.no_grad():
        portrait, frames = torch.rand(1, 3, 64, 64), torch.rand(2, 3, 64, 64)
        images = made.animate(made.source(portrait), made.motion(frames))
        assert torch.allclose(images, net.animate(net.source(portrait), net.motion(frames)), atol=1e-5)
