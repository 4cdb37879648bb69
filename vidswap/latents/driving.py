"""The networks that drive a portrait, from the store of weights, a file, or random ones."""

from __future__ import annotations

import torch

from vidswap.graph.errors import InputError
from vidswap.latents import spaces
from vidswap.latents.generators import load_generator, random_weights
from vidswap.latents.masking import Space, StyleMixer
from vidswap.nets import landmark_mapper, stylegan2, stylemask
from vidswap.nets.layers import assembled, seeded
from vidswap.weights import load
from vidswap.weights.store import card_of

LANDMARK_MAPPER = "landmark-mapper"
"""The name under which a mapper of one's own is looked for."""
_NARROW = landmark_mapper.Config((4, 8, 8, 16, 16), 145, 32)


def load_masks(
    weights: str, generator: str, space: Space = "style"
) -> tuple[StyleMixer, torch.Tensor, tuple[str, ...]]:
    """Mask networks with the affine maps of the StyleGAN2 that they control; the mean code; warnings for the user.

    weights, generator: names of the store, files, or `random`, `random:1024` and so on. Raises InputError, one line.
    """
    loaded = load_generator(generator, "stylegan2")
    net = loaded.net
    assert isinstance(net, stylegan2.Generator)
    wanted = random_weights(weights)
    if wanted is not None:
        config = stylemask.Config.of(net.config)
        if space == "wplus":
            config = stylemask.Config((net.config.w_dim,) * len(config.widths))
        masks = seeded(lambda: stylemask.MaskNetworks(config), wanted.seed)
        warnings = tuple(dict.fromkeys((*loaded.warnings, wanted.warning)))
    else:
        state = load(weights, needs={"": {"network": "stylemask"}}).part("")
        state = {name: tensor.float() for name, tensor in state.items()}
        masks = assembled(lambda: stylemask.MaskNetworks(stylemask.config_of(state)), state)
        warnings = loaded.warnings
    try:
        mixer = StyleMixer(net.synthesis, masks, space)
    except InputError as error:
        raise InputError(f"{weights}: {error}") from None
    return mixer, spaces.mean_latent(net), warnings


def load_mapper(weights: str, size: int | None = None) -> tuple[landmark_mapper.LandmarkMapper, tuple[str, ...]]:
    """The landmark mapper; warnings for the user. Raises InputError, one line.

    weights: a name of the store, a file, or `random`, which gives rows of StyleGAN3's W+; from `random:256` on it is as
    large as the published one. size: px a side of its pictures, where it is not told rightly by the weights.
    """
    wanted = random_weights(weights)
    if wanted is not None:
        config = landmark_mapper.Config() if wanted.resolution >= 256 else _NARROW
        return seeded(lambda: landmark_mapper.LandmarkMapper(config), wanted.seed), (wanted.warning,)
    if weights == LANDMARK_MAPPER and card_of(weights) is None:
        raise InputError(
            "no landmark mapper is installed, and nobody publishes one: make one with `vidswap train landmark-mapper`, "
            f"then vidswap weights add {LANDMARK_MAPPER} FILE, or set this stage's weights to the file"
        )
    state = load(weights, needs={"": {"network": "landmark-mapper"}}).part("")
    state = {name: t.float() if t.is_floating_point() else t for name, t in state.items()}
    try:
        config = landmark_mapper.config_of(state, size=size)
    except InputError as error:
        raise InputError(f"{weights}: {error}") from None
    return assembled(lambda: landmark_mapper.LandmarkMapper(config), state), ()
