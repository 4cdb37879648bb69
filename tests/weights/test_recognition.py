"""Files are told by names and shapes; the manifests of the official checkpoints are what the tables must say."""

import json

import pytest

from vidswap.graph import InputError
from vidswap.weights.catalogue import catalogue
from vidswap.weights.recognition import NETWORKS, check_against, differences, network_named, recognise
from vidswap.weights.shapes import under

CONFIG_F = [512, 512, 512, 512, 512, 256, 128, 64, 32]
MANIFESTS = {
    "stylegan/manifest_rosinality_sg2_1024": ("stylegan2", "rosinality", {"resolution": 1024, "channels": CONFIG_F}),
    "stylegan/manifest_nvlabs_sg2_1024": ("stylegan2", "nvlabs", {"resolution": 1024, "mapping_layers": 8}),
    "stylegan/manifest_nvlabs_sg3t_1024": ("stylegan3", "nvlabs", {"resolution": 1024, "variant": "t"}),
    "stylegan/manifest_nvlabs_sg3r_1024": ("stylegan3", "nvlabs", {"resolution": 1024, "variant": "r"}),
    "stylegan/manifest_landmark_mapper": ("landmark-mapper", None, {}),
    "encoders/manifest_psp_gradual_style_encoder": ("gradual-encoder", None, {"rows": 18, "inputs": 3}),
    "encoders/manifest_e4e_encoder4editing": ("gradual-encoder", None, {"rows": 18, "inputs": 3}),
    "encoders/manifest_psp_backbone_into_w": ("w-encoder", None, {"inputs": 3}),
    "encoders/manifest_psp_backbone_into_wplus": ("pooled-encoder", None, {"rows": 18}),
    "encoders/manifest_restyle_backbone_encoder": ("backbone-encoder", None, {"rows": 18, "inputs": 6}),
    "encoders/manifest_restyle_resnet34_encoder": ("resnet-encoder", None, {"rows": 18, "inputs": 6}),
    "encoders/manifest_restyle3_progressive_encoder": ("backbone-encoder", None, {"rows": 16, "inputs": 6}),
    "encoders/manifest_arcface_ir_se50": ("ir-se50", None, {}),
    "encoders/manifest_e4e_latent_discriminator": ("latent-discriminator", None, {"layers": 4}),
    "encoders/manifest_gfpgan_v1_clean": ("gfpgan", None, {"resolution": 512}),
    "encoders/manifest_gpen_512": ("gpen", None, {"resolution": 512, "mapping_layers": 8}),
    "e4s/manifest_realesrnet_x4": ("rrdbnet", None, {"width": 32, "blocks": 23, "growth": 32}),
    "encoders/manifest_lpips_alex": ("alexnet", None, {}),
    "encoders/manifest_lpips_vgg": ("vgg16", None, {}),
    "encoders/manifest_lpips_squeeze": ("squeezenet", None, {}),
    "e4s/manifest_e4s_net_1024": ("e4s", None, {"regions": 12, "rows": 13}),
    "e4s/manifest_facevid2vid_kp_detector": ("facevid2vid-keypoints", None, {"keypoints": 15, "depth": 16}),
    "e4s/manifest_facevid2vid_he_estimator": ("facevid2vid-pose", None, {"units": [3, 3, 5, 2], "bins": 66}),
    "e4s/manifest_facevid2vid_generator": ("facevid2vid-generator", None, {"channels": 32, "middle": 6}),
    "e4s/manifest_bisenet": ("bisenet", None, {"classes": 19}),
    "stylemask/manifest_mask_net_1024": ("stylemask", None, {}),
    "stylemask/manifest_ir_se50": ("ir-se50", None, {}),
}


def manifest(shared, name):
    keys = json.loads((shared / "fixtures" / f"{name}.json").read_text())["keys"]
    # E4S' list has its mean code, which lies beside the table in the file.
    return {key: tuple(told["shape"]) for key, told in keys.items() if key != "latent_avg"}


@pytest.mark.parametrize("name", sorted(MANIFESTS))
def test_official_checkpoints_are_told_key_by_key(name, shared):
    shapes = manifest(shared, name)
    network, layout, config = MANIFESTS[name]
    (part,) = recognise(shapes).parts.values()
    assert (part.network, part.layout) == (network, layout)
    assert part.config.items() >= config.items()
    assert part.known.shapes(part.config) == shapes


@pytest.mark.parametrize("name", sorted(MANIFESTS))
def test_one_key_too_few_too_many_or_misshaped_is_named(name, shared):
    shapes = manifest(shared, name)
    key = [k for k in shapes if not k.endswith("num_batches_tracked")][-1]
    without = {k: s for k, s in shapes.items() if k != key}
    for wrong, match in (
        (without, f"{key} missing"),
        ({**shapes, "surplus.weight": (3, 4)}, "surplus.weight unexpected"),
        ({**shapes, key: (1, 2, 3, 4, 5, 6)}, f"{key} is 1x2x3x4x5x6"),
    ):
        with pytest.raises(InputError, match="differ.*" + match.replace(".", r"\.")):
            recognise(wrong)


def sample(name, layout=None):
    """A table of shapes of each network, as the catalogue or small configurations have it."""
    tiny = {"resolution": 16, "channels": [8, 8, 6], "z_dim": 8, "c_dim": 0, "w_dim": 8, "mapping_layers": 2}
    rates = {"resolution": 32, "variant": "t", "kernel": 3, "input_channels": 8, "channels": [8] * 14 + [3]}
    configs = {
        "stylegan2": tiny,
        "stylegan3": {**tiny, **rates},
        "e4s": {"regions": 3, "rows": 5, "widths": [16, 16, 16, 32, 32], "generator": tiny},
        "stylemask": {"widths": [8, 4]},
        "landmark-mapper": {"widths": [4, 6], "features": 96, "hidden": 5, "values": 32},
        "bisenet": {"classes": 19},
        "facevid2vid-keypoints": {"widths": [4, 8], "base": 2, "depth": 3, "keypoints": 5},
        "facevid2vid-pose": {"base": 4, "units": [1, 2, 1, 1], "bins": 6, "keypoints": 5},
        "facevid2vid-generator": {
            "keypoints": 5, "channels": 4, "depth": 4, "base": 4, "middle": 2, "hidden": 4, "compressed": 2,
            "motion": [4, 8],
        },
        "gfpgan": {
            "unet": [16, 16, 8], "decoder": [16, 16, 8], "style_dim": 8, "mapping_layers": 2, "different_w": True,
            "half": True,
        },
        "gpen": {"channels": [8, 8, 6], "style_dim": 8, "mapping_layers": 2},
        "rrdbnet": {"width": 6, "blocks": 2, "growth": 4},
        "lpips-linear": {"trunk": "vgg"},
        "latent-discriminator": {"layers": 3, "width": 8},
    }  # fmt: skip
    return network_named(name, layout).shapes(configs.get(name, {"rows": 4, "inputs": 3}))


@pytest.mark.parametrize("trunk", ["alex", "vgg", "squeeze"])
def test_the_trunk_of_linear_layers_is_told(trunk):
    (part,) = recognise(network_named("lpips-linear").shapes({"trunk": trunk})).parts.values()
    assert part.config == {"trunk": trunk}


@pytest.mark.parametrize(("name", "layout"), [(n.name, n.layout) for n in NETWORKS])
def test_every_network_is_told_from_its_own_table(name, layout):
    shapes = sample(name, layout)
    (part,) = recognise(shapes).parts.values()
    assert (part.network, part.layout) == (name, layout)
    assert part.known.shapes(part.config) == shapes


@pytest.mark.parametrize(("name", "layout"), [(n.name, n.layout) for n in NETWORKS])
def test_the_prefix_of_several_gpus_is_taken_off(name, layout):
    shapes = sample(name, layout)
    recognised = recognise(under("module.", shapes))
    assert recognised.names == {key: f"module.{key}" for key in shapes}


def test_a_checkpoint_of_an_encoder_and_a_generator_has_two_parts():
    shapes = under("encoder.", sample("gradual-encoder")) | under("decoder.", sample("stylegan2", "rosinality"))
    recognised = recognise({**shapes, "loss.w": (3,)})
    assert {prefix: part.network for prefix, part in recognised.parts.items()} == {
        "encoder": "gradual-encoder",
        "decoder": "stylegan2",
    }
    assert recognised.left_out == ["loss.w"] and set(recognised.names) == set(shapes)


def test_an_encoder_is_not_taken_for_one_of_a_longer_name():
    shapes = under("encoder_firststage.", sample("gradual-encoder")) | under(
        "decoder.", sample("stylegan2", "rosinality")
    )
    assert set(recognise(shapes).parts) == {"decoder"}


def test_counters_of_batches_may_be_missing():
    shapes = {k: s for k, s in sample("ir-se50").items() if not k.endswith("num_batches_tracked")}
    assert recognise(shapes).parts[""].network == "ir-se50"


def test_classifiers_of_trunks_are_left_out():
    recognised = recognise({**sample("alexnet"), "classifier.1.weight": (4096, 9216)})
    assert recognised.left_out == ["classifier.1.weight"] and "classifier.1.weight" not in recognised.names


def test_a_table_that_nobody_knows_is_told_with_its_first_names():
    with pytest.raises(InputError, match=r"no network.*: a\.weight, b"):
        recognise({"a.weight": (1,), "b": (2,)})
    with pytest.raises(InputError, match="no decoder that is known"):
        recognise(under("encoder.", sample("w-encoder")) | {"decoder.strange": (1,)})


def test_a_wrong_file_for_a_name_is_told_by_what_it_is_and_its_first_keys():
    shapes = sample("stylegan3")
    with pytest.raises(InputError, match=r"StyleGAN3-T.*no pSp / e4e encoder.*encoder\.input_layer\.0\.weight missing"):
        check_against(catalogue()["e4e-ffhq"].parts, recognise(shapes), shapes)
    shapes = sample("stylegan2", "nvlabs")
    with pytest.raises(InputError, match=r"16 px.*synthesis\.b4\.const is 8x4x4 where 512x4x4 was expected"):
        check_against(catalogue()["stylegan2-ffhq"].parts, recognise(shapes), shapes)


ROSINALITY = "stylegan/manifest_rosinality_sg2_1024"
OFFICIAL = {
    "stylegan2-ffhq": [("", "stylegan/manifest_nvlabs_sg2_1024")],
    "stylegan2-ffhq-rosinality": [("", "stylegan/manifest_rosinality_sg2_1024")],
    "stylegan3-t-ffhq": [("", "stylegan/manifest_nvlabs_sg3t_1024")],
    "stylegan3-r-ffhq": [("", "stylegan/manifest_nvlabs_sg3r_1024")],
    "psp-ffhq": [
        ("encoder.", "encoders/manifest_psp_gradual_style_encoder"), ("decoder.", ROSINALITY),
    ],
    "e4e-ffhq": [
        ("encoder.", "encoders/manifest_e4e_encoder4editing"), ("decoder.", ROSINALITY),
    ],
    "restyle-e4e-ffhq": [
        ("encoder.", "encoders/manifest_restyle_backbone_encoder"), ("decoder.", ROSINALITY),
    ],
    "e4s": [("module.", "e4s/manifest_e4s_net_1024")],
    "stylemask": [("", "stylemask/manifest_mask_net_1024")],
    "ir-se50": [("", "encoders/manifest_arcface_ir_se50")],
    "alexnet": [("", "encoders/manifest_lpips_alex")],
    "vgg16": [("", "encoders/manifest_lpips_vgg")],
    "squeezenet": [("", "encoders/manifest_lpips_squeeze")],
    "bisenet": [("", "e4s/manifest_bisenet")],
    "facevid2vid": [
        (f"{part}.", f"e4s/manifest_facevid2vid_{part}") for part in ("kp_detector", "he_estimator", "generator")
    ],
    "gpen-512": [("", "encoders/manifest_gpen_512")],
    "realesrnet-x4": [("", "e4s/manifest_realesrnet_x4")],
    "gfpgan-1.4": [("", "encoders/manifest_gfpgan_v1_clean")],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(OFFICIAL))
def test_official_files_fit_their_names_in_the_catalogue_and_no_others(name, shared):
    shapes = {}
    for prefix, source in OFFICIAL[name]:
        shapes |= under(prefix, manifest(shared, source))
    recognised = recognise(shapes)
    wanted = catalogue()[name].parts
    check_against(wanted, recognised, shapes)
    for entry in catalogue().values():
        if entry.parts != wanted:
            with pytest.raises(InputError, match="first keys that differ"):
                check_against(entry.parts, recognised, shapes)


def test_the_tiny_networks_of_the_fixtures_are_told(shared):
    from safetensors import safe_open

    for path, prefix, network in (
        ("e4s/golden_tiny_net", "weights.", "e4s"),
        ("encoders/gfpgan_small", "w.", "gfpgan"),
        ("encoders/gpen_small", "w.", "gpen"),
        ("stylegan/rosinality_sg2_64", "g_ema.", "stylegan2"),
        ("stylegan/nvlabs_sg3r_64", "G_ema.", "stylegan3"),
    ):
        with safe_open(shared / "fixtures" / f"{path}.safetensors", "pt") as file:
            names = [name for name in list(file.keys()) if name.startswith(prefix)]
            shapes = {name.removeprefix(prefix): tuple(file.get_slice(name).get_shape()) for name in names}
        assert recognise(shapes).parts[""].network == network


def test_differences_are_few_and_counted():
    said = differences({"a": (1,), "b": (2,), "c": (3,), "d": (4,)}, {"b": (5,), "e": (1,)})
    assert said == "b is 5 where 2 was expected; a missing; c missing and 2 more"
