"""FaceVid2Vid: motions, sources kept, names, and the published values."""

import dataclasses

import pytest
import torch
from golden_nets import filled, keys_and_shapes, largest_gap, manifest_of, shapes_of, tensors_of

from vidswap.graph.errors import InputError
from vidswap.nets import facevid2vid
from vidswap.nets import facevid2vid_generator as rendering
from vidswap.nets.layers import seeded

TINY = facevid2vid.Config(
    rendering.Config(3, (4, 4), 4, 2, 4, 2, 4, 2, 8), base=4, levels=2, most=8, pose_base=4, pose_units=(1, 1, 1, 1)
)


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def net():
    return seeded(lambda: facevid2vid.FaceVid2Vid(TINY), 2)


def test_a_source_serves_all_frames_of_a_batch(net):
    portrait, frames = torch.rand(1, 3, 64, 64), torch.rand(3, 3, 64, 64)
    source, motion = net.source(portrait), net.motion(frames)
    images = net.animate(source, motion)
    assert images.shape == (3, 3, 64, 64) and 0 <= float(images.min()) and float(images.max()) <= 1
    one_by_one = torch.cat([net.animate(source, motion[i : i + 1]) for i in range(3)])
    assert largest_gap(images, one_by_one) < 1e-5


def test_a_face_driven_by_itself_keeps_its_keypoints(net):
    portrait = torch.rand(2, 3, 64, 64)
    source = net.source(portrait)
    assert torch.equal(facevid2vid.moved_keypoints(source.canonical, net.motion(portrait)), source.keypoints)
    rendered = net.render(source, net.motion(portrait))
    grid = facevid2vid.coordinates(4, 16, 16, portrait)
    assert largest_gap(rendered.flow, grid.expand(2, -1, -1, -1, -1)) < 1e-6


def test_the_shape_is_found_from_the_keys_and_what_is_none_is_refused(net):
    assert facevid2vid.config_of(net.state_dict()) == TINY
    with pytest.raises(InputError, match="kp_detector is missing"):
        facevid2vid.network_of({})
    with pytest.raises(InputError, match=r"not FaceVid2Vid: resblocks_3d\.3dr0\.conv1\.weight is missing"):
        facevid2vid.network_of({part: {} for part in facevid2vid.PARTS})


def test_spectral_norms_are_folded_into_weights():
    seed = torch.Generator().manual_seed(1)
    weight, u, v = (torch.randn(shape, generator=seed) for shape in ((4, 3, 2, 2), (4,), (12,)))
    state = {"a.weight_orig": weight, "a.weight_u": u, "a.weight_v": v, "a.bias": u}
    made = rendering.folded(state)
    assert set(made) == {"a.weight", "a.bias"}
    assert largest_gap(made["a.weight"], weight / (u @ weight.reshape(4, 12) @ v)) < 1e-5


# Published values.


def close(ours, theirs):
    assert largest_gap(ours, theirs) <= 1e-4 * float(theirs.abs().max())


@pytest.fixture(scope="module")
def published(shared):
    folder = shared / "fixtures/e4s"
    golden = tensors_of(folder / "golden_facevid2vid_filled.safetensors")
    parts = {}
    for part in facevid2vid.PARTS:
        manifest = manifest_of(folder / f"manifest_facevid2vid_{part}.json")

        def kept(name, part=part):
            value = golden.get(f"{part}.{name}")
            return torch.zeros([], dtype=torch.int64) if value is None else value

        parts[part] = filled(manifest, kept)
    return facevid2vid.network_of(parts), golden


def test_the_keys_at_full_size_are_the_published_ones(shared):
    theirs = {}
    for part in facevid2vid.PARTS:
        manifest = shapes_of(manifest_of(shared / f"fixtures/e4s/manifest_facevid2vid_{part}.json"))
        theirs |= {f"{part}.{name}": value for name, value in manifest.items()}
    norms = {name.removesuffix("_orig"): value for name, value in theirs.items() if name.endswith("_orig")}
    plain = {name: value for name, value in theirs.items() if not name.endswith(("_orig", "_u", "_v"))} | norms
    with torch.device("meta"):
        ours = facevid2vid.FaceVid2Vid().state_dict()
    assert keys_and_shapes(ours) == keys_and_shapes(plain)
    assert facevid2vid.config_of(ours) == facevid2vid.Config()


def test_rotations_are_the_published_ones(shared):
    golden = tensors_of(shared / "fixtures/e4s/golden_facevid2vid_filled.safetensors", "rot.")
    none = torch.zeros(3, 3)
    motion = facevid2vid.Motion(golden["yaw"], golden["pitch"], golden["roll"], none, none)
    assert largest_gap(facevid2vid.rotation(motion), golden["matrix"]) < 1e-6


def test_the_whole_network_gives_the_published_values(published):
    net, golden = published
    portrait, frame = golden["in.source_u8"] / 255, golden["in.driving_u8"] / 255
    for name, image in (("source", portrait), ("driving", frame)):
        features = net.he_estimator.features(image)
        for angle, scores in net.he_estimator.bins(features).items():
            close(scores, golden[f"out.{name}.{angle}"])
        motion = net.motion(image)
        for angle in ("yaw", "pitch", "roll"):
            close(getattr(motion, angle), golden[f"out.{name}.{angle}_degree"])
        close(motion.translation, golden[f"out.{name}.t"])
        close(motion.expression.flatten(1), golden[f"out.{name}.exp"])
    source = net.source(portrait)
    close(source.canonical, golden["out.kp_canonical"])
    close(source.keypoints, golden["out.kp_source"])
    close(source.volume[:, :, ::2, ::4, ::4], golden["out.feature3d_stride4"])
    close(facevid2vid.moved_keypoints(source.canonical, motion), golden["out.kp_driving"])
    rendered = net.render(source, motion)
    close(rendered.flow[:, ::2, ::2, ::2], golden["out.deformation_stride2"])
    close(rendered.blend[:, :, ::2, ::4, ::4], golden["out.motion_mask_stride4"])
    close(rendered.occlusion, golden["out.occlusion_map"])
    close(rendered.images, golden["out.prediction"])

    moved = dataclasses.replace(source, keypoints=golden["manual.kp_source"])
    rendered = net.generator(moved.volume, golden["manual.kp_driving"], moved.keypoints)
    close(rendered.flow[:, ::2, ::2, ::2], golden["manual.deformation_stride2"])
    close(rendered.occlusion, golden["manual.occlusion_map"])
    close(rendered.images, golden["manual.prediction"])
