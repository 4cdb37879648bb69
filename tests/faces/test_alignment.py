import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors_file import arrays_of

from vidswap.faces import alignment
from vidswap.graph.errors import InputError


def upright(x: float = 100, y: float = 80, side: float = 120) -> np.ndarray:
    return np.array([[x, y], [side / 2, 0], [0, side / 2]])


def test_quads_equal_those_of_the_reference(shared):
    golden = np.load(shared / "fixtures" / "e4s" / "golden_alignment.npz")
    axes = alignment.ffhq_axes_dlib(golden["landmarks"])
    np.testing.assert_allclose(axes, np.stack([golden["c"], golden["x"], golden["y"]], 1), rtol=1e-9)
    np.testing.assert_allclose(alignment.quad(axes), golden["quads"], rtol=1e-9)


def test_the_inverse_equals_the_reference_coefficients(shared):
    golden = np.load(shared / "fixtures" / "e4s" / "golden_alignment.npz")
    axes = alignment.ffhq_axes_dlib(golden["landmarks"])
    for size in (64, 256, 1024):
        # The reference speaks of pixel edges: frame + 0.5 to crop + 0.5.
        a, b, c, d, e, f = golden[f"inv_coeffs_{size}"][3, :6]
        edges = alignment.matrix_of_axes(axes[3], size)
        edges[:, 2] += 0.5 - edges[:, :2] @ [0.5, 0.5]
        np.testing.assert_allclose(edges, [[a, b, c], [d, e, f]], rtol=1e-6, atol=1e-6)


def test_quads_and_coefficients_of_a_track_equal_those_of_the_reference(shared):
    golden = arrays_of(shared / "fixtures/encoders/latent_ops.safetensors", "ffhq.")
    axes = alignment.ffhq_axes_dlib(golden["ffhq.landmarks"])
    np.testing.assert_allclose(axes, np.stack([golden["ffhq.c"], golden["ffhq.x"], golden["ffhq.y"]], 1), rtol=1e-9)
    quads = golden["ffhq.quads.smoothed"]  # corners: c - x - y, c - x + y, c + x + y, c + x - y
    for quad, told in zip(quads, golden["ffhq.inv_coeffs.256"], strict=True):
        of_quad = np.stack([quad.mean(axis=0), (quad[3] - quad[0]) / 2, (quad[1] - quad[0]) / 2])
        np.testing.assert_allclose(alignment.quad(of_quad), quad, rtol=1e-9)
        edges = alignment.matrix_of_axes(of_quad, 256)
        edges[:, 2] += 0.5 - edges[:, :2] @ [0.5, 0.5]
        np.testing.assert_allclose(edges, told[:6].reshape(2, 3), rtol=1e-6, atol=1e-6)


def test_the_crop_equals_the_reference(shared):
    golden = np.load(shared / "fixtures" / "stylemask" / "ffhq_align_crop.npz")
    axes = alignment.ffhq_axes_dlib(golden["centre.landmarks"])
    matrix = alignment.matrix_of_axes(axes, 256)
    crop = cv2.warpAffine(golden["centre.image"], matrix, (256, 256), flags=cv2.INTER_LINEAR)
    assert np.abs(crop.astype(int) - golden["centre.crop256"]).mean() <= 2


def test_478_landmarks_give_nearly_the_square_of_dlibs_recipe(astronaut_landmarks):
    axes = alignment.ffhq_axes(astronaut_landmarks)
    c, x = axes[0], axes[1]
    eyes = (astronaut_landmarks[468, :2] + astronaut_landmarks[473, :2]) / 2
    assert np.linalg.norm(c - eyes) < 0.2 * np.linalg.norm(x)
    assert x[0] > 0
    assert abs(x[1]) < 0.2 * x[0]
    np.testing.assert_allclose(axes[2], [-x[1], x[0]])


def test_the_crop_shows_the_quad_from_edge_to_edge():
    axes = upright()
    matrix = alignment.matrix_of_axes(axes, 60)
    corners = alignment.transform(matrix, alignment.quad(axes))
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [-0.5, 59.5], [59.5, 59.5], [59.5, -0.5]], atol=1e-9)


def test_scale_widens_the_square_about_its_centre():
    matrix = alignment.matrix_of_axes(upright(), 60, scale=1.5)
    np.testing.assert_allclose(alignment.transform(matrix, np.array([100.0, 80.0])), 29.5)
    assert alignment.scale_of(matrix) == pytest.approx(60 / 180)


@settings(max_examples=50, deadline=None)
@given(st.floats(-3, 3), st.floats(8, 900), st.floats(-500, 2500), st.integers(16, 1024))
def test_there_and_back_is_where_one_was(angle, side, at, size):
    x = side / 2 * np.array([np.cos(angle), np.sin(angle)])
    axes = np.stack([[at, 300.0], x, [-x[1], x[0]]])
    matrix = alignment.matrix_of_axes(axes, size)
    points = np.random.default_rng(0).uniform(-100, 2000, (5, 3))
    back = alignment.transform(alignment.inverse(matrix), alignment.transform(matrix, points))
    np.testing.assert_allclose(back, points, atol=1e-6)


@pytest.mark.parametrize(("side", "size"), [(10, 64), (64, 64), (65, 96), (250, 256), (800, 832), (3000, 1024)])
def test_the_automatic_size_is_the_next_step(side, size):
    assert alignment.crop_size(upright(side=side), "auto") == size


def test_a_size_out_of_range_is_refused():
    assert alignment.crop_size(upright(), 300) == 300
    with pytest.raises(InputError, match="between 16 and 4096"):
        alignment.crop_size(upright(), 8)
    with pytest.raises(InputError, match="'auto'"):
        alignment.crop_size(upright(), "big")


def test_axes_without_length_are_refused():
    with pytest.raises(ValueError, match="some length"):
        alignment.matrix_of_axes(np.zeros((3, 2)), 64)


@given(st.floats(-180, 180), st.floats(0.3, 3), st.floats(-40, 40), st.floats(-40, 40))
def test_a_crop_lies_beyond_the_frame_where_its_pixels_come_from_there(degrees, scale, x, y):
    angle = np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.concatenate([turn, [[x], [y]]], 1)
    found = alignment.beyond(matrix, 24, 30, 20)
    rows, columns = np.mgrid[0:24, 0:24]
    places = alignment.transform(alignment.inverse(matrix), np.stack([columns, rows], -1).reshape(-1, 2))
    inside = ((places > -0.5) & (places < (29.5, 19.5))).all(1).reshape(24, 24)
    near = np.abs(places[:, None] - [(-0.5, -0.5), (29.5, 19.5)]).min((1, 2)).reshape(24, 24) < 1e-6
    assert (found != inside)[~near].all()
