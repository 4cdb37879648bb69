"""Names and shapes of the encoders' tensors: pSp, e4e, ReStyle, IR-SE50, E4S, StyleMask, the landmark mapper.

As in `vidswap.weights.shapes`: a function from a configuration to all shapes, and one that reads the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vidswap.weights.shapes import (
    Config,
    Shape,
    Shapes,
    dim,
    indices,
    linear,
    stylegan2_rosinality,
    stylegan2_rosinality_config,
    under,
)

_BLOCKS = (3, 4, 14, 3)
_IR_WIDTHS = (64, 64, 128, 256, 512)
_E4S_WIDTHS = (64, 128, 256, 512, 512)


def batch_norm(name: str, width: int) -> Shapes:
    """A normalisation over the batch, with its running sums."""
    parts: Shapes = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return parts | {f"{name}.num_batches_tracked": ()}


def convolution(name: str, inputs: int, outputs: int, side: int = 3, *, has_bias: bool = True) -> Shapes:
    """A square convolution."""
    made: Shapes = {f"{name}.weight": (outputs, inputs, side, side)}
    return made | ({f"{name}.bias": (outputs,)} if has_bias else {})


def trunk(inputs: int, widths: Sequence[int] = _IR_WIDTHS, *, has_norms: bool = True) -> Shapes:
    """The IR-SE50 trunk: `input_layer` and `body.0` to `body.23`. Without norms (E4S) they have no tensors.

    widths: of the stem, then of the four stages.
    """

    def norm(name: str, width: int) -> Shapes:
        return batch_norm(name, width) if has_norms else {}

    made = convolution("input_layer.0", inputs, widths[0], has_bias=False) | norm("input_layer.1", widths[0])
    made["input_layer.2.weight"] = (widths[0],)
    unit = 0
    for stage, count in enumerate(_BLOCKS):
        for i in range(count):
            below, width, at = widths[stage] if i == 0 else widths[stage + 1], widths[stage + 1], f"body.{unit}"
            if below != width:
                made |= convolution(f"{at}.shortcut_layer.0", below, width, 1, has_bias=False)
                made |= norm(f"{at}.shortcut_layer.1", width)
            made |= norm(f"{at}.res_layer.0", below)
            made |= convolution(f"{at}.res_layer.1", below, width, has_bias=False)
            made[f"{at}.res_layer.2.weight"] = (width,)
            made |= convolution(f"{at}.res_layer.3", width, width, has_bias=False) | norm(f"{at}.res_layer.4", width)
            made |= convolution(f"{at}.res_layer.5.fc1", width, width // 16, 1, has_bias=False)
            made |= convolution(f"{at}.res_layer.5.fc2", width // 16, width, 1, has_bias=False)
            unit += 1
    return made


def _heads(convolutions: Sequence[int], width: int, w_dim: int) -> Shapes:
    """One head for each row of W+: so many stride-2 convolutions, then a linear map."""
    made: Shapes = {}
    for row, count in enumerate(convolutions):
        for i in range(count):
            made |= convolution(f"styles.{row}.convs.{2 * i}", width, width)
        made |= linear(f"styles.{row}.linear", width, w_dim)
    return made


def gradual_encoder(config: Config) -> Shapes:
    """GradualStyleEncoder (pSp) and Encoder4Editing (e4e): the same names. config: rows, inputs, widths, w_dim."""
    fine, middle, width = _widths(config)[-3:]
    made = trunk(config["inputs"], _widths(config))
    convolutions = [4 if row < 3 else 5 if row < 7 else 6 for row in range(config["rows"])]
    made |= _heads(convolutions, width, config.get("w_dim", 512))
    return made | convolution("latlayer1", middle, width, 1) | convolution("latlayer2", fine, width, 1)


def backbone_encoder(config: Config) -> Shapes:
    """BackboneEncoder and ProgressiveBackboneEncoder (ReStyle): all heads on the 16 px map. config as above."""
    widths = _widths(config)
    return trunk(config["inputs"], widths) | _heads([4] * config["rows"], widths[-1], config.get("w_dim", 512))


def _widths(config: Config) -> Sequence[int]:
    return config.get("widths", _IR_WIDTHS)


def rows_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of an encoder with heads."""
    firsts = ["input_layer.0.weight", *(f"body.{unit}.res_layer.1.weight" for unit in (0, 3, 7, 21))]
    return {
        "rows": len(indices(shapes, r"styles\.(\d+)\.linear\.weight")),
        "inputs": dim(shapes, "input_layer.0.weight", 1),
        "widths": [dim(shapes, name, 0, usual) for name, usual in zip(firsts, _IR_WIDTHS, strict=True)],
        "w_dim": dim(shapes, "styles.0.linear.weight", 0, 512),
    }


def resnet_encoder(config: Config) -> Shapes:
    """ResNetBackboneEncoder (ReStyle on ResNet-34): all heads on the 16 px map. config: rows, inputs."""
    made = convolution("conv1", config["inputs"], 64, 7, has_bias=False) | batch_norm("bn1", 64)
    made["relu.weight"] = (64,)
    unit = 0
    for below, width, count in zip(_IR_WIDTHS, _IR_WIDTHS[1:], (3, 4, 6, 3), strict=False):
        for i in range(count):
            at, inward = f"body.{unit}", below if i == 0 else width
            made |= convolution(f"{at}.conv1", inward, width, has_bias=False) | batch_norm(f"{at}.bn1", width)
            made |= convolution(f"{at}.conv2", width, width, has_bias=False) | batch_norm(f"{at}.bn2", width)
            if inward != width:
                made |= convolution(f"{at}.downsample.0", inward, width, 1, has_bias=False)
                made |= batch_norm(f"{at}.downsample.1", width)
            unit += 1
    return made | _heads([4] * config["rows"], 512, 512)


def resnet_encoder_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of an encoder on ResNet-34."""
    rows = len(indices(shapes, r"styles\.(\d+)\.linear\.weight"))
    return {"rows": rows, "inputs": dim(shapes, "conv1.weight", 1)}


def w_encoder(config: Config) -> Shapes:
    """BackboneEncoderUsingLastLayerIntoW: one code of W."""
    return trunk(config["inputs"]) | linear("linear", 512, 512)


def w_encoder_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of an encoder into W."""
    return {"inputs": dim(shapes, "input_layer.0.weight", 1)}


def pooled_encoder(config: Config) -> Shapes:
    """BackboneEncoderUsingLastLayerIntoWPlus: a pooled head to all rows. config: rows, inputs."""
    made = trunk(config["inputs"]) | batch_norm("output_layer_2.0", 512)
    return made | linear("output_layer_2.3", 512 * 49, 512) | linear("linear", 512, 512 * config["rows"])


def pooled_encoder_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of a pooled encoder."""
    return {"rows": dim(shapes, "linear.weight", 0) // 512, "inputs": dim(shapes, "input_layer.0.weight", 1)}


def ir_se50(_: Config) -> Shapes:
    """ArcFace's IR-SE50 at 112 px."""
    made = trunk(3) | batch_norm("output_layer.0", 512) | linear("output_layer.3", 512 * 49, 512)
    return made | batch_norm("output_layer.4", 512)


def nothing(_: Mapping[str, Shape]) -> Config:
    """The configuration of a network that comes in one size."""
    return {}


def latent_discriminator(config: Config) -> Shapes:
    """e4e's critic of single codes. config: width, layers."""
    made: Shapes = {}
    for i in range(config["layers"]):
        made |= linear(f"mlp.{2 * i}", config["width"], config["width"] if i < config["layers"] - 1 else 1)
    return made


def latent_discriminator_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of a critic of codes."""
    return {"layers": len(indices(shapes, r"mlp\.(\d+)\.weight")), "width": dim(shapes, "mlp.0.weight", 1)}


def e4s(config: Config) -> Shapes:
    """E4S / RGI: encoder without norms, one MLP for each region, generator. config: regions, rows, generator."""
    generator: Config = config["generator"]
    width = generator["w_dim"]
    widths = config["widths"]
    made = under("encoder.", trunk(3, widths, has_norms=False))
    vector = sum(widths[2:])
    for region in range(config["regions"]):
        made |= linear(f"MLPs.{region}.mlp.0", vector, width)
        made |= linear(f"MLPs.{region}.mlp.2", width, width * config["rows"])
    return made | under("G.", stylegan2_rosinality(generator))


def e4s_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of E4S; `rows` is the paper's K."""
    generator = {name.removeprefix("G."): shape for name, shape in shapes.items() if name.startswith("G.")}
    config = stylegan2_rosinality_config(generator)
    firsts = (0, 3, 7, 21)
    widths = [dim(shapes, "encoder.input_layer.0.weight", 0, 64)]
    widths += [dim(shapes, f"encoder.body.{i}.res_layer.1.weight", 0) for i in firsts]
    return {
        "regions": len(indices(shapes, r"MLPs\.(\d+)\.mlp\.0\.weight")),
        "rows": dim(shapes, "MLPs.0.mlp.2.weight", 0) // max(config["w_dim"], 1),
        "widths": widths,
        "generator": config,
    }


def stylemask(config: Config) -> Shapes:
    """StyleMask's mask networks: one for each controlled layer of S. config: widths."""
    made: Shapes = {}
    for i, width in enumerate(config["widths"]):
        for part in (0, 2):
            made |= linear(f"network_{i:02d}.masknet.{part}", width, width)
    return made


def stylemask_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of mask networks."""
    found = indices(shapes, r"network_(\d\d)\.masknet\.0\.weight")
    return {"widths": [dim(shapes, f"network_{i:02d}.masknet.0.weight", 0) for i in found]}


_MAPPER = "landmark_encoder.landmark_encoder."


def landmark_mapper(config: Config) -> Shapes:
    """The mapper from landmark differences to codes. config: widths of its convolutions, features, hidden, values."""
    made: Shapes = {}
    widths, hidden = config["widths"], config["hidden"]
    for i, width in enumerate(widths):
        made |= convolution(str(4 * i), widths[i - 1] if i else 3, width, 3 if i else 5) | batch_norm(
            str(4 * i + 1), width
        )
    at = 4 * len(widths)
    made |= linear(str(at), config["features"], hidden) | batch_norm(str(at + 1), hidden)
    return under(_MAPPER, made | linear(str(at + 3), hidden, config["values"]))


def landmark_mapper_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of a landmark mapper: all its layers but the two linear ones are convolutions."""
    layers = [i for i in indices(shapes, rf"{_MAPPER}(\d+)\.weight") if i % 4 == 0]
    at = max(4, layers[-1]) if layers else 4
    return {
        "widths": [dim(shapes, f"{_MAPPER}{i}.weight", 0) for i in range(0, at, 4)],
        "features": dim(shapes, f"{_MAPPER}{at}.weight", 1),
        "hidden": dim(shapes, f"{_MAPPER}{at}.weight", 0),
        "values": dim(shapes, f"{_MAPPER}{at + 3}.weight", 0),
    }
