import cv2
import numpy as np
import pytest
from mesh_faces import face_row, in_crop

from vidswap.faces import render, texture, topology


@pytest.fixture(scope="module")
def row(astronaut, face_model):
    return face_row(astronaut, face_model)


def test_the_atlas_is_as_symmetric_as_the_mean_face():
    places = texture.atlas_points(400)
    mirrored = places[topology.mirror()] * (-1, 1) + (399, 0)
    assert np.abs(places - mirrored).max() < 1e-2
    assert places.min() > 0 and places.max() < 399


def test_no_triangle_is_folded_in_the_atlas():
    assert (render.signed_areas(texture.atlas_points(400), topology.triangles()) > 0).all()


def test_laid_flat_and_rendered_back_a_portrait_is_itself(row):
    points, crop = in_crop(row), row["crop"][0]
    atlas = texture.unroll(crop, points, 768)
    triangles = topology.triangles()
    raster = render.rasterise(points, triangles, crop.shape[:2])
    maps = render.affine_maps(points, texture.atlas_points(768), triangles)
    back = render.Pyramid(atlas).sample(render.lookup(raster, maps), render.shrinking(maps, raster.ids))
    inside = texture.paint_values(points, texture.facing(points), crop.shape[:2])[raster.window] > 0.6
    difference = np.abs(back.astype(float) - crop[raster.window])[inside & (raster.ids >= 0)]
    assert difference.mean() < 3


def test_a_frontal_face_looks_at_the_viewer():
    towards = texture.facing(topology.canonical())
    assert towards[4] > 0.8
    assert texture.facing(topology.canonical() * (-1, 1, 1))[4] < -0.8


def test_what_one_half_hides_comes_from_the_other():
    colour = np.full((128, 128, 3), 100, np.uint8)
    colour[60:70, 30:40] = 200
    colour[60:70, 88:98] = 0
    alpha = np.ones((128, 128), np.float32)
    alpha[50:80, 80:110] = 0
    whole, shown = texture.complete(colour, alpha)
    assert whole[65, 93].min() > 150
    assert shown[65, 93] > 0.9


def test_what_neither_half_shows_is_filled_smoothly_and_said_to_be_unseen():
    colour = np.full((128, 128, 3), 100, np.uint8)
    colour[:30] = 0
    alpha = np.ones((128, 128), np.float32)
    alpha[:30] = 0
    whole, shown = texture.complete(colour, alpha)
    assert abs(int(whole[5, 64, 0]) - 100) <= 2
    assert shown[5, 64] == 0


def test_hair_over_the_forehead_is_not_taken_for_skin(row):
    _, alpha = texture.build_texture(row["crop"][0], in_crop(row), row["regions"][0], row["person"][0], 256)
    places = texture.atlas_points(256)
    x, y = np.rint(places[topology.FOREHEAD]).astype(int)
    assert alpha[y + 1, x] < 0.5
    x, y = np.rint(places[205]).astype(int)
    assert alpha[y, x] > 0.9


def test_teeth_are_told_from_lips(row):
    teeth = texture.bared_teeth(row["crop"][0], in_crop(row))
    assert teeth.shape == row["crop"][0].shape[:2]
    lips = texture.bared_teeth(np.full_like(row["crop"][0], 120), in_crop(row))
    assert 0 <= teeth.min() and teeth.max() <= 1 and lips.max() <= 1
    opening = np.zeros(teeth.shape, np.uint8)
    cv2.fillPoly(opening, [np.rint(in_crop(row)[list(topology.LIPS_INNER), :2]).astype(np.int32)], 1)
    assert teeth[opening > 0].min() > 0.5 > 0.1 > teeth.mean()


def test_shadows_in_the_corners_of_an_open_mouth_are_not_taken_for_skin(row, grace_hopper, face_model):
    def darkened(shut):
        crop, points = shut["crop"][0].copy(), in_crop(shut)
        for corner in (topology.RIGHT_MOUTH_CORNER, topology.LEFT_MOUTH_CORNER):
            x, y = np.rint(points[corner, :2]).astype(int).tolist()
            cv2.circle(crop, (x, y), 2, (30, 15, 12), -1)
        told = texture.bared_teeth(crop, points)
        return [told[int(y), int(x)] for x, y in np.rint(points[[61, 291], :2])]

    assert min(darkened(row)) > 0.8
    assert max(darkened(face_row(grace_hopper, face_model))) < 0.3


def test_what_is_missing_of_the_lips_is_filled_with_lips():
    colour = np.full((256, 256, 3), 200, np.uint8)
    places = texture.atlas_points(256)
    lips = np.zeros((256, 256), np.uint8)
    cv2.fillPoly(lips, [np.rint(places[list(topology.LIPS_OUTER)]).astype(np.int32)], 1)
    colour[lips > 0] = (150, 60, 60)
    alpha = np.ones((256, 256), np.float32)
    width = np.ptp(places[[61, 291], 0])
    for corner in (61, 291):
        cv2.circle(alpha, np.rint(places[corner]).astype(int).tolist(), round(0.2 * width), 0.0, -1)
    whole, _ = texture.complete(np.where(alpha[..., None] > 0, colour, 0).astype(np.uint8), alpha)
    inside, outside = (cv2.erode(m, np.ones((5, 5), np.uint8)) > 0 for m in (lips, 1 - lips))
    assert np.abs(whole[inside].astype(int) - (150, 60, 60)).max() < 25
    assert np.abs(whole[outside].astype(int) - 200).max() < 25


def test_each_place_is_taken_from_the_portrait_that_shows_it(row):
    colour, alpha = texture.build_texture(row["crop"][0], in_crop(row), row["regions"][0], row["person"][0], 256)
    left, right = alpha.copy(), alpha.copy()
    left[:, 150:] = right[:, :106] = 0
    # The second portrait is darker: it gets the first one's light.
    whole, seen = texture.merged(np.stack([colour, colour // 2]), np.stack([left, right]))
    alone, _ = texture.merged(colour[None], alpha[None])
    assert np.abs(seen - np.maximum(alpha, alpha[:, ::-1])).max() < 1e-6
    sure = (alpha > 0.9) & (np.abs(np.arange(256) - 128) > 30)
    assert np.abs(whole[sure].astype(float) - alone[sure]).mean() < 10


def test_skin_that_was_grown_over_glasses_is_taken_from_a_portrait_without_them(row):
    colour, alpha = texture.build_texture(row["crop"][0], in_crop(row), row["regions"][0], row["person"][0], 256)
    flat, grown = colour.copy(), np.zeros((2, 256, 256), np.float32)
    spot = (slice(60, 90), slice(110, 146))
    flat[spot], grown[0][spot] = 90, 1
    # The one with glasses shows the most of the face.
    parts = np.stack([flat, colour]), np.stack([alpha, 0.9 * alpha])
    alone, _ = texture.merged(colour[None], alpha[None])
    believed, told = (texture.merged(*parts, g)[0] for g in (None, grown))
    inner = (slice(66, 84), slice(116, 140))
    assert np.abs(told[inner].astype(float) - alone[inner]).mean() < 8
    assert np.abs(believed[inner].astype(float) - alone[inner]).mean() > 25


def test_what_no_portrait_shows_without_glasses_is_still_grown():
    alphas, grown = np.ones((2, 64, 64), np.float32), np.zeros((2, 64, 64), np.float32)
    grown[:, 10:20, :20] = 1
    grown[0, 40:50] = 1
    made_up = texture.still_grown(alphas, grown)
    assert (made_up[10:20, :20] == 1).all() and not made_up[40:50].any() and not made_up[10:20, 44:].any()
    # Of a half that is not shown, what is mirrored was grown.
    alphas[:, :, 32:] = 0
    mirrored = texture.still_grown(alphas, grown)
    assert (mirrored[10:20, 44:] == 1).all() and not mirrored[40:50].any()


def test_what_one_of_three_portraits_shows_alone_is_left_out(row):
    colour, alpha = texture.build_texture(row["crop"][0], in_crop(row), row["regions"][0], row["person"][0], 256)
    glare = colour.copy()
    glare[60:80, 110:140] = 255
    cleaned, _ = texture.merged(np.stack([glare, colour, colour]), np.stack([alpha] * 3))
    alone, _ = texture.merged(colour[None], alpha[None])
    spot = (slice(62, 78), slice(112, 138))
    assert np.abs(cleaned[spot].astype(float) - alone[spot]).mean() < 4
    assert np.abs(glare[spot].astype(float) - alone[spot]).mean() > 40


def side_lit(dark, width=0.05, size=192):
    """A face alike on both sides, lit from one: its atlas without and with that light."""
    random = np.random.default_rng(2)
    half = 150 + 3 * cv2.GaussianBlur(random.normal(0, 12, (size, size // 2, 3)).astype(np.float32), (0, 0), 2)
    plain = np.concatenate([half, half[:, ::-1]], 1)
    x = np.arange(size) / size
    light = dark + (1 - dark) / (1 + np.exp(-(x - 0.54) / (0.25 * width)))
    return plain.astype(np.float32), (plain * light[None, :, None]).astype(np.float32)


def test_a_hard_light_from_the_side_is_taken_back():
    plain, lit = side_lit(0.35)
    even = texture.evenly_lit(lit, np.ones((192, 192), np.float32))
    # The lighter half is the portrait's own; of the other, as much stays as faces differ by.
    right = np.s_[10:-10, 140:180]
    assert np.abs(even[right] - lit[right]).max() < 1
    columns = np.log(even[:, 8:-8].mean((0, 2)) / plain[:, 8:-8].mean((0, 2)))
    assert columns.min() > -0.5 and np.log(0.35) < -1
    assert np.abs(np.diff(columns)).max() < 0.8 * np.abs(np.diff(np.log(lit[:, 8:-8].mean((0, 2))))).max()


def test_faces_are_not_made_more_alike_on_both_sides_than_they_are():
    _, lit = side_lit(0.7)
    assert np.abs(texture.evenly_lit(lit, np.ones((192, 192), np.float32)) - lit).max() < 1
    dark = np.full((192, 192, 3), 90, np.float32)
    assert texture.evenly_lit(dark, np.zeros((192, 192), np.float32)) is dark


def test_a_portrait_that_hardly_shows_both_halves_has_a_texture():
    _, lit = side_lit(0.35)
    assert np.isfinite(texture.evenly_lit(lit, np.full((192, 192), np.sqrt(0.5), np.float32))).all()
