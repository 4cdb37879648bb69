import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors_file import arrays_of

from vidswap.faces import smoothing, topology

EYES_APART = 100.0


def still_face(count: int) -> np.ndarray:
    """(count, 478, 3) the mean face at rest, in pixels."""
    return np.repeat(topology.canonical()[None] * EYES_APART + [500, 400, 0], count, 0)


def noisy(landmarks: np.ndarray, seed: int = 0) -> np.ndarray:
    """Landmarks with noise as measured on footage: of place and size, of slow bends of the face, and of points."""
    rng = np.random.default_rng(seed)
    count, mean = len(landmarks), topology.canonical()
    bend = np.stack([mean[:, 0], mean[:, 1], mean[:, 0] * mean[:, 1]], 1) @ rng.normal(0, 0.3, (count, 3, 3))
    middle = landmarks.mean(1, keepdims=True)
    grown = (landmarks - middle) * (1 + rng.normal(0, 0.004, (count, 1, 1))) + middle
    return grown + rng.normal(0, 0.6, (count, 1, 3)) + bend + rng.normal(0, 0.3, landmarks.shape)


def jitter(landmarks: np.ndarray) -> float:
    """Root mean square of second differences over the distance of the eyes."""
    second = landmarks[2:, :, :2] - 2 * landmarks[1:-1, :, :2] + landmarks[:-2, :, :2]
    return float(np.sqrt((second**2).sum(-1).mean()) / EYES_APART)


def gain(output: np.ndarray, original: np.ndarray, low: float, high: float, rate: float = 25.0) -> float:
    """How much of the motion between two frequencies (Hz) is left in the output; in phase, so that lag lowers it."""
    frequencies = np.fft.rfftfreq(len(original), 1 / rate)
    band = (frequencies >= low) & (frequencies <= high)
    a, b = np.fft.rfft(output - output.mean())[band], np.fft.rfft(original - original.mean())[band]
    return float((a * b.conj()).real.sum() / (np.abs(b) ** 2).sum())


FILTERS = {
    "adaptive": smoothing.smooth_landmarks,
    "gaussian": lambda frames, values: smoothing.smooth(frames, values, *smoothing.gaussian(1.0)),
    "five-tap": lambda frames, values: smoothing.smooth(frames, values, *smoothing.five_tap()),
}


def test_tap_weights_are_the_plain_ones_where_rows_lie_evenly():
    kernel, radius = smoothing.five_tap()
    weights = smoothing.tap_weights(range(-radius, radius + 1), kernel, 1)
    np.testing.assert_allclose(weights, np.array([0.25, 0.75, 1, 0.75, 0.25]) / 3)


def test_degree_two_is_savitzky_golay():
    weights = smoothing.tap_weights(range(-3, 4), lambda k: 1.0, 2)
    np.testing.assert_allclose(weights, np.array([-2, 3, 6, 7, 6, 3, -2]) / 21)


@settings(max_examples=80, deadline=None)
@given(st.sets(st.integers(-6, 6), min_size=1), st.integers(0, 2), st.floats(0.5, 4))
def test_weights_tell_steady_motion_exactly_whatever_rows_are_missing(offsets, degree, sigma):
    offsets = sorted(offsets | {0})
    kernel, _ = smoothing.gaussian(sigma)
    weights = smoothing.tap_weights(offsets, kernel, degree)
    assert sum(weights) == pytest.approx(1)
    if degree and len(offsets) > 1:
        assert sum(w * o for w, o in zip(weights, offsets, strict=True)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", FILTERS)
def test_steady_motion_is_left_as_it_is_from_end_to_end(name):
    frames = np.arange(30)
    moving = still_face(30) + frames[:, None, None] * np.array([4.0, -2.0, 0.0])
    np.testing.assert_allclose(FILTERS[name](frames, moving), moving, atol=1e-6)


@pytest.mark.parametrize(("name", "most"), [("adaptive", 0.5), ("gaussian", 0.35), ("five-tap", 0.35)])
def test_jitter_of_a_face_at_rest_falls(name, most):
    noise = noisy(still_face(100))
    assert jitter(FILTERS[name](np.arange(100), noise)) < most * jitter(noise)


def test_head_motion_up_to_3_hz_keeps_its_size_and_does_not_lag():
    frames = np.arange(200)
    shake = sum(np.sin(2 * np.pi * f * frames / 25 + f) for f in (1.0, 2.0, 3.0)) * 8
    moving = still_face(200) + shake[:, None, None] * np.array([1.0, 0.5, 0])
    output = FILTERS["adaptive"](frames, moving)
    for f in (1.0, 2.0, 3.0):
        assert gain(output[:, 4, 0], moving[:, 4, 0], f - 0.2, f + 0.2) > 0.88
    plain = FILTERS["gaussian"](frames, moving)
    assert gain(plain[:, 4, 0], moving[:, 4, 0], 2.8, 3.2) < 0.8


@pytest.mark.parametrize("turning", [False, True])
def test_a_shaking_camera_is_followed(turning):
    frames = np.arange(100)
    rng = np.random.default_rng(3)
    moved = rng.normal(0, 8, (100, 1, 2))
    shaken = still_face(100)
    if turning:
        turn = np.exp(1j * moved[..., 0] / 200)
        flat = (shaken[..., 0] - 500 + 1j * (shaken[..., 1] - 400)) * turn
        shaken[..., 0], shaken[..., 1] = flat.real + 500, flat.imag + 400
    else:
        shaken[..., :2] += moved
    trembling = noisy(shaken) - shaken
    followed = FILTERS["adaptive"](frames, shaken + 0.3 * trembling)

    def apart(landmarks: np.ndarray) -> float:
        return float(np.sqrt(((landmarks - shaken)[..., :2] ** 2).sum(-1).mean()) / EYES_APART)

    assert apart(followed) < 0.01
    assert apart(FILTERS["gaussian"](frames, shaken + 0.3 * trembling)) > 0.02


def test_a_small_face_is_not_followed_by_parts_of_pixels():
    frames, noise = np.arange(100), np.random.default_rng(0).normal(0, 0.25, (100, 1, 3))
    small = still_face(100) / EYES_APART * 15 + noise
    assert jitter(FILTERS["adaptive"](frames, small)) < 0.4 * jitter(small)
    # As much of a face that shows it well.
    large = small / 15 * EYES_APART
    assert jitter(FILTERS["adaptive"](frames, large)) > 0.7 * jitter(large)


def test_blinks_and_speech_are_told_nearly_as_they_are():
    frames = np.arange(200)
    clean = still_face(200)
    lids = [(topology.RIGHT_EYE[i], topology.RIGHT_EYE[16 - i]) for i in range(1, 8)]
    for at in (30, 80, 130):
        for frame, closed in enumerate([0.35, 0.9, 1.0, 0.6, 0.25], at):
            for upper, lower in lids:
                clean[frame, upper] += closed * (clean[frame, lower] - clean[frame, upper])
    speech = 6 * (1 + np.sin(2 * np.pi * 4 * frames / 25))
    for point in topology.LIPS_INNER[11:] + topology.LIPS_OUTER[11:]:
        clean[:, point, 1] += speech

    output, plain = (FILTERS[name](frames, noisy(clean)) for name in ("adaptive", "gaussian"))

    def opening(landmarks: np.ndarray) -> np.ndarray:
        return landmarks[:, 14, 1] - landmarks[:, 13, 1]

    assert gain(opening(output), opening(clean), 3.8, 4.2) > 0.88
    assert gain(opening(plain), opening(clean), 3.8, 4.2) < 0.7
    lid = topology.RIGHT_EYE[4]
    closed = [31, 32, 81, 82, 131, 132]
    error, plain_error = (np.abs((o - clean)[closed, lid, 1]).mean() for o in (output, plain))
    assert error < 0.6 * plain_error


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 39), st.sampled_from(sorted(FILTERS)), st.floats(0, 0.4))
def test_a_cut_with_its_context_changes_no_bit(seed, cut, name, lost):
    rng = np.random.default_rng(seed)
    frames = np.flatnonzero(rng.random(40) >= lost)
    values = noisy(still_face(40), seed)[frames].astype(np.float32)
    whole = FILTERS[name](frames, values)
    for low, high in ((0, cut), (cut, 40)):
        given_rows = (frames >= low - 4) & (frames < high + 4)
        own = (frames >= low) & (frames < high)
        if own.any():
            part = FILTERS[name](frames[given_rows], values[given_rows])
            assert np.array_equal(part[own[given_rows]], whole[own])


def test_pose_and_shape_come_apart_and_together():
    face = noisy(still_face(1))
    np.testing.assert_allclose(smoothing.smooth_landmarks(np.zeros(1, int), face), face, atol=1e-9)


def test_short_gaps_are_filled_and_long_ones_are_not():
    frames = np.array([3, 4, 8, 14, 21])
    assert smoothing.missing(frames, 5) == [
        (5, 1, 0.25),
        (6, 1, 0.5),
        (7, 1, 0.75),
        (9, 2, 1 / 6),
        (10, 2, 2 / 6),
        (11, 2, 3 / 6),
        (12, 2, 4 / 6),
        (13, 2, 5 / 6),
    ]


def test_between_two_rows_numbers_are_interpolated_and_labels_kept():
    assert smoothing.between(np.array([1.0, 3.0], np.float32), 0, 0.25) == np.float32(1.5)
    assert smoothing.between(np.array([7, 9]), 0, 0.75) == 7


@pytest.mark.parametrize(("clip", "most"), [("clip_glasses_man.mp4", 0.7), ("clip_talking_woman.mp4", 0.9)])
def test_jitter_falls_on_footage(clip_frames, as_picture, face_model, clip, most):
    from vidswap.faces.detection import find_faces

    raw = np.stack([find_faces(as_picture(f), face_model).landmarks[0] for f in clip_frames(clip, stop=40)])
    calm = smoothing.smooth_landmarks(np.arange(40), raw)
    # The woman moves more from frame to frame than landmarks tremble.
    assert jitter(calm) < most * jitter(raw)
    eyes = np.linalg.norm(raw[:, 468, :2] - raw[:, 473, :2], axis=1).mean()
    assert np.sqrt(((calm - raw)[..., :2] ** 2).sum(-1).mean()) < 0.02 * eyes


GROUPS = [
    list(topology.RIGHT_EYE + topology.RIGHT_IRIS),
    list(topology.LEFT_EYE + topology.LEFT_IRIS),
    list(topology.LIPS_OUTER + topology.LIPS_INNER),
]
GROUPS.append([i for i in range(topology.POINTS) if not any(i in group for group in GROUPS)])


def smoothed_plainly(frames: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The plain formulation: fits by least squares, shapes as complex numbers, sums over all rows at once."""
    calm = [i for i in range(468) if i in GROUPS[3]]
    mean = topology.canonical().astype(np.float64) @ [1, 1j, 0]
    poses, shapes = [], []
    for points in landmarks:
        basis = np.stack([mean[calm], np.ones(len(calm))], 1)
        turn, place = np.linalg.lstsq(basis, points[calm] @ [1, 1j, 0], rcond=None)[0]
        poses.append([turn, place])
        flat = (points @ [1, 1j, 0] - place) / turn
        shapes.append(np.stack([flat.real, flat.imag, points[:, 2] / abs(turn)], 1))
    poses, shapes = np.array(poses), np.array(shapes)
    calm_poses = smoothing.smooth(frames, poses.view(np.float64), smoothing.gaussian(1.4)[0], 4, degree=2).view(complex)
    apart = np.abs(poses - calm_poses).sum(1) / np.abs(calm_poses[:, 0])
    poses += np.exp(-(apart**2) / (2 * 0.012**2))[:, None] * (calm_poses - poses)
    result = np.empty_like(landmarks)
    for row, frame in enumerate(frames):
        near = np.flatnonzero(np.abs(frames - frame) <= 4)
        calmed = np.empty((topology.POINTS, 3))
        for group, likeness in zip(GROUPS, (0.025, 0.025, 0.02, 0.03), strict=True):
            apart = ((shapes[near][:, group, :2] - shapes[row][group, :2]) ** 2).sum(2).mean(1)
            weights = np.exp(-((frames[near] - frame) ** 2) / 2) * np.exp(-apart / (2 * likeness**2))
            calmed[group] = (shapes[near][:, group] * (weights / weights.sum())[:, None, None]).sum(0)
        turn, place = poses[row]
        flat = turn * (calmed @ [1, 1j, 0]) + place
        result[row] = np.stack([flat.real, flat.imag, calmed[:, 2] * abs(turn)], 1)
    return result


def test_compiled_smoothing_is_that_of_the_plain_formulation():
    landmarks = noisy(still_face(24)) + np.arange(24)[:, None, None] * np.array([1.5, -0.7, 0])
    frames = np.delete(np.arange(24), [5, 6, 17])
    smoothed = smoothing.smooth_landmarks(frames, landmarks[frames])
    np.testing.assert_allclose(smoothed, smoothed_plainly(frames, landmarks[frames]), atol=1e-9)


def test_no_rows_give_no_rows():
    assert smoothing.smooth_landmarks(np.zeros(0, int), np.zeros((0, 478, 3))).shape == (0, 478, 3)


# Published values.


def test_filters_between_the_ends_are_the_published_ones(shared):
    golden = arrays_of(shared / "fixtures/encoders/latent_ops.safetensors", "temporal.")
    codes = golden["temporal.ws"]
    frames = np.arange(len(codes))
    five = smoothing.smooth(frames, codes, *smoothing.five_tap())
    np.testing.assert_allclose(five[2:-2], golden["temporal.smooth_ws"], atol=1e-6)
    kernel, radius = smoothing.gaussian(1.0)
    made = smoothing.smooth(frames, codes, kernel, radius)
    # At the ends the published one mirrors the track; ours follows its slope.
    np.testing.assert_allclose(made[radius:-radius], golden["temporal.gaussian.sigma1"][radius:-radius], atol=1e-6)
