import cv2
import numpy as np
import pytest

from vidswap.faces import matching


def textured(seed=0, size=64, level=120):
    noise = np.random.default_rng(seed).normal(0, 25, (size, size, 3)).astype(np.float32)
    return np.clip(level + cv2.GaussianBlur(noise, (0, 0), 1.0) * 3, 0, 255).astype(np.float32)


ONES = np.ones((64, 64), np.float32)


def relit(image: np.ndarray, gain: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """image (h, w, 3) uint8 or float32 under a field of any size; of its own type, 0..255."""
    size = (image.shape[1], image.shape[0])
    gain = cv2.resize(gain, size, interpolation=cv2.INTER_LINEAR)
    offset = cv2.resize(offset, size, interpolation=cv2.INTER_LINEAR)
    lit = cv2.multiply(image, gain, dtype=cv2.CV_32F)
    if image.dtype == np.uint8:
        return cv2.add(lit, offset, dtype=cv2.CV_8U)
    cv2.add(lit, offset, dst=lit)
    return np.clip(lit, 0, 255, out=lit)


def test_a_face_in_its_own_light_is_left_alone():
    image = textured()
    gain, offset = matching.light_field(image, image, ONES, ONES, 6.0)
    assert np.abs(relit(image, gain, offset) - image).max() < 1e-2


def test_broad_light_comes_from_the_target_and_detail_from_the_source():
    source = textured(0)
    slope = np.linspace(0.6, 1.4, 64, dtype=np.float32)[None, :, None]
    target = textured(1) * slope
    lit = relit(source, *matching.light_field(target, source, ONES, ONES, 6.0))
    broad = [cv2.GaussianBlur(i, (0, 0), 8)[8:-8, 8:-8] for i in (lit, target)]
    assert np.abs(broad[0] - broad[1]).mean() < 6
    detail = [(i - cv2.GaussianBlur(i, (0, 0), 3)).ravel() for i in (lit, source, target)]
    assert np.corrcoef(detail[0], detail[1])[0, 1] > 0.9 > 0.2 > np.corrcoef(detail[0], detail[2])[0, 1]


def test_haze_takes_contrast_away():
    source = textured(0)
    clear, hazy = textured(1), textured(1) * 0.3 + 120
    spread = [relit(source, *matching.light_field(t, source, ONES, ONES, 6.0)).std() for t in (clear, hazy)]
    assert spread[1] < 0.6 * spread[0]


def test_a_floor_that_is_known_keeps_contrast_steady_where_single_frames_err():
    source = textured(0)
    errs = [textured(1), textured(1)]
    errs[1][20:23, 20:40] -= 60
    known = np.full(3, np.percentile(errs[0], 1), np.float32)
    alone, told = (
        [relit(source, *matching.light_field(t, source, ONES, ONES, 6.0, (floor, None))).std() for t in errs]
        for floor in (None, known)
    )
    assert abs(told[1] - told[0]) < 0.3 * abs(alone[1] - alone[0])


def test_a_dark_object_on_one_face_does_not_brighten_the_other():
    source, target = textured(0), textured(1)
    target[20:26] = 5
    lit = relit(source, *matching.light_field(target, source, ONES, ONES, 6.0))
    assert abs(lit[40:60].mean() - target[40:60].mean()) < 8
    assert lit[20:26].mean() > 80


def strongest(image):
    luma = image.mean(2)
    band = np.abs(cv2.GaussianBlur(luma, (0, 0), 0.8) - cv2.GaussianBlur(luma, (0, 0), 1.6))
    return np.percentile(band, 97)


def test_a_sharp_face_is_blurred_to_a_soft_shot_and_a_soft_one_is_not_sharpened():
    sharp = textured(0)
    soft = cv2.GaussianBlur(textured(1), (0, 0), 2.5)
    blurred = matching.match_sharpness(sharp, soft.astype(np.uint8), ONES)
    assert strongest(blurred) < 0.3 * strongest(sharp)
    assert matching.match_sharpness(soft, sharp.astype(np.uint8), ONES) is soft


def test_grain_is_the_targets_own_and_no_more_than_it_has():
    noise = np.random.default_rng(3).normal(0, 6, (64, 64, 3))
    target = np.clip(120 + noise, 0, 255).astype(np.uint8)
    smooth = np.full((64, 64, 3), 120, np.float32)
    grainy = matching.match_grain(smooth, target, ONES)
    assert 0.6 < (grainy - smooth).std() / noise.std() < 1.05
    assert np.corrcoef((grainy - smooth).ravel(), noise.ravel())[0, 1] > 0.9
    assert matching.match_grain(smooth, np.full((64, 64, 3), 120, np.uint8), ONES) is smooth
    again = matching.match_grain(grainy, target, ONES)
    assert (again - grainy).std() < 0.5 * noise.std()


def portrait_of_pores(seed=5):
    """(128, 128, 3) uint8: skin with pores, and two dark lines of three pixels across it."""
    noise = np.random.default_rng(seed).normal(0, 4, (128, 128, 1))
    image = np.repeat(130 + noise, 3, 2)
    image[40:43], image[:, 90:93] = 60, 70
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def test_pores_shrink_to_those_of_the_target_and_lines_stay():
    rough, cover = portrait_of_pores(), np.ones((128, 128), np.float32)
    smooth = np.clip(np.random.default_rng(6).normal(130, 1, (128, 128, 1)), 0, 255).repeat(3, 2).astype(np.uint8)
    before = rough.copy()
    tamed = matching.match_grain(rough, smooth, cover)
    assert np.array_equal(rough, before)
    plain = np.s_[60:, :80]
    assert tamed[plain].std() < 0.6 * rough[plain].std()
    assert 130 - tamed[41, :80].mean() > 0.85 * 70
    assert 130 - tamed[60:, 91].mean() > 0.85 * 60
    np.testing.assert_allclose(matching.match_grain(rough.astype(np.float32), smooth, cover), tamed, atol=1)


def test_skin_as_rough_as_the_targets_stays_as_it_is():
    cover = np.ones((128, 128), np.float32)
    assert (
        matching.match_grain(portrait_of_pores(), portrait_of_pores(7), cover).std() > 0.98 * portrait_of_pores().std()
    )
    rough = portrait_of_pores()
    assert matching.match_grain(rough, rough, cover) is rough


@pytest.mark.parametrize("shape", [(65, 130), (129, 64), (331, 97), (402, 411)])
def test_grain_of_windows_of_any_size(shape):
    random = np.random.default_rng(8)
    rough = random.integers(100, 160, (*shape, 1)).astype(np.uint8).repeat(3, 2)
    even = np.full((*shape, 3), 130, np.uint8)
    cover = np.ones(shape, np.float32)
    assert matching.match_grain(rough, even, cover).std() < 0.8 * rough.std()
    assert matching.match_grain(even, rough, cover).std() > 0.3 * rough.std()


def test_spread_reaches_where_there_is_no_weight():
    values = np.zeros((64, 64, 1), np.float32)
    values[:, 32:] = 100
    weight = np.zeros((64, 64), np.float32)
    weight[20:40, 40:50] = 1
    assert np.abs(matching.spread(values, weight, 2.0) - 100).max() < 1


def test_smoothstep_is_flat_at_both_ends():
    assert matching.smoothstep(np.array([-1, 0, 0.5, 1, 2]), 0, 1).tolist() == [0, 0, 0.5, 1, 1]


def test_a_blink_changes_nothing_of_the_light_where_a_portraits_floor_is_known():
    source, target = textured(0), textured(1)
    source[20:26, 20:44] = 10
    shut = source.copy()
    shut[20:26, 20:44] = source[30:36, 20:44]
    known = matching.floor_of(source, ONES > 0.5)
    cheek = np.s_[44:60, 8:56]
    alone, told = (
        [relit(s, *matching.light_field(target, s, ONES, ONES, 6.0, (None, floor)))[cheek] for s in (source, shut)]
        for floor in (None, known)
    )
    assert np.abs(told[1] - told[0]).mean() < 0.2 * np.abs(alone[1] - alone[0]).mean()


def blown_out(share):
    """A face of skin whose right part is overexposed: target and rendered (96, 96, 3) float32, and the weight."""
    skin = np.array([230, 175, 155], np.float32)
    target = np.broadcast_to(skin, (96, 96, 3)).copy()
    target[:, round(96 * (1 - share)) :] = 255
    rendered = np.broadcast_to(0.75 * skin, (96, 96, 3)).copy()
    return target, rendered, np.ones((96, 96), np.float32), skin


def test_a_few_highlights_are_the_skins():
    target, _, weight, _ = blown_out(0.05)
    assert matching.overexposed(target, weight) is None
    clipped = matching.overexposed(blown_out(0.5)[0], weight)
    assert clipped[:, :48].max() == 0 and clipped[:, 48:].min() == 1


def test_under_a_light_that_blows_skin_out_dark_things_stay_as_grey_as_they_are():
    target, rendered, weight, skin = blown_out(0.5)
    bright = matching.beyond_white(target, matching.overexposed(target, weight), skin)
    assert np.array_equal(bright[:, :48], target[:, :48])
    np.testing.assert_allclose(
        bright[:, 48:] / bright[:, 48:, 2:], np.broadcast_to(skin / skin[2], (96, 48, 3)), rtol=0.01
    )
    rendered[40:44, 80:84] = 60
    plain, meant = (
        gain[42, 82] * 60 + offset[42, 82]
        for gain, offset in (matching.light_field(t, rendered, weight, weight, 8.0) for t in (target, bright))
    )
    assert np.ptp(meant) < 6 < np.ptp(plain)
    gain, offset = matching.light_field(bright, rendered, weight, weight, 8.0)
    assert (rendered[10, 85] * gain[10, 85] + offset[10, 85]).min() > 250


def test_at_night_a_face_has_no_more_contrast_than_its_light_gives_it():
    _, rendered, weight, skin = blown_out(0.5)
    rendered[40:44, 80:84] *= 0.3
    target = np.broadcast_to(0.12 * skin, rendered.shape).astype(np.float32)
    gain, offset = matching.light_field(target, rendered, weight, weight, 8.0, (np.zeros(3), np.zeros(3)))
    lit = rendered * gain + offset
    assert lit[42, 82].min() > 0.15 * lit[10, 80].min()
    assert lit[10, 80] == pytest.approx(target[10, 80], abs=1)
