"""The face parser and its resizing."""

import pytest
import torch
from golden_nets import filled, keys_and_shapes, largest_gap, manifest_of, shapes_of, tensors_of

from vidswap.graph.errors import InputError
from vidswap.nets import bisenet
from vidswap.nets.layers import assembled, seeded


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def test_logits_have_the_size_of_the_image():
    net = seeded(lambda: bisenet.BiSeNet(bisenet.Config(5)), 1)
    assert net(torch.randn(2, 3, 64, 96)).shape == (2, 5, 64, 96)
    assert bisenet.config_of(net.state_dict()) == bisenet.Config(5)


def test_what_is_no_parser_is_refused_by_name():
    with pytest.raises(InputError, match=r"cp\.resnet\.conv1\.weight is missing"):
        bisenet.config_of({})


def test_reduction_keeps_a_constant_and_halves():
    images = torch.full((1, 3, 32, 48), 0.7)
    assert largest_gap(bisenet.reduced(images), torch.full((1, 3, 16, 24), 0.7)) < 1e-6


# Published values.


def close(ours, theirs):
    assert largest_gap(ours, theirs) <= 1e-4 * float(theirs.abs().max())


def test_the_parser_gives_the_published_labels(shared):
    folder = shared / "fixtures/e4s"
    manifest, golden = (
        manifest_of(folder / "manifest_bisenet.json"),
        tensors_of(folder / "golden_parser_filled.safetensors"),
    )
    state = filled(manifest, lambda name: torch.zeros([], dtype=torch.int64))
    with torch.device("meta"):
        assert keys_and_shapes(bisenet.BiSeNet().state_dict()) == keys_and_shapes(shapes_of(manifest))
    net = assembled(lambda: bisenet.BiSeNet(bisenet.config_of(state)), state)

    image = golden["bisenet.in.image_u8_512"].repeat_interleave(2, 2).repeat_interleave(2, 3) / 255
    x = bisenet.normalised_faces(bisenet.reduced(image).clamp(0, 1))
    close(x[:, :, ::4, ::4], golden["bisenet.preprocessed_stride4"])
    _, middle, coarse = net.cp.resnet(x)
    close(middle[:, :, ::2, ::2], golden["bisenet.feat16_stride2"])
    close(coarse, golden["bisenet.feat32"])
    close(net.logits(x), golden["bisenet.logits_1_8"])
    logits, aux16, aux32 = net.with_auxiliary(x)
    close(logits[:, :, ::4, ::4], golden["bisenet.logits_stride4"])
    close(aux16[:, :, ::8, ::8], golden["bisenet.logits_aux16_stride8"])
    close(aux32[:, :, ::8, ::8], golden["bisenet.logits_aux32_stride8"])
    assert torch.equal(net(x), logits)
    agree = (logits.argmax(dim=1) == golden["bisenet.argmax_u8"]).float().mean()
    assert agree >= 0.999


@pytest.mark.parametrize("factor", [2, 4])
def test_the_reduction_is_the_published_one(shared, factor):
    golden = tensors_of(shared / "fixtures/e4s/golden_parser_filled.safetensors", f"bicubic{factor}.")
    assert largest_gap(bisenet.bicubic_taps(factor), golden["kernel"]) < 1e-6
    assert largest_gap(bisenet.reduced(golden["in"], factor), golden["out"]) < 1e-5
