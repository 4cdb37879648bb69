"""The renderer against the plain formulation: one warpAffine and one mask per triangle, far triangles first."""

import cv2
import numpy as np

from vidswap.faces import render, topology
from vidswap.faces.texture import atlas_points

TRIANGLES = topology.triangles(holes=False)


def smooth_image(size, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 6), None, 0, 255, cv2.NORM_MINMAX)


def face_at(size, yaw=0.0):
    mean = topology.canonical().astype(np.float64)
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    turned = np.stack([c * mean[:, 0] + s * mean[:, 2], mean[:, 1], c * mean[:, 2] - s * mean[:, 0]], 1)
    return turned * 0.3 * size + (0.503 * size, 0.347 * size, 0)


def plain_render(points, places, texture, size):
    """The oracle: affine by affine, painted over one another."""
    out = np.zeros((size, size, 3), np.float32)
    order = np.argsort(-points[TRIANGLES, 2].sum(1), kind="stable")
    for triangle in TRIANGLES[order]:
        to, source = points[triangle, :2].astype(np.float32), places[triangle].astype(np.float32)
        (a, b, c) = to
        if (b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0] <= 1e-3:
            continue
        warped = cv2.warpAffine(texture, cv2.getAffineTransform(source, to), (size, size), flags=cv2.INTER_CUBIC)
        mask = np.zeros((size, size), np.uint8)
        cv2.fillConvexPoly(mask, np.rint(to * 16).astype(np.int32), 1, cv2.LINE_8, 4)
        out[mask > 0] = warped[mask > 0]
    return out


def test_it_shows_what_a_warp_per_triangle_shows():
    texture = smooth_image(300)
    places = atlas_points(300)
    for yaw in (0.0, 35.0):
        points = face_at(200, yaw)
        raster = render.rasterise(points, TRIANGLES, (200, 200))
        maps = render.affine_maps(points, places, TRIANGLES)
        ours = np.zeros((200, 200, 3), np.float32)
        ours[raster.window] = render.Pyramid(texture, 1).sample(render.lookup(raster, maps), 1.0)
        seen = np.zeros((200, 200), bool)
        seen[raster.window] = raster.ids >= 0
        difference = np.abs(ours - plain_render(points, places, texture, 200))[seen]
        assert difference.mean() < 0.8
        assert np.percentile(difference, 99) < 4


def test_the_same_points_read_the_same_pixels():
    points = face_at(180)
    raster = render.rasterise(points, TRIANGLES, (180, 180))
    places = render.lookup(raster, render.affine_maps(points, points, TRIANGLES))
    y, x = np.nonzero(raster.ids >= 0)
    assert np.abs(places[y, x] - np.stack([x + raster.x0, y + raster.y0], 1)).max() < 2e-2


def test_half_a_pixel_is_half_a_pixel():
    points = face_at(180)
    moved = points + (0.5, 0.25, 0)
    raster = render.rasterise(moved, TRIANGLES, (180, 180))
    places = render.lookup(raster, render.affine_maps(moved, points, TRIANGLES))
    y, x = np.nonzero(raster.ids >= 0)
    apart = np.stack([x + raster.x0, y + raster.y0], 1) - places[y, x]
    assert np.allclose(apart, (0.5, 0.25), atol=2e-2)


def test_nearer_triangles_hide_farther_ones_and_backs_are_not_painted():
    points = np.array([[2, 2, 5], [18, 2, 5], [2, 18, 5], [4, 4, -5], [12, 4, -5], [4, 12, -5], [18, 18, -9]], float)
    triangles = np.array([[3, 4, 5], [0, 1, 2], [1, 2, 6]], np.int32)
    raster = render.rasterise(points, triangles, (20, 20))
    full = np.full((20, 20), -1)
    full[raster.window] = raster.ids
    assert full[6, 6] == 0 and full[3, 14] == 1 and full[17, 17] == -1


def test_what_lies_outside_of_the_image_is_left_out():
    assert render.rasterise(face_at(100) + (500, 0, 0), TRIANGLES, (100, 100)).ids.size == 0
    half = render.rasterise(face_at(100) + (50, 0, 0), TRIANGLES, (100, 100))
    assert half.ids.shape[1] + half.x0 == 100 and (half.ids >= 0).any()
    assert render.rasterise(np.full((478, 3), np.nan), TRIANGLES, (100, 100)).ids.size == 0


def test_a_list_of_pixels_reads_what_the_whole_image_reads():
    points, texture = face_at(180), smooth_image(180)
    raster = render.rasterise(points, TRIANGLES, (180, 180))
    maps = render.affine_maps(points, points + (1.3, 0, 0), TRIANGLES)
    whole = render.Pyramid(texture, 1).sample(render.lookup(raster, maps), 1.0)
    wanted = np.flatnonzero(raster.ids >= 0)[::7]
    some = render.sample_some(texture, raster, maps, wanted)
    assert np.abs(some.astype(int) - whole.reshape(-1, 3)[wanted]).max() <= 4


def test_a_coarse_raster_reads_the_same_places():
    points = face_at(400)
    fine = render.rasterise(points, TRIANGLES, (400, 400))
    coarse = render.rasterise(points, TRIANGLES, (400, 400), margin=2, step=2)
    maps = render.affine_maps(points, points * 1.2 + (3, 5, 0), TRIANGLES)
    places = []
    for raster in (fine, coarse):
        whole = np.full((400, 400, 2), -1e4, np.float32)
        whole[raster.window] = render.lookup(raster, maps)
        places.append(whole)
    seen = np.zeros((400, 400), bool)
    seen[fine.window] = fine.ids >= 0
    assert coarse.ids.size < 0.3 * fine.ids.size
    assert np.abs(places[0] - places[1])[seen].max() < 0.05
    texture = smooth_image(480)
    wanted = np.flatnonzero(fine.ids >= 0)[::5]
    row, column = np.divmod(wanted, fine.ids.shape[1])
    row, column = row + fine.y0 - 2 * coarse.y0, column + fine.x0 - 2 * coarse.x0
    same = render.sample_some(texture, coarse, maps, row * coarse.ids.shape[1] * 2 + column)
    assert np.abs(same.astype(int) - render.sample_some(texture, fine, maps, wanted)).max() <= 2


def test_a_shrunk_texture_is_averaged():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    x, y = np.meshgrid(np.arange(16, dtype=np.float32), np.arange(16, dtype=np.float32))
    places = np.stack([x * 16 + 7.5, y * 16 + 7.5], 2)
    assert np.ptp(render.Pyramid(stripes).sample(places, 16.0)) <= 2


def test_only_where_a_part_stands_before_another_are_contours_smoothed():
    # A sheet of two triangles, and before its middle a smaller, bright one that does not hang together with it.
    corners = np.array([[5, 5, 9], [95, 5, 9], [95, 95, 9], [5, 95, 9], [30, 25, 1], [75, 40, 1], [45, 80, 1]], float)
    places = np.array([[0, 0], [60, 0], [60, 60], [0, 60], [100, 100], [127, 100], [100, 127]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6]])
    texture = np.full((128, 128, 4), 255, np.uint8)
    texture[..., :3] = 40
    texture[90:, 90:, :3] = 200
    for step in (1, 2):
        raster = render.rasterise(corners, triangles, (100, 100), step=step)
        maps = render.affine_maps(corners, places, triangles)
        hard = render.Pyramid(texture, 1).paint(raster, maps, 1.0)
        soft = hard.copy()
        render.soften_contours(soft, raster, maps, 1.0, 128)
        changed = (soft != hard).any(2)
        bright = (hard[..., 0] > 120).astype(np.uint8)
        near = cv2.dilate(bright, np.ones((9, 9), np.uint8)) - cv2.erode(bright, np.ones((9, 9), np.uint8))
        assert changed.sum() > 100 and not changed[near == 0].any()
        assert np.isin(hard[..., 0][changed], (40, 200)).all() and np.ptp(soft[..., 0][changed]) > 30
        across = [np.abs(np.diff(image[..., 0].astype(int), axis=1))[near[:, 1:] > 0].max() for image in (hard, soft)]
        assert across[0] == 160 and across[1] < 110
        assert (soft[..., 3] == hard[..., 3]).all()


def test_a_face_from_the_front_has_no_contours_before_itself():
    points = face_at(200)
    raster = render.rasterise(points, TRIANGLES, (200, 200))
    maps = render.affine_maps(points, atlas_points(768), TRIANGLES)
    image = np.random.default_rng(0).integers(1, 256, (*raster.ids.shape, 4)).astype(np.uint8)
    smoothed = image.copy()
    render.soften_contours(smoothed, raster, maps, render.shrinking(maps, raster.ids), 768)
    assert (smoothed != image).any(2).mean() < 0.01
