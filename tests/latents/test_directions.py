"""Directions of editing: by hand, and as published."""

import numpy as np
import pytest
from safetensors_file import arrays_of

from vidswap.graph.errors import InputError
from vidswap.latents import directions

RANDOM = np.random.RandomState(5)


@pytest.fixture(scope="module")
def golden(shared):
    return arrays_of(shared / "fixtures/encoders/latent_ops.safetensors", "")


def gap(ours, theirs):
    assert ours.shape == theirs.shape
    return float(np.abs(ours.astype(np.float64) - theirs).max())


def test_a_boundary_separates_what_it_was_made_of():
    codes = RANDOM.randn(300, 12).astype(np.float32)
    normal = np.zeros(12, np.float32)
    normal[3], normal[7] = 0.8, 0.6
    made = directions.boundary(codes, codes @ normal)
    assert made.dtype == np.float32 and np.linalg.norm(made) == pytest.approx(1, abs=1e-6)
    assert made @ normal > 0.98
    assert np.array_equal(made, directions.boundary(codes, codes @ normal))
    with pytest.raises(InputError, match="too few"):
        directions.boundary(codes[:2], np.zeros(2))


def test_a_conditioned_direction_leaves_alone_what_is_held():
    a, b, c = RANDOM.randn(3, 8)
    made = directions.conditioned(a, [b, c])
    assert abs(made @ b) < 1e-9 and abs(made @ c) < 1e-9 and made @ a > 0
    assert gap(directions.conditioned(a, []), a / np.linalg.norm(a)) < 1e-12
    assert gap(directions.conditioned(a, [b, c, b + c]), made) < 1e-9
    with pytest.raises(InputError, match="nothing is left"):
        directions.conditioned(a, [b, a - b])


def test_codes_move_by_a_strength_or_to_a_distance():
    codes = RANDOM.randn(4, 6).astype(np.float32)
    normal = directions.unit(RANDOM.randn(6).astype(np.float32))
    assert gap(directions.moved_to(codes, normal, 2.5) @ normal, np.full(4, 2.5)) < 1e-5
    wplus = np.repeat(codes[:, None], 3, axis=1)
    rows = np.zeros((3, 6), np.float32)
    rows[1] = normal
    moved = directions.moved(wplus, rows, 2)
    assert np.array_equal(moved[:, 0], wplus[:, 0]) and gap(moved[:, 1], codes + 2 * normal) < 1e-6
    assert directions.moved(wplus, normal, np.arange(4.0)).dtype == np.float32
    with pytest.raises(InputError, match="has a length"):
        directions.unit(np.zeros(6))


def test_components_are_found_and_edits_forget_what_was_there():
    codes = RANDOM.randn(500, 6) * np.array([5, 1, 0.2, 3, 0.1, 0.5])
    found = directions.principal_components(codes, 3)
    assert np.abs(found.components).argmax(axis=1).tolist() == [0, 3, 1]
    assert found.deviations == pytest.approx([5, 3, 1], rel=0.1)
    wplus = np.repeat(codes[:2, None], 4, axis=1)
    once = found.edited(wplus, 1, 2.0, slice(1, 3))
    assert gap(found.edited(once + 0, 1, 2.0, slice(3, 3)), once) == 0
    assert np.array_equal(once[:, [0, 3]], wplus[:, [0, 3]]) and not np.array_equal(once[:, 1], wplus[:, 1])
    every = found.edited(wplus, 1, 2.0)
    assert (every[:, 0] - found.mean) @ found.components[1] == pytest.approx(2 * found.deviations[1])
    with pytest.raises(InputError, match="none of 0 to 2"):
        found.edited(wplus, 3, 1)
    with pytest.raises(InputError, match="do not fit"):
        directions.Components(np.zeros(3), np.zeros((2, 4)), np.zeros(2))
    with pytest.raises(InputError, match="cannot be had"):
        directions.principal_components(codes, 7)


def test_no_direction_changes_styles_more_than_the_first():
    weights = [RANDOM.randn(10, 8), RANDOM.randn(4, 8)]
    found, values = directions.closed_form(weights, 3)
    stacked = directions.unit(np.concatenate(weights))
    changes = np.linalg.norm(stacked @ found.T, axis=0) ** 2
    assert changes == pytest.approx(values) and (np.diff(values) < 0).all()
    other = directions.unit(RANDOM.randn(200, 8))
    assert (np.linalg.norm(stacked @ other.T, axis=0) ** 2).max() <= values[0]
    with pytest.raises(InputError, match="no layers"):
        directions.closed_form([])


# Published values.


def test_interfacegan_gives_the_published_values(golden):
    ours = directions.boundary(golden["interfacegan.codes"], golden["interfacegan.scores"])
    assert ours @ golden["interfacegan.boundary"][0] > 0.999
    n = [golden[f"interfacegan.cond.n{i}"][0] for i in range(4)]
    for count in (1, 2, 3):
        made = directions.conditioned(n[0], n[1 : count + 1])
        assert gap(made[None], golden[f"interfacegan.cond.out{count}"]) <= 2e-5
    steps = np.linspace(-3, 3, 7)
    w, wplus = (np.repeat(golden[f"interfacegan.lin.{name}"], 7, axis=0) for name in ("w", "wplus"))
    assert gap(directions.moved_to(w, n[0], steps), golden["interfacegan.lin.w_out"]) <= 2e-5
    assert gap(directions.moved(wplus, n[0], steps), golden["interfacegan.lin.wplus_out"]) <= 2e-5


def test_ganspace_gives_the_published_edits(golden):
    found = directions.Components(golden["ganspace.mean"][0], golden["ganspace.comp"][:, 0], golden["ganspace.std"])
    made = [
        found.edited(code[None], int(component), float(strength), slice(int(first), int(end)))
        for code in golden["ganspace.latents"]
        for component, first, end, strength in golden["ganspace.edits"]
    ]
    assert gap(np.concatenate(made), golden["ganspace.out"]) <= 2e-5


def test_sefa_gives_the_published_directions(golden):
    found, values = directions.closed_form([golden[f"sefa.weight{i}"] for i in range(3)])
    theirs = golden["sefa.vectors.layers012"]
    assert values == pytest.approx(golden["sefa.values.layers012"], abs=2e-5)
    assert np.abs((found * theirs).sum(axis=1)) == pytest.approx(np.ones(12), abs=1e-4)
