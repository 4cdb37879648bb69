"""Names and shapes of the tensors of parser, restorers and perceptual metric: BiSeNet, GFPGAN, GPEN, RRDBNet, LPIPS.

As in `vidswap.weights.shapes`: a function from a configuration to all shapes, and one that reads the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping

from vidswap.weights.encoder_shapes import batch_norm, convolution
from vidswap.weights.shapes import Config, Shape, Shapes, dim, indices, linear, under

ALEX = ((0, 3, 64, 11), (3, 64, 192, 5), (6, 192, 384, 3), (8, 384, 256, 3), (10, 256, 256, 3))
VGG16 = (
    (0, 3, 64, 3), (2, 64, 64, 3), (5, 64, 128, 3), (7, 128, 128, 3), (10, 128, 256, 3), (12, 256, 256, 3),
    (14, 256, 256, 3), (17, 256, 512, 3), (19, 512, 512, 3), (21, 512, 512, 3), (24, 512, 512, 3), (26, 512, 512, 3),
    (28, 512, 512, 3),
)  # fmt: skip
SQUEEZE = (
    (3, 64, 16, 64), (4, 128, 16, 64), (6, 128, 32, 128), (7, 256, 32, 128), (9, 256, 48, 192), (10, 384, 48, 192),
    (11, 384, 64, 256), (12, 512, 64, 256),
)  # fmt: skip
LPIPS_WIDTHS = {
    "alex": (64, 192, 384, 256, 256),
    "vgg": (64, 128, 256, 512, 512),
    "squeeze": (64, 128, 256, 384, 384, 512, 512),
}


def _conv_norm(name: str, inputs: int, outputs: int, side: int, conv: str = "conv", norm: str = "bn") -> Shapes:
    made = convolution(f"{name}.{conv}", inputs, outputs, side, has_bias=False)
    return made | batch_norm(f"{name}.{norm}", outputs)


def bisenet(config: Config) -> Shapes:
    """The face parser: ResNet-18 and a context path, no spatial path. config: classes."""
    made = under("cp.resnet.", _resnet18())
    for name, width in (("arm16", 256), ("arm32", 512)):
        made |= _conv_norm(f"cp.{name}.conv", width, 128, 3)
        made |= _conv_norm(f"cp.{name}", 128, 128, 1, "conv_atten", "bn_atten")
    made |= _conv_norm("cp.conv_head32", 128, 128, 3) | _conv_norm("cp.conv_head16", 128, 128, 3)
    made |= _conv_norm("cp.conv_avg", 512, 128, 1) | _conv_norm("ffm.convblk", 256, 256, 1)
    made |= convolution("ffm.conv1", 256, 64, 1, has_bias=False) | convolution("ffm.conv2", 64, 256, 1, has_bias=False)
    for name, inputs, middle in (("conv_out", 256, 256), ("conv_out16", 128, 64), ("conv_out32", 128, 64)):
        made |= _conv_norm(f"{name}.conv", inputs, middle, 3)
        made |= convolution(f"{name}.conv_out", middle, config["classes"], 1, has_bias=False)
    return made


def _resnet18() -> Shapes:
    made = convolution("conv1", 3, 64, 7, has_bias=False) | batch_norm("bn1", 64)
    below = 64
    for stage, width in enumerate((64, 128, 256, 512), 1):
        for unit in range(2):
            at, inputs = f"layer{stage}.{unit}", below if unit == 0 else width
            made |= convolution(f"{at}.conv1", inputs, width, has_bias=False) | batch_norm(f"{at}.bn1", width)
            made |= convolution(f"{at}.conv2", width, width, has_bias=False) | batch_norm(f"{at}.bn2", width)
            if inputs != width:
                made |= convolution(f"{at}.downsample.0", inputs, width, 1, has_bias=False)
                made |= batch_norm(f"{at}.downsample.1", width)
        below = width
    return made


def bisenet_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of the parser."""
    return {"classes": dim(shapes, "conv_out.conv_out.weight", 0)}


def gfpgan(config: Config) -> Shapes:
    """GFPGAN (clean): U-Net, generator in its own names, conditions. config: widths at 4, 8, ... px of both."""
    unet, decoder, style = config["unet"], config["decoder"], config["style_dim"]
    levels = len(unet) - 1
    made = convolution("conv_body_first", 3, unet[levels], 1)

    def unit(name: str, inputs: int, outputs: int) -> Shapes:
        body = convolution(f"{name}.conv1", inputs, inputs) | convolution(f"{name}.conv2", inputs, outputs)
        return body | convolution(f"{name}.skip", inputs, outputs, 1, has_bias=False)

    for i in range(levels):
        made |= unit(f"conv_body_down.{i}", unet[levels - i], unet[levels - i - 1])
    made |= convolution("final_conv", unet[0], unet[0])
    for i in range(levels):
        made |= unit(f"conv_body_up.{i}", unet[i], unet[i + 1])
    for i in range(levels):
        made |= convolution(f"toRGB.{i}", unet[i + 1], 3, 1)
    rows = 2 * levels + 2 if config["different_w"] else 1
    made |= linear("final_linear", unet[0] * 16, rows * style)
    made |= under("stylegan_decoder.", _gfpgan_decoder(decoder, style, config["mapping_layers"]))
    for name in ("condition_scale", "condition_shift"):
        for i in range(levels):
            width = unet[i + 1]
            outputs = width if config["half"] else 2 * width
            made |= convolution(f"{name}.{i}.0", width, width) | convolution(f"{name}.{i}.2", width, outputs)
    return made


def _gfpgan_decoder(widths: list[int], style: int, mapping_layers: int) -> Shapes:
    made: Shapes = {}
    for i in range(mapping_layers):
        made |= linear(f"style_mlp.{2 * i + 1}", style, style)
    made["constant_input.weight"] = (1, widths[0], 4, 4)

    def layer(name: str, inputs: int, outputs: int, side: int) -> None:
        if side == 3:
            made[f"{name}.weight"] = (1,)
        made[f"{name}.bias"] = (1, outputs, 1, 1)
        made[f"{name}.modulated_conv.weight"] = (1, outputs, inputs, side, side)
        made.update(linear(f"{name}.modulated_conv.modulation", style, inputs))

    layer("style_conv1", widths[0], widths[0], 3)
    layer("to_rgb1", widths[0], 3, 1)
    for level in range(1, len(widths)):
        layer(f"style_convs.{2 * level - 2}", widths[level - 1], widths[level], 3)
        layer(f"style_convs.{2 * level - 1}", widths[level], widths[level], 3)
    for level in range(1, len(widths)):
        layer(f"to_rgbs.{level - 1}", widths[level], 3, 1)
    for k in range(2 * len(widths) - 1):
        size = 4 << ((k + 1) // 2)
        made[f"noises.noise{k}"] = (1, 1, size, size)
    return made


def gfpgan_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of a restorer."""
    levels = [i for i in indices(shapes, r"conv_body_up\.(\d+)\.skip\.weight") if i < 12]
    decoder = [dim(shapes, "stylegan_decoder.constant_input.weight", 1)]
    decoder += [dim(shapes, f"stylegan_decoder.style_convs.{2 * i + 1}.modulated_conv.weight", 1) for i in levels]
    unet = [dim(shapes, "final_conv.weight", 0)]
    unet += [dim(shapes, f"conv_body_up.{i}.skip.weight", 0) for i in levels]
    style = dim(shapes, "stylegan_decoder.style_mlp.1.weight", 0)
    return {
        "resolution": 4 << len(levels),
        "unet": unet,
        "decoder": decoder,
        "style_dim": style,
        "mapping_layers": len(indices(shapes, r"stylegan_decoder\.style_mlp\.(\d+)\.weight")),
        "different_w": dim(shapes, "final_linear.weight", 0) != style,
        "half": dim(shapes, "condition_scale.0.2.weight", 0) == dim(shapes, "condition_scale.0.2.weight", 1),
    }


def gpen(config: Config) -> Shapes:
    """GPEN: encoder, mapping, a generator that reads twice its width. config: channels at 4, 8, ... px, style_dim."""
    widths, style = config["channels"], config["style_dim"]
    made: Shapes = {}
    for level, width in enumerate(reversed(widths)):
        if level:
            made[f"ecd{level}.0.0.kernel"] = (4, 4)
        at = f"ecd{level}.0.{1 if level else 0}"
        made |= convolution(at, widths[-level] if level else 3, width, 3 if level else 1, has_bias=False)
        made[f"ecd{level}.0.{2 if level else 1}.bias"] = (width,)
    made |= linear("final_linear.0", 16 * (widths[0] if widths else 0), style)
    return made | under("generator.", _gpen_generator(widths, style, config["mapping_layers"]))


def _gpen_generator(widths: list[int], style: int, mapping_layers: int) -> Shapes:
    made: Shapes = {}
    for i in range(mapping_layers):
        made |= linear(f"style.{i + 1}", style, style)

    def layer(name: str, inputs: int, outputs: int, *, is_up: bool = False) -> None:
        made[f"{name}.conv.weight"] = (1, outputs, inputs, 3, 3)
        if is_up:
            made[f"{name}.conv.blur.kernel"] = (4, 4)
        made.update(linear(f"{name}.conv.modulation", style, inputs))
        made.update({f"{name}.noise.weight": (1,), f"{name}.activate.bias": (2 * outputs,)})

    for level, width in enumerate(widths):
        rgb = f"to_rgbs.{level - 1}" if level else "to_rgb1"
        if level:
            layer(f"convs.{2 * level - 2}", 2 * widths[level - 1], width, is_up=True)
            layer(f"convs.{2 * level - 1}", 2 * width, width)
            made[f"{rgb}.upsample.kernel"] = (4, 4)
        else:
            made["input.input"] = (1, width, 4, 4)
            layer("conv1", width, width)
        made |= {f"{rgb}.bias": (1, 3, 1, 1), f"{rgb}.conv.weight": (1, 3, 2 * width, 1, 1)}
        made |= linear(f"{rgb}.conv.modulation", style, 2 * width)
    return made


def gpen_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of a GPEN."""
    levels = [i for i in indices(shapes, r"ecd(\d+)\.0\.1\.weight") if 0 < i < 12]
    widths = [dim(shapes, "ecd0.0.0.weight", 0)] + [dim(shapes, f"ecd{i}.0.1.weight", 0) for i in levels]
    return {
        "resolution": 4 << len(levels),
        "channels": widths[::-1],
        "style_dim": dim(shapes, "final_linear.0.weight", 0),
        "mapping_layers": len(indices(shapes, r"generator\.style\.(\d+)\.weight")),
    }


def rrdbnet(config: Config) -> Shapes:
    """ESRGAN's RRDBNet, four times as large. config: width, blocks, growth."""
    width, growth = config["width"], config["growth"]
    made = convolution("conv_first", 3, width)
    for block in range(config["blocks"]):
        for part in (1, 2, 3):
            for i in range(1, 6):
                name = f"body.{block}.rdb{part}.conv{i}"
                made |= convolution(name, width + (i - 1) * growth, growth if i < 5 else width)
    for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
        made |= convolution(name, width, width)
    return made | convolution("conv_last", width, 3)


def rrdbnet_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of an RRDBNet."""
    return {
        "width": dim(shapes, "conv_first.weight", 0),
        "blocks": len(indices(shapes, r"body\.(\d+)\.rdb1\.conv1\.weight")),
        "growth": dim(shapes, "body.0.rdb1.conv1.weight", 0),
    }


def alexnet(_: Config) -> Shapes:
    """AlexNet's feature stack in torchvision's names."""
    return _stack(ALEX)


def vgg16(_: Config) -> Shapes:
    """VGG-16's feature stack in torchvision's names."""
    return _stack(VGG16)


def squeezenet(_: Config) -> Shapes:
    """SqueezeNet 1.1's feature stack in torchvision's names."""
    made = convolution("features.0", 3, 64)
    for index, inputs, squeezed, expanded in SQUEEZE:
        made |= convolution(f"features.{index}.squeeze", inputs, squeezed, 1)
        made |= convolution(f"features.{index}.expand1x1", squeezed, expanded, 1)
        made |= convolution(f"features.{index}.expand3x3", squeezed, expanded)
    return made


def _stack(layers: tuple[tuple[int, int, int, int], ...]) -> Shapes:
    made: Shapes = {}
    for index, inputs, outputs, side in layers:
        made |= convolution(f"features.{index}", inputs, outputs, side)
    return made


def lpips_linear(config: Config) -> Shapes:
    """The linear layers of LPIPS v0.1. config: trunk."""
    widths = LPIPS_WIDTHS[config["trunk"]]
    return {f"lin{i}.model.1.weight": (1, width, 1, 1) for i, width in enumerate(widths)}


def lpips_linear_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of LPIPS' linear layers."""
    if "lin6.model.1.weight" in shapes:
        return {"trunk": "squeeze"}
    return {"trunk": "vgg" if dim(shapes, "lin1.model.1.weight", 1) == 128 else "alex"}
