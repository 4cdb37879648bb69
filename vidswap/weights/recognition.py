"""Which network a file holds, told by names and shapes alone, and what is missing, superfluous or misshaped in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vidswap.graph.errors import InputError
from vidswap.weights import encoder_shapes as encoders
from vidswap.weights import image_shapes as images
from vidswap.weights import reenactment_shapes as reenactment
from vidswap.weights import shapes as stylegan
from vidswap.weights.shapes import Config, Shape, Shapes, under

PARTS = ("encoder", "decoder", "kp_detector", "he_estimator", "generator", "discriminator")
"""Prefixes under which checkpoints of several networks keep them."""

_NAMED_AT_MOST = 3


@dataclass(frozen=True)
class Network:
    """A network that is known here: what it is called, which names give it away, and all that it must have."""

    name: str
    title: str
    signature: tuple[str, ...]
    shapes: Callable[[Config], Shapes]
    config: Callable[[Mapping[str, Shape]], Config]
    layout: str | None = None
    ignored: tuple[str, ...] = ()
    """Prefixes of tensors that official files have besides and nobody here uses."""


NETWORKS = (
    Network(
        "e4s", "E4S (regional inversion)", ("MLPs.0.mlp.0.weight", "G.input.input"), encoders.e4s, encoders.e4s_config
    ),
    Network(
        "stylegan2",
        "StyleGAN2 generator",
        ("input.input", "conv1.conv.modulation.weight"),
        stylegan.stylegan2_rosinality,
        stylegan.stylegan2_rosinality_config,
        "rosinality",
    ),
    Network(
        "stylegan2",
        "StyleGAN2 generator",
        ("synthesis.b4.const", "synthesis.b4.conv1.affine.weight"),
        stylegan.stylegan2_nvlabs,
        stylegan.stylegan2_nvlabs_config,
        "nvlabs",
    ),
    Network(
        "stylegan3",
        "StyleGAN3 generator",
        ("synthesis.input.freqs", "synthesis.input.phases"),
        stylegan.stylegan3,
        stylegan.stylegan3_config,
        "nvlabs",
    ),
    Network(
        "gradual-encoder",
        "pSp / e4e encoder",
        ("latlayer1.weight", "styles.0.linear.weight"),
        encoders.gradual_encoder,
        encoders.rows_config,
    ),
    Network(
        "backbone-encoder",
        "ReStyle encoder",
        ("styles.0.linear.weight", "input_layer.0.weight"),
        encoders.backbone_encoder,
        encoders.rows_config,
    ),
    Network(
        "resnet-encoder",
        "ReStyle encoder on ResNet-34",
        ("styles.0.linear.weight", "body.0.bn1.weight"),
        encoders.resnet_encoder,
        encoders.resnet_encoder_config,
    ),
    Network(
        "pooled-encoder",
        "pSp encoder with a pooled head",
        ("output_layer_2.3.weight", "linear.weight"),
        encoders.pooled_encoder,
        encoders.pooled_encoder_config,
    ),
    Network(
        "ir-se50",
        "ArcFace IR-SE50",
        ("output_layer.3.weight", "input_layer.0.weight"),
        encoders.ir_se50,
        encoders.nothing,
    ),
    Network(
        "w-encoder",
        "encoder into W",
        ("linear.weight", "input_layer.0.weight"),
        encoders.w_encoder,
        encoders.w_encoder_config,
    ),
    Network(
        "stylemask",
        "StyleMask mask networks",
        ("network_00.masknet.0.weight",),
        encoders.stylemask,
        encoders.stylemask_config,
    ),
    Network(
        "landmark-mapper",
        "landmark mapper",
        ("landmark_encoder.landmark_encoder.0.weight",),
        encoders.landmark_mapper,
        encoders.landmark_mapper_config,
    ),
    Network(
        "facevid2vid-keypoints",
        "FaceVid2Vid keypoint detector",
        ("predictor.down_blocks.down0.conv.weight", "kp.weight"),
        reenactment.keypoint_detector,
        reenactment.keypoint_detector_config,
    ),
    Network(
        "facevid2vid-pose",
        "FaceVid2Vid pose estimator",
        ("fc_exp.weight", "fc_yaw.weight"),
        reenactment.pose_estimator,
        reenactment.pose_estimator_config,
    ),
    Network(
        "facevid2vid-generator",
        "FaceVid2Vid generator",
        ("dense_motion_network.mask.weight", "decoder.conv_img.weight"),
        reenactment.generator,
        reenactment.generator_config,
    ),
    Network(
        "bisenet",
        "BiSeNet face parser",
        ("cp.resnet.conv1.weight", "ffm.conv1.weight"),
        images.bisenet,
        images.bisenet_config,
    ),
    Network(
        "gfpgan",
        "GFPGAN restorer",
        ("conv_body_first.weight", "stylegan_decoder.constant_input.weight"),
        images.gfpgan,
        images.gfpgan_config,
    ),
    Network("gpen", "GPEN restorer", ("ecd0.0.0.weight", "generator.input.input"), images.gpen, images.gpen_config),
    Network(
        "rrdbnet",
        "RRDBNet (RealESRNet, RealESRGAN x4)",
        ("conv_first.weight", "body.0.rdb1.conv1.weight"),
        images.rrdbnet,
        images.rrdbnet_config,
    ),
    Network(
        "lpips-linear", "LPIPS linear layers", ("lin0.model.1.weight",), images.lpips_linear, images.lpips_linear_config
    ),
    Network(
        "alexnet", "AlexNet features", ("features.8.weight",), images.alexnet, encoders.nothing, None, ("classifier.",)
    ),
    Network(
        "vgg16", "VGG-16 features", ("features.28.weight",), images.vgg16, encoders.nothing, None, ("classifier.",)
    ),
    Network(
        "squeezenet",
        "SqueezeNet features",
        ("features.12.squeeze.weight",),
        images.squeezenet,
        encoders.nothing,
        None,
        ("classifier.",),
    ),
    Network(
        "latent-discriminator",
        "critic of codes",
        ("mlp.0.weight",),
        encoders.latent_discriminator,
        encoders.latent_discriminator_config,
    ),
)


@dataclass(frozen=True)
class Part:
    """One network of a file: `network` and `layout` as in NETWORKS, `config` from its shapes."""

    network: str
    layout: str | None
    config: Config

    @property
    def known(self) -> Network:
        """The entry of NETWORKS."""
        return network_named(self.network, self.layout)

    @property
    def title(self) -> str:
        """What it is, for people: with layout and size where there are any."""
        size = self.config.get("resolution")
        words = [self.known.title, f"{size} px" if size else "", f"{self.layout} layout" if self.layout else ""]
        variant = self.config.get("variant")
        if variant:
            words[0] = words[0].replace("StyleGAN3", f"StyleGAN3-{variant.upper()}")
        return ", ".join(word for word in words if word)


@dataclass
class Recognised:
    """What a table of tensors is: `parts` by prefix ("" where the file is one network), the names in the file of all
    that belongs to them, and the names that belong to none."""

    parts: dict[str, Part] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def network_named(name: str, layout: str | None = None) -> Network:
    """The network of this name; a layout picks among several. Raises InputError for others."""
    for network in NETWORKS:
        if network.name == name and (layout is None or network.layout == layout):
            return network
    known = ", ".join(dict.fromkeys(network.name for network in NETWORKS))
    raise InputError(f"no network {name!r}{f' in {layout} layout' if layout else ''} is known; there are {known}")


def differences(expected: Mapping[str, Shape], found: Mapping[str, Shape]) -> str:
    """The first names that differ, in words; empty where nothing does. Counters of batches may be missing."""
    said: list[str] = []
    for name, shape in expected.items():
        if name not in found:
            if not name.endswith("num_batches_tracked"):
                said.append(f"{name} missing")
        elif tuple(found[name]) != shape:
            said.append(f"{name} is {_shape(found[name])} where {_shape(shape)} was expected")
    said += [f"{name} unexpected" for name in found if name not in expected]
    # A misshaped tensor tells more than a row of missing ones, and a missing one more than what is too much.
    said.sort(key=lambda words: (words.endswith("unexpected"), words.endswith("missing")))
    more = f" and {len(said) - _NAMED_AT_MOST} more" if len(said) > _NAMED_AT_MOST else ""
    return "; ".join(said[:_NAMED_AT_MOST]) + more


def recognise(found: Mapping[str, Shape]) -> Recognised:
    """What these names and shapes are. Raises InputError with the first names that differ, or that nothing is known."""
    stripped = _stripped(found)
    whole = _matching({short: found[name] for short, name in stripped.items()})
    made = Recognised()
    if whole is not None:
        _take(made, "", whole, stripped, found)
        return made
    for part in PARTS:
        inner = {short[len(part) + 1 :]: name for short, name in stripped.items() if short.startswith(f"{part}.")}
        network = _matching({short: found[name] for short, name in inner.items()})
        if network is not None:
            _take(made, part, network, inner, found)
        elif inner and part != "discriminator":
            first = next(iter(inner.values()))
            raise InputError(f"{first} and what goes with it are no {part} that is known here")
    if not made.parts:
        first_names = ", ".join(list(found)[:_NAMED_AT_MOST]) or "none"
        raise InputError(f"no network that is known here has these tensors: {first_names}")
    taken = set(made.names.values())
    made.left_out += [name for name in found if name not in taken]
    return made


def check_against(parts: Mapping[str, Any], recognised: Recognised, found: Mapping[str, Shape]) -> None:
    """Hold a file against what a catalogue entry says of its parts: {prefix: {network, and some of its config}}.

    Raises InputError naming what the file is instead, and the first names that differ.
    """
    stripped = {short: found[name] for short, name in _stripped(found).items()}
    for prefix, wanted in parts.items():
        at = f"{prefix}." if prefix else ""
        inner = {name.removeprefix(at): shape for name, shape in stripped.items() if name.startswith(at)}
        part = recognised.parts.get(prefix)
        settings = {key: value for key, value in wanted.items() if key != "network"}
        if part is not None and part.network == wanted["network"]:
            if all(part.config.get(key) == value for key, value in settings.items()):
                continue
            network, what = part.known, f"holds {part.title}"
        else:
            network = _nearest(wanted["network"], inner)
            titles = " and ".join(p.title for p in recognised.parts.values()) or "nothing that is known"
            what = f"holds {titles}, no {network.title}"
        expected = network.shapes({**network.config(inner), **settings})
        said = differences(under(at, expected), under(at, inner) if inner else stripped)
        said = said or f"it has {part.config if part else {}} where {settings} was expected"
        raise InputError(f"{what}; first keys that differ: {said}")


def _nearest(name: str, found: Mapping[str, Shape]) -> Network:
    """The network of this name in the layout that shares most with what is there."""
    layouts = [network for network in NETWORKS if network.name == name] or [network_named(name)]
    return max(layouts, key=lambda network: sum(part in found for part in network.signature))


def _matching(found: Mapping[str, Shape]) -> Network | None:
    for network in NETWORKS:
        if all(name in found for name in network.signature):
            return network
    return None


def _take(made: Recognised, part: str, network: Network, inner: Mapping[str, str], found: Mapping[str, Shape]) -> None:
    """Check one network and note its tensors. inner: its own names -> names in the file."""
    shapes = {short: tuple(found[name]) for short, name in inner.items()}
    extra = [short for short in shapes if short.startswith(network.ignored)] if network.ignored else []
    for short in extra:
        made.left_out.append(inner[short])
        del shapes[short]
    config = network.config(shapes)
    said = differences(network.shapes(config), shapes)
    if said:
        where = f" ({part})" if part else ""
        raise InputError(f"looks like {network.title}{where} but is not whole; first keys that differ: {said}")
    made.parts[part] = Part(network.name, network.layout, config)
    made.names.update({f"{part}.{short}" if part else short: inner[short] for short in shapes})


def _stripped(found: Mapping[str, Shape]) -> dict[str, str]:
    """Names without the `module.` of training on several GPUs -> names in the file."""
    prefix = "module."
    if found and all(name.startswith(prefix) for name in found):
        return {name.removeprefix(prefix): name for name in found}
    return {name: name for name in found}


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a single number"
