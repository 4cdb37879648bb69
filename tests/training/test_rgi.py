"""E4S learns to reconstruct pictures with label maps that are drawn here, and each code keeps to its region."""

import cv2
import numpy as np
import pytest
import torch

from vidswap import weights
from vidswap.faces.label_maps import write_label_map
from vidswap.graph import InputError
from vidswap.inversion.losses import LossNetworks
from vidswap.nets import discriminator, rgi_encoder, rgi_keys, stylegan2
from vidswap.nets.layers import seeded
from vidswap.training import rgi
from vidswap.training.exporting import export
from vidswap.training.loop import Plan, Run
from vidswap.training.pictures import Pictures, pairs_of

SIDE = 64
LIP, EYES, HAIR, SKIN = 1, 3, 4, 6


def face(seed):
    """A head of five regions, each in a colour of its own."""
    random = np.random.default_rng(seed)
    labels = np.zeros((SIDE, SIDE), np.uint8)
    cx, cy = random.uniform(0.46, 0.54, 2)

    def ellipse(x, y, a, b, region):
        box = ((x * SIDE, y * SIDE), (2 * a * SIDE, 2 * b * SIDE), 0)
        cv2.ellipse(labels, box, region, -1)

    ellipse(cx, cy - 0.10, 0.44, 0.44, HAIR)
    ellipse(cx, cy + 0.08, 0.34, 0.40, SKIN)
    ellipse(cx, cy + 0.26, 0.13, 0.06, LIP)
    for side in (-1, 1):
        ellipse(cx + side * 0.13, cy - 0.04, 0.07, 0.05, EYES)
    return random.uniform(0, 255, (12, 3))[labels].astype(np.uint8), labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("faces")
    for part in ("pictures", "labels"):
        (made / part).mkdir()
    for seed in range(8):
        image, labels = face(seed)
        cv2.imwrite(str(made / "pictures" / f"{seed}.png"), image[..., ::-1])
        write_label_map(made / "labels" / f"{seed}.png", labels)
    return made


def pictures(folder, batch=4):
    pairs = pairs_of(folder / "pictures", folder / "labels")
    return Pictures(pairs, "regions", resolution=SIDE, label_side=SIDE, batch=batch, seed=0)


def network(width=8):
    config = stylegan2.Config((width,) * 5, z_dim=16, w_dim=16, mapping_layers=2)
    generator = seeded(lambda: stylegan2.Generator(config), 1)
    return generator, rgi.built(generator, regions=7, encoder_widths=(16,) * 5)


def test_reconstruction_improves_and_a_code_keeps_to_its_region(folder, tmp_path, monkeypatch):
    # Encoded at the size of the pictures: the trunk at 256 px would take most of the time.
    monkeypatch.setattr(rgi_encoder, "INPUT_SIDE", SIDE)
    net = network()[1]
    task = rgi.RGITask(net, pictures(folder), LossNetworks(), rgi.Options())
    plan = Plan(steps=115, batch=4, lr=0.015, betas=(0.9, 0.99), lr_drops=(95,), ema=0.9, log_every=5)
    run = Run(task, plan, tmp_path / "run", settings={"what": "rgi"})
    outcome = run.train()
    assert outcome.last["mse"] < 0.1 * outcome.first["mse"]
    assert {"adversarial", "critic_total"} <= set(outcome.first)

    tensors, mean = rgi_keys.into_published(run.exported())
    target = tmp_path / "rgi.safetensors"
    export(tensors, target, licence="mine", beside=mean)
    read = weights.load(target)
    assert read.parts[""].network == "e4s"
    trained = rgi_keys.network_of(read.part(""), read.latent_avg)

    images, labels = pictures(folder, batch=8)(0)
    with torch.no_grad():
        codes = trained.encode(images, labels)
        before = trained(codes, labels)
        assert float((before - images).square().mean()) < 0.06
        for region in (LIP, EYES, HAIR, SKIN):
            changed = codes.clone()
            changed[:, region] = codes.roll(1, 0)[:, region]
            moved = (trained(changed, labels) - before).abs().mean(1)
            inside, outside = moved[labels == region].mean(), moved[labels != region].mean()
            assert float(outside) < 0.1 * float(inside), region


def test_what_no_mask_guides_is_not_trained(folder, monkeypatch):
    monkeypatch.setattr(rgi_encoder, "INPUT_SIDE", SIDE)
    net = network()[1]
    task = rgi.RGITask(net, pictures(folder, batch=1), LossNetworks(), rgi.Options(adversarial=0))
    assert set(task.players) == {"net"}
    next(iter(task.turns(0, task.batch(0)))).losses()["total"].backward()
    without = {name for name, parameter in net.named_parameters() if parameter.grad is None}
    assert all(name.startswith(("G.mapping.", "G.synthesis.b64.torgb.")) for name in without)
    # Regions that none of the pictures shows have no vectors, yet their MLPs give codes.
    assert "MLPs.2.mlp.2.bias" not in without


def test_at_full_size_the_frozen_layers_are_those_of_the_release():
    config = stylegan2.Config((2,) * 9, z_dim=4, w_dim=4, mapping_layers=1)
    generator = seeded(lambda: stylegan2.Generator(config), 1)
    net = rgi.built(generator, encoder_widths=(16,) * 5)
    frozen = rgi.frozen_modules(net)
    names = [name for name, module in net.G.synthesis.named_modules() if any(module is f for f in frozen)]
    assert names == [
        "b256.torgb",
        "b512.conv0",
        "b512.conv1",
        "b512.torgb",
        "b1024.conv0",
        "b1024.conv1",
        "b1024.torgb",
    ]
    assert net.G.mapping is frozen[0]
    assert net.config.rows == 13


def test_pairs_come_in_another_order_each_epoch_and_half_of_them_mirrored(folder):
    given = pictures(folder, batch=8)
    (first, _), (again, _), (second, labels) = given(0), given(0), given(1)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    stored = [given.pair(i)[0] for i in range(8)]
    mirrored = 0
    for image in ((second + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy():
        same = [i for i in range(8) if np.array_equal(stored[i], image)]
        turned = [i for i in range(8) if np.array_equal(stored[i][:, ::-1], image)]
        assert len(same) + len(turned) == 1
        mirrored += len(turned)
    assert 1 <= mirrored <= 7
    assert labels.shape == (8, SIDE, SIDE)
    assert int(labels.max()) == SKIN


def test_folders_that_do_not_go_together_are_told(folder, tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        pairs_of(tmp_path / "none", folder / "labels")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        pairs_of(tmp_path / "empty", folder / "labels")
    some = tmp_path / "some"
    some.mkdir()
    cv2.imwrite(str(some / "0.png"), np.zeros((64, 64), np.uint8))
    with pytest.raises(InputError, match=r"no label map 1.png for 1.png and 6 more"):
        pairs_of(folder / "pictures", some)
    cv2.imwrite(str(some / "0.png"), np.zeros((64, 48), np.uint8))
    with pytest.raises(InputError, match=r"0.png: is 48x64; aligned faces and their label maps are square"):
        pairs_of(some, some)
    (some / "0.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="cannot be read as a picture"):
        pairs_of(some, some)


def test_labels_that_are_none_are_told_with_their_file(folder, tmp_path):
    wrong = tmp_path / "labels"
    wrong.mkdir()
    for seed in range(8):
        cv2.imwrite(str(wrong / f"{seed}.png"), np.full((SIDE, SIDE), 14, np.uint8))
    given = Pictures(pairs_of(folder / "pictures", wrong), "regions", resolution=SIDE, label_side=SIDE, batch=1, seed=0)
    with pytest.raises(InputError, match=r"\d.png: label 14 is none of 0..11"):
        given(0)


def test_a_discriminator_of_another_size_is_refused(folder):
    other = discriminator.Discriminator(discriminator.Config((8, 8)))
    with pytest.raises(InputError, match="a discriminator of 8 px for a generator of 64 px"):
        rgi.RGITask(network()[1], pictures(folder), LossNetworks(), rgi.Options(), critic=other)
