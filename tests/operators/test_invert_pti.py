"""invert.pti: pictures with generators of their own, kept by content, and refused for videos."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from learned_files import FRAME, WITHIN, generator_file
from vidswap.operators.generate_stylegan import GenerateStyleGAN2
from vidswap.operators.invert_pti import InvertPTI

from vidswap.graph import Batch, InputError, object_column
from vidswap.graph.operator import Setting
from vidswap.latents import spaces
from vidswap.latents.generators import load_generator
from vidswap.training.tuning import TuningTask

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _small(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("VIDSWAP_INVERSIONS", str(tmp_path / "inversions"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(generator_file(tmp_path_factory.mktemp("weights") / "generator.safetensors"))


@pytest.fixture(scope="module")
def faces(weights):
    """Two codes and crops of 32 px that are not what the generator makes of them."""
    net = load_generator(weights).net
    with torch.no_grad():
        wplus = spaces.broadcast(net, net.mapping(spaces.seeded_z([5, 6], 512)))
        images = spaces.to_uint8(net.synthesis(wplus.flip(0))).numpy()
    return Batch(
        frame=np.arange(2),
        picture=object_column([FRAME, FRAME]),
        matrix=np.repeat(WITHIN[None], 2, 0),
        wplus=wplus.numpy(),
        crop=object_column(images),
    )


def started(kind, weights, video=None, **options):
    made = kind(kind.Options(weights=weights, device="cpu", **options))
    made.ready("cpu", {})
    made.setup(Setting(video=video))
    return made


def test_every_picture_gets_a_generator_that_gives_it(weights, faces, tmp_path, monkeypatch):
    quick = {"steps": 40, "lr": 3e-3, "locality": 0}
    operator = started(InvertPTI, weights, **quick)
    assert any("without the loss lpips" in line for line in operator.take_warnings())
    made = operator(faces)
    assert made["tuned"].dtype == np.dtype("<U64")
    assert len(set(made["tuned"])) == 2
    assert np.array_equal(made["wplus"], faces["wplus"])
    assert sorted(p.suffix for p in (tmp_path / "inversions").iterdir()) == [".json"] * 2 + [".safetensors"] * 2

    wanted = np.stack(list(faces["crop"])).astype(float)
    painter = started(GenerateStyleGAN2, weights)
    tuned, plain = (np.stack(list(painter(b)["image"])).astype(float) for b in (made, faces))
    for i in range(2):
        assert np.abs(tuned[i] - wanted[i]).mean() < 0.6 * np.abs(plain[i] - wanted[i]).mean()

    monkeypatch.setattr(TuningTask, "turns", lambda *_: pytest.fail("tuned again"))
    again = started(InvertPTI, weights, **quick)(faces.take(slice(1, 2)))
    assert again["tuned"][0] == made["tuned"][1]


def test_videos_and_codes_of_others_are_refused(weights):
    with pytest.raises(InputError, match="for a video run vidswap tune"):
        started(InvertPTI, weights, video=SimpleNamespace(frame_count=30))
    started(InvertPTI, weights, video=SimpleNamespace(frame_count=1))
    operator = InvertPTI(InvertPTI.Options(weights=weights))
    with pytest.raises(InputError, match="codes of 18 rows of 512 do not fit"):
        operator.ready("cpu", {"wplus": (18, 512)})
    with pytest.raises(ValueError, match="no loss 'identity'; write auto"):
        InvertPTI.Options(losses="mse,identity")
    with pytest.raises(ValueError, match="tuning runs in fp32"):
        InvertPTI.Options(precision="fp16")
    with pytest.raises(InputError, match="loss lpips: the weights lpips-alex are not installed"):
        InvertPTI(InvertPTI.Options(weights=weights, losses="lpips")).ready("cpu", {})
