"""Driving in style space: what is read of a driver, what stays the portrait's, and the published images."""

import pytest
import torch
from golden_nets import largest_gap, tensors_of

from vidswap.graph.errors import InputError
from vidswap.latents import spaces
from vidswap.latents.masking import StyleMixer
from vidswap.nets import stylegan2, stylegan2_keys, stylemask
from vidswap.nets.layers import assembled, seeded

SMALL = stylegan2.Config((8, 8, 6, 4), z_dim=8, w_dim=8, mapping_layers=2)


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def mixer(space="style", single=False, layers=3):
    generator = seeded(lambda: stylegan2.Generator(SMALL), 1)
    config = stylemask.Config.of(SMALL, layers=layers, single=single)
    if space == "wplus":
        config = stylemask.Config((8,) * layers)
    return StyleMixer(generator.synthesis, seeded(lambda: stylemask.MaskNetworks(config), 2), space)


def codes(seed, count):
    return torch.randn(count, SMALL.num_ws, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("space", "single"), [("style", False), ("style", True), ("wplus", False)])
def test_only_controlled_convolutions_change_and_only_their_rows_are_read(space, single):
    made = mixer(space, single)
    portrait, driver = made.portrait(codes(1, 1)), codes(2, 3)
    driven = made.driven(portrait, driver)
    assert made.rows == 3
    assert largest_gap(driven.controlled, made.driven(portrait, driver[:, : made.rows]).controlled) == 0
    for layer in SMALL.layers:
        same = torch.equal(driven.styles[layer.name], portrait.styles[layer.name].expand(3, -1))
        assert same == (layer.kind == "rgb" or layer.conv_index >= 3), layer.name
    image = made.synthesis.from_styles(driven.styles)
    assert image.shape == (3, 3, 32, 32)


def test_of_a_driver_the_controlled_affine_maps_run_and_nothing_is_rendered():
    made, called = mixer(), []
    for name, module in made.synthesis.named_modules():
        module.register_forward_hook(lambda *_, name=name: called.append(name))
    portrait = made.portrait(codes(1, 1))
    assert set(called) == {f"{layer.name}.affine" for layer in SMALL.layers}
    called.clear()
    made.driven(portrait, codes(2, 3))
    assert called == [f"{layer.name}.affine" for layer in made.layers]


@pytest.mark.parametrize("space", ["style", "wplus"])
def test_a_portrait_driven_by_itself_is_itself(space):
    made = mixer(space)
    portrait = made.portrait(codes(1, 1))
    driven = made.driven(portrait, codes(1, 1))
    for name, style in driven.styles.items():
        assert largest_gap(style, portrait.styles[name]) < 1e-5


def test_masks_that_do_not_fit_are_told():
    net = stylemask.MaskNetworks(stylemask.Config((8, 9)))
    with pytest.raises(InputError, match="masks of 17 values do not fit this generator of 32 px"):
        StyleMixer(stylegan2.Synthesis(SMALL), net)
    with pytest.raises(InputError, match="style or wplus, not in 'w'"):
        StyleMixer(stylegan2.Synthesis(SMALL), net, "w")


# Published values.


def test_driven_images_of_the_small_generator_are_the_published_ones(shared):
    path = shared / "fixtures/stylemask/stylemask_64.safetensors"
    golden = tensors_of(path)
    official = tensors_of(shared / "fixtures/stylegan/rosinality_sg2_64.safetensors", "g_ema.")
    state = stylegan2_keys.from_rosinality(official, golden["truncation_latent"][0])
    generator = assembled(lambda: stylegan2.Generator(stylegan2.config_of(state)), state)
    networks = tensors_of(path, "mask_net.")
    masks = assembled(lambda: stylemask.MaskNetworks(stylemask.config_of(networks)), networks)
    made = StyleMixer(generator.synthesis, masks)
    space = spaces.StyleSpace.of(generator.config, colours=False)
    mean = spaces.mean_latent(generator)

    def latents(run, name, psi):
        given = golden[f"{run}.in.{name}"]
        if given.ndim == 2:
            given = spaces.broadcast(generator, spaces.to_w(generator, given))
        return spaces.truncated(given, mean, psi)

    for run, psi in (("z_trunc0.7", 0.7), ("wplus_trunc0.7", 0.7), ("wplus_trunc1", 1.0)):
        source = latents(run, "source", psi)
        assert largest_gap(source, golden[f"{run}.latent_source"]) <= 1e-5
        portrait, driver = made.portrait(source), latents(run, "target", psi)
        assert largest_gap(space.joined(portrait.styles), golden[f"{run}.S_source"]) <= 1e-5
        alone = made.portrait(driver)
        assert largest_gap(space.joined(alone.styles), golden[f"{run}.S_target"]) <= 1e-5
        for codes, name in ((portrait, "source"), (alone, "target")):
            assert largest_gap(generator.synthesis.from_styles(codes.styles), golden[f"{run}.image_{name}"]) <= 1e-4
        assert largest_gap(made.mask(portrait, driver), golden[f"{run}.mask"]) <= 1e-5
        driven = made.driven(portrait, driver)
        assert largest_gap(space.joined(driven.styles), golden[f"{run}.S_mixed"]) <= 1e-5
        image = generator.synthesis.from_styles(driven.styles)
        assert largest_gap(image, golden[f"{run}.image_reenacted"]) <= 1e-4
        if f"{run}.in.target2" in golden:
            again = latents(run, "target2", psi)
            assert largest_gap(made.mask(driven, again), golden[f"{run}.mask_hop2"]) <= 1e-5
            second = made.driven(driven, again)
            assert largest_gap(space.joined(second.styles), golden[f"{run}.S_mixed_hop2"]) <= 1e-5
            assert largest_gap(generator.synthesis.from_styles(second.styles), golden[f"{run}.image_hop2"]) <= 1e-4
