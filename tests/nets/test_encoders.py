"""Encoders and the face embedder: shapes, heads left out, and the published values."""

import numpy as np
import pytest
import torch
from golden_nets import filled, keys_and_shapes, largest_gap, manifest_of, shapes_of, tensors_of

from vidswap.graph.errors import InputError
from vidswap.nets import encoders, ir_se50, latent_critic, resnet
from vidswap.nets.layers import FullyConnected, assembled, seeded

FAMILIES = {
    "psp_gradual_style_encoder": (encoders.GradualStyleEncoder, encoders.Config()),
    "e4e_encoder4editing": (encoders.Encoder4Editing, encoders.Config()),
    "restyle_backbone_encoder": (encoders.BackboneEncoder, encoders.Config("backbone", 18, 6)),
    "restyle3_progressive_encoder": (encoders.ProgressiveEncoder, encoders.Config("backbone", 16, 6)),
    "restyle_resnet34_encoder": (resnet.ResNetEncoder, encoders.Config("resnet", 18, 6)),
    "psp_backbone_into_w": (encoders.WEncoder, encoders.Config("w", 1, 3)),
    "psp_backbone_into_wplus": (encoders.WPlusEncoder, encoders.Config("wplus", 18, 3)),
}


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def kept(name):
    return torch.zeros([], dtype=torch.int64)  # num_batches_tracked


def on_meta(make):
    with torch.device("meta"):
        return make()


@pytest.mark.parametrize("name", FAMILIES)
def test_the_shape_is_found_from_the_keys(name):
    net, config = FAMILIES[name]
    assert encoders.config_of(on_meta(lambda: net(config)).state_dict()) == config


def test_what_is_no_encoder_is_refused_by_name():
    with pytest.raises(InputError, match=r"input_layer\.0\.weight"):
        encoders.config_of({})
    face = on_meta(ir_se50.ArcFace).state_dict()
    with pytest.raises(InputError, match=r"styles\.0\.linear\.weight"):
        encoders.config_of(face)
    assert ir_se50.config_of(face) == ir_se50.Config()
    with pytest.raises(InputError, match=r"output_layer\.4\.weight is missing"):
        ir_se50.config_of({name: value for name, value in face.items() if name != "output_layer.4.weight"})
    with pytest.raises(InputError, match="takes a configuration of family pyramid"):
        encoders.Encoder4Editing(encoders.Config("backbone"))


def test_rows_that_are_not_asked_for_cost_nothing_and_change_nothing():
    config = encoders.Config("backbone", 3)
    net = seeded(lambda: encoders.ProgressiveEncoder(config), 1)
    x = torch.randn(1, 3, 256, 256)
    whole = net(x)
    assert torch.equal(net(x, rows=2), whole[:, :2])
    early = net(x, stage=1)
    assert torch.equal(early[:, :2], whole[:, :2]) and torch.equal(early[:, 2], whole[:, 0])


def test_the_embedder_gives_unit_vectors_of_the_identity_crop():
    net = seeded(ir_se50.ArcFace, 1)
    crop = ir_se50.identity_crop(torch.randn(2, 3, 512, 512))
    assert crop.shape == (2, 3, 112, 112)
    assert largest_gap(net(crop).norm(dim=1), torch.ones(2)) < 1e-5


# Published values.


@pytest.mark.parametrize("name", FAMILIES)
def test_full_size_keys_are_the_published_ones(shared, name):
    net, config = FAMILIES[name]
    theirs = shapes_of(manifest_of(shared / f"fixtures/encoders/manifest_{name}.json"))
    assert encoders.config_of(theirs) == config
    assert keys_and_shapes(on_meta(lambda: net(config)).state_dict()) == keys_and_shapes(theirs)


@pytest.mark.parametrize("folder", ["encoders/manifest_arcface_ir_se50", "stylemask/manifest_ir_se50"])
def test_the_keys_of_the_embedder_are_the_published_ones(shared, folder):
    theirs = shapes_of(manifest_of(shared / f"fixtures/{folder}.json"))
    assert keys_and_shapes(on_meta(ir_se50.ArcFace).state_dict()) == keys_and_shapes(theirs)


def test_small_blocks_give_the_published_values(shared):
    path = shared / "fixtures/encoders/blocks.safetensors"
    golden = tensors_of(path)
    makers = {
        "ir_se.32_32_s1": lambda: ir_se50.Unit(32, 32, 1),
        "ir_se.32_32_s2": lambda: ir_se50.Unit(32, 32, 2),
        "ir_se.32_48_s2": lambda: ir_se50.Unit(32, 48, 2),
        "ir.32_48_s2": lambda: ir_se50.Unit(32, 48, 2, excite=False),
        "style_block.16": lambda: encoders.StyleHead(16, 20, 24),
        "style_block.32": lambda: encoders.StyleHead(32, 20, 24),
        "style_block.64": lambda: encoders.StyleHead(64, 20, 24),
        "equal_linear.lr1": lambda: FullyConnected(20, 12),
    }
    for tag, make in makers.items():
        net = assembled(make, tensors_of(path, f"{tag}.w."))
        assert largest_gap(net(golden[f"{tag}.in"]), golden[f"{tag}.out"]) <= 2e-5, tag
    net = assembled(lambda: ir_se50.SqueezeExcitation(48), tensors_of(path, "se.48_r16.w."))
    assert largest_gap(net(golden["se.48_r16.in"]), golden["se.48_r16.out"]) <= 2e-5
    added = encoders.upsampled_sum(golden["upsample_add.top"], golden["upsample_add.lateral"])
    assert largest_gap(added, golden["upsample_add.out"]) <= 2e-5
    net = assembled(
        lambda: FullyConnected(20, 12, lr=0.01, activate=True), tensors_of(path, "equal_linear.lr001_lrelu.w.")
    )
    assert largest_gap(net(golden["equal_linear.lr001_lrelu.in"]), golden["equal_linear.lr001_lrelu.out"]) <= 2e-5


@pytest.fixture(scope="module")
def known():
    """Weights that the encoders have in common: nearly all are pSp's."""
    return {}


@pytest.fixture
def model(shared, known):
    """Makes the full-size network of a manifest, with its synthetic weights."""

    def made(name, net, config):
        manifest = manifest_of(shared / f"fixtures/encoders/manifest_{name}.json")
        return assembled(lambda: net(config) if config else net(), filled(manifest, kept, known))

    return made


def test_psp_and_e4e_give_the_published_codes(shared, model):
    folder = shared / "fixtures/encoders"
    psp, e4e = tensors_of(folder / "psp_filled.safetensors"), tensors_of(folder / "e4e_filled.safetensors")
    net = model("psp_gradual_style_encoder", *FAMILIES["psp_gradual_style_encoder"])
    seen = {}
    for i in (2, 6, 20, 23):
        net.body[i].register_forward_hook(lambda unit, given, made, i=i: seen.update({i: made.mean(dim=(2, 3))}))
    assert largest_gap(net(psp["in.x"]), psp["out.psp_gradual"]) <= 2e-5
    assert sorted(seen) == [2, 6, 20, 23]
    for i, found in seen.items():
        mean = psp[f"tap.body{i}.mean_hw"]
        assert largest_gap(found, mean) <= 2e-5 * max(1, float(mean.abs().max())), i
    # e4e has the same keys, hence the same synthetic weights.
    net = assembled(lambda: encoders.Encoder4Editing(encoders.Config()), net.state_dict())
    heads = net.rows(e4e["in.x"], 18)
    net.rows = lambda x, count: heads[:count]
    for stage in (0, 1, 2, 3, 5, 7, 12, 18):
        assert largest_gap(net(e4e["in.x"], stage=stage), e4e[f"out.e4e.stage{stage}"]) <= 2e-5
    assert largest_gap(net(e4e["in.x"]), e4e["out.e4e.stage18"]) <= 2e-5


def test_the_embedder_and_plain_heads_give_the_published_codes(shared, model):
    golden = tensors_of(shared / "fixtures/encoders/psp_filled.safetensors")
    net = model("arcface_ir_se50", ir_se50.ArcFace, None)
    assert largest_gap(ir_se50.identity_crop(golden["in.x"]), golden["in.x112"]) <= 1e-6
    assert largest_gap(net(golden["in.x112"]), golden["out.arcface"]) <= 2e-5
    for name in ("w", "wplus"):
        net = model(f"psp_backbone_into_{name}", *FAMILIES[f"psp_backbone_into_{name}"])
        assert largest_gap(net(golden["in.x"]), golden[f"out.psp_into_{name}"]) <= 2e-5


def test_the_encoder_and_embedder_of_stylemask_give_the_published_codes(shared, known):
    folder = shared / "fixtures/stylemask"
    golden = tensors_of(folder / "ir_se50_e4e_filled.safetensors")

    def seen(seed, shape):
        return torch.from_numpy(np.random.RandomState(seed).random_sample(shape) * 2 - 1).float()

    net = assembled(ir_se50.ArcFace, filled(manifest_of(folder / "manifest_ir_se50.json"), kept, known))
    assert largest_gap(net(seen(51, (2, 3, 112, 112))), golden["ir_se50.out.embedding"]) <= 1e-4
    manifest = manifest_of(folder / "manifest_e4e_encoder_1024.json")
    bare = {name.removeprefix("encoder."): told for name, told in manifest.items()}
    net = assembled(lambda: encoders.Encoder4Editing(encoders.Config()), filled(bare, kept))
    assert largest_gap(net(seen(52, (1, 3, 256, 256))), golden["e4e.out.codes"]) <= 1e-4


def test_restyle_gives_the_published_residuals(shared, model):
    folder = shared / "fixtures/encoders"
    golden = tensors_of(folder / "restyle_filled.safetensors")
    net = model("restyle_backbone_encoder", *FAMILIES["restyle_backbone_encoder"])
    assert largest_gap(net(golden["in.x6"]), golden["out.restyle_psp"]) <= 2e-5
    net = assembled(lambda: encoders.ProgressiveEncoder(encoders.Config("backbone", 18, 6)), net.state_dict())
    assert largest_gap(net(golden["in.x6"], stage=4), golden["out.restyle_e4e.stage4"]) <= 2e-5
    assert largest_gap(net(golden["in.x6"]), golden["out.restyle_e4e.stage18"]) <= 2e-5


def test_restyle_for_stylegan3_gives_the_published_residuals(shared, model):
    golden = tensors_of(shared / "fixtures/encoders/restyle3_filled.safetensors")
    net = model("restyle3_progressive_encoder", *FAMILIES["restyle3_progressive_encoder"])
    assert largest_gap(net(golden["in.x6"]), golden["out.restyle3_e4e"]) <= 2e-5


def test_restyle_on_resnet_gives_the_published_residuals(shared, model):
    golden = tensors_of(shared / "fixtures/encoders/restyle_filled.safetensors")
    net = model("restyle_resnet34_encoder", *FAMILIES["restyle_resnet34_encoder"])
    assert largest_gap(net(golden["in.x6"]), golden["out.restyle_resnet34"]) <= 2e-5
    assert largest_gap(net(golden["in.x6"], rows=2), golden["out.restyle_resnet34"][:, :2]) <= 2e-5


def test_the_critic_of_codes_gives_the_published_scores_and_losses(shared):
    folder = shared / "fixtures/encoders"
    golden = tensors_of(folder / "e4e_filled.safetensors")
    manifest = manifest_of(folder / "manifest_e4e_latent_discriminator.json")
    state = filled(manifest, kept)
    net = assembled(lambda: latent_critic.LatentCritic(latent_critic.config_of(state)), state)
    real, fake = net(golden["in.real_w"]), net(golden["in.fake_w"])
    assert largest_gap(real, golden["out.d_real"]) <= 2e-5 and largest_gap(fake, golden["out.d_fake"]) <= 2e-5
    assert abs(latent_critic.told_apart(real, fake) - golden["out.d_loss"]) <= 2e-5
    assert abs(latent_critic.judged_real(fake) - golden["out.g_adv"]) <= 2e-5
    with torch.enable_grad():
        slope = latent_critic.slope_of_real(net, golden["in.real_w"])
    assert abs(slope - golden["out.r1"]) <= 2e-5 * max(1, float(golden["out.r1"]))
    spread = latent_critic.spread_of_rows(golden["in.latent"], stage=6)
    assert abs(spread - golden["out.delta_reg.stage6"]) <= 2e-5 * max(1, float(golden["out.delta_reg.stage6"]))
    with pytest.raises(InputError, match=r"mlp\.0\.weight"):
        latent_critic.config_of({})
