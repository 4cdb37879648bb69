import numpy as np
import pytest

from vidswap.faces import topology

RINGS = ["FACE_OVAL", "LIPS_OUTER", "LIPS_INNER", "RIGHT_EYE", "LEFT_EYE", "RIGHT_BROW", "LEFT_BROW", "NOSE"]


def signed_areas(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (points[triangles[:, k], :2] for k in range(3))
    return (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]


@pytest.mark.parametrize("name", RINGS)
def test_rings_run_clockwise_in_the_image_and_name_each_point_once(name):
    ring = getattr(topology, name)
    points = topology.canonical()[list(ring), :2]
    following = np.roll(points, -1, 0)
    assert len(set(ring)) == len(ring)
    assert (points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]).sum() > 0


def test_the_mesh_has_852_triangles_and_898_when_eyes_and_mouth_are_filled():
    assert topology.triangles().shape == (852, 3)
    assert topology.triangles(holes=False).shape == (898, 3)
    assert len(topology.eye_triangles()) == 28
    assert len(topology.mouth_triangles()) == 18


def test_every_triangle_of_the_mean_face_faces_the_viewer():
    assert (signed_areas(topology.canonical(), topology.triangles(holes=False)) >= 0).all()


def edges_with_one_triangle(triangles: np.ndarray) -> set[frozenset[int]]:
    count: dict[frozenset[int], int] = {}
    for triangle in triangles.tolist():
        for k in range(3):
            edge = frozenset((triangle[k], triangle[(k + 1) % 3]))
            count[edge] = count.get(edge, 0) + 1
    assert max(count.values()) == 2
    return {edge for edge, times in count.items() if times == 1}


def ring_edges(ring: tuple[int, ...]) -> set[frozenset[int]]:
    return {frozenset((a, b)) for a, b in zip(ring, ring[1:] + ring[:1], strict=True)}


def test_the_holes_of_the_mesh_are_the_eyes_and_the_mouth():
    holes = ring_edges(topology.RIGHT_EYE) | ring_edges(topology.LEFT_EYE) | ring_edges(topology.LIPS_INNER)
    assert edges_with_one_triangle(topology.triangles()) == ring_edges(topology.FACE_OVAL) | holes
    assert edges_with_one_triangle(topology.triangles(holes=False)) == ring_edges(topology.FACE_OVAL)


def test_the_mean_face_is_its_own_mirror_image():
    mirror, mean = topology.mirror(), topology.canonical()
    assert (mirror[mirror] == np.arange(478)).all()
    np.testing.assert_allclose(mean[mirror] * [-1, 1, 1], mean, atol=1e-6)


def test_mirroring_swaps_left_and_right():
    mirror = topology.mirror()
    assert set(mirror[list(topology.RIGHT_EYE)]) == set(topology.LEFT_EYE)
    assert set(mirror[list(topology.RIGHT_BROW)]) == set(topology.LEFT_BROW)
    assert mirror[topology.RIGHT_MOUTH_CORNER] == topology.LEFT_MOUTH_CORNER
    assert mirror[468] == 473


def test_the_mean_face_has_the_eyes_one_apart_about_the_origin_and_the_subjects_right_on_the_left():
    mean = topology.canonical()
    np.testing.assert_allclose(mean[473] - mean[468], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(mean[473] + mean[468], 0, atol=1e-6)
    assert mean[topology.NOSE_TIP, 2] < 0 < mean[234, 2]
    assert mean[topology.CHIN, 1] > 0


def test_the_tables_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        topology.canonical()[0] = 0
