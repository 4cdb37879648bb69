"""The compiled loops of rendering, against plain formulations of the same."""

import cv2
import numpy as np
import pytest

from vidswap.faces import painting
from vidswap.faces.render import packed


@pytest.fixture
def random():
    return np.random.default_rng(5)


def test_triangles_cover_what_lies_within_them_and_half_a_pixel_more():
    points = np.array([[4.0, 3.0], [25.0, 7.0], [11.0, 27.0]])
    ids = np.full((32, 32), -1, np.int32)
    painting.paint_triangles(ids, points, np.array([[0, 1, 2]]), np.array([0]))
    y, x = np.mgrid[:32, :32]
    contour = points.astype(np.float32)
    distance = np.array(
        [[cv2.pointPolygonTest(contour, (float(a), float(b)), True) for a in range(32)] for b in range(32)]
    )
    assert (ids[distance > 0] == 0).all()
    # Corners reach further than half a pixel, edges do not.
    near = np.min([np.hypot(x - px, y - py) for px, py in points], 0) < 2
    assert (ids[(distance < -0.51) & ~near] == -1).all()
    assert (ids[(distance > -0.49) & ~near] == 0).all()


def test_later_triangles_lie_over_earlier_ones_and_nothing_is_painted_outside():
    points = np.array([[-5.0, -5.0], [40.0, -5.0], [-5.0, 40.0], [8.0, 8.0], [9.0, 8.0], [8.0, 9.0]])
    ids = np.full((12, 12), -1, np.int32)
    painting.paint_triangles(ids, points, np.array([[0, 1, 2], [3, 4, 5]]), np.array([0, 1]))
    assert ids[8, 8] == 1 and ids[0, 0] == 0 and (ids >= 0).all()


def test_a_texture_is_read_as_opencv_reads_it(random):
    texture = random.integers(0, 256, (40, 50, 4)).astype(np.uint8)
    ids = np.zeros((20, 24), np.int32)
    ids[5:8, 6:9] = -1
    affine = np.array([[1.3, 0.2, 3.0, -0.1, 1.4, 4.0]], np.float32)
    out = np.full((20, 24, 4), 7, np.uint8)
    corner, none = (2, 3, 1), np.zeros((1, 2), np.float32)
    painting.sample_texture(packed(out), ids, corner, affine, none, none, np.array([False]), packed(texture), 1.0)
    x, y = np.meshgrid(np.arange(24, dtype=np.float32) + 2, np.arange(20, dtype=np.float32) + 3)
    places = [(affine[0, k] * x + affine[0, k + 1] * y + affine[0, k + 2]).astype(np.float32) for k in (0, 3)]
    expected = cv2.remap(texture.astype(np.float32), *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    read = ids >= 0
    # OpenCV rounds places to 1/32 of a pixel.
    assert np.abs(out[read].astype(float) - expected[read]).max() < 12
    assert np.abs(out[read].astype(float) - expected[read]).mean() < 2
    assert (out[~read] == 7).all()


def test_blocks_read_every_pixel_at_its_own_place(random):
    texture = random.integers(0, 256, (64, 64, 4)).astype(np.uint8)
    affine = np.array([[0.9, 0.0, 1.0, 0.0, 0.8, 2.0]], np.float32)
    none, flat = np.zeros((1, 2), np.float32), np.array([False])
    whole, blocks = np.zeros((20, 20, 4), np.uint8), np.zeros((20, 20, 4), np.uint8)
    given = (affine, none, none, flat, packed(texture), 1.0)
    painting.sample_texture(packed(whole), np.zeros((20, 20), np.int32), (4, 6, 1), *given)
    painting.sample_texture(packed(blocks), np.zeros((10, 10), np.int32), (2, 3, 2), *given)
    assert np.array_equal(whole, blocks)


def test_means_over_cells_count_each_pixel_once_and_only_what_is_rendered(random):
    target = random.integers(0, 256, (24, 36, 3)).astype(np.uint8)
    rendered = random.integers(0, 256, (24, 36, 4)).astype(np.uint8)
    rendered[:, :10, 3] = 0
    shown = random.random((24, 36), np.float32)
    means, own, weight = painting.shrink_seen(target, rendered, shown, (6, 9))
    cells = target.reshape(6, 4, 9, 4, 3).mean((1, 3))
    assert np.allclose(means, cells, atol=1e-3)
    assert np.allclose(weight, shown.reshape(6, 4, 9, 4).mean((1, 3)), atol=1e-5)
    assert (own[:, :2] == 0).all()
    partly = rendered[:4, 8:12]
    seen = partly[..., 3] > 0
    assert np.allclose(own[0, 2], partly[seen][:, :3].mean(0), atol=1e-3)


def test_light_is_interpolated_as_opencv_does(random):
    rendered = random.integers(0, 256, (30, 44, 4)).astype(np.uint8)
    rendered[..., 3] |= 1
    rendered[3, 4, 3] = 0
    gain = random.random((7, 9, 3), np.float32) + 0.5
    offset = (random.random((7, 9, 3), np.float32) - 0.5) * 40
    out = np.full((30, 44, 3), 9, np.uint8)
    painting.relight_seen(out, rendered, np.eye(3, dtype=np.float32), gain, offset)
    fields = [cv2.resize(f, (44, 30), interpolation=cv2.INTER_LINEAR) for f in (gain, offset)]
    expected = np.clip(np.rint(rendered[..., :3] * fields[0] + fields[1]), 0, 255)
    expected[3, 4] = 9
    assert np.abs(out - expected).max() <= 1
