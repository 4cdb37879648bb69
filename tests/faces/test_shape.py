import numpy as np
import pytest

from vidswap.faces import pose, resting, shape, topology


def face(seed, size=60.0):
    """A face that is not the mean one: the mean stretched a little, smoothly."""
    generator = np.random.default_rng(seed)
    mean = topology.canonical().astype(np.float64)
    stretch = 1 + generator.normal(0, 0.05, 3)
    return (mean * stretch + 0.03 * np.sin(mean[:, ::-1] * 2 + generator.uniform(0, 6, 3))) * size + (200, 150, 0)


def test_ones_own_likeness_changes_nothing():
    points = face(1)
    worn = shape.Likeness(shape.in_mean_frame(points)).wear(points)
    assert np.abs(worn - points).max() < 1e-3


def test_without_strength_or_regions_the_target_keeps_its_shape():
    points, other = face(1), shape.identity_shape(face(2))
    assert np.array_equal(shape.Likeness(other, strength=0).wear(points), points.astype(np.float32))
    assert np.array_equal(shape.Likeness(other, regions=()).wear(points), points.astype(np.float32))


def test_the_outline_stays_the_targets():
    points = face(1)
    worn = shape.Likeness(shape.identity_shape(face(2))).wear(points)
    outline = list(topology.FACE_OVAL)
    assert np.abs(worn[outline] - points[outline]).max() < 1e-3
    assert np.abs(worn - points).max() > 1


def test_a_region_alone_leaves_the_others_where_they_are():
    points = face(1)
    worn = shape.Likeness(shape.identity_shape(face(2)), regions=("nose",)).wear(points)
    moved = np.linalg.norm(worn - points, axis=1)
    assert moved[list(topology.NOSE)].mean() > 4 * moved[list(topology.LIPS_OUTER)].mean()


@pytest.mark.parametrize("turn", [(30, 0, 0), (0, -20, 0), (0, 0, 40)])
def test_the_offset_turns_with_the_head(turn):
    points = face(1)
    likeness = shape.Likeness(shape.identity_shape(face(2)))
    rotation = pose.rotation_of(*turn)
    turned = points @ rotation.T
    assert np.abs(likeness.wear(turned) - likeness.wear(points) @ rotation.T).max() < 0.02


def test_expression_passes_through_undiminished():
    likeness = shape.Likeness(shape.identity_shape(face(2)))
    own = shape.in_mean_frame(face(1))
    for region, (read, write) in enumerate(shape.motion()):
        step = np.linalg.lstsq(read @ write.T, np.eye(len(read))[0], rcond=None)[0] @ write * 0.05
        difference = likeness.offset(own + step.reshape(-1, 3)) - likeness.offset(own)
        weight = shape.region_weights()[region] * shape.outline_fade()
        core = weight > 0.6 * weight.max()
        assert np.abs(difference[core]).max() < 0.35 * np.abs(step.reshape(-1, 3)[core]).max()


def test_an_eye_moves_as_a_whole():
    points = face(1)
    likeness = shape.Likeness(shape.identity_shape(face(2)))
    offset = likeness.offset(shape.in_mean_frame(points))
    for iris in (topology.RIGHT_IRIS, topology.LEFT_IRIS):
        assert np.ptp(offset[list(iris)], axis=0).max() < 1e-12


def test_region_weights_share_every_point():
    weights = shape.region_weights()
    assert weights.shape == (5, 478) and np.allclose(weights.sum(0), 1) and (weights >= 0).all()
    assert weights[shape.REGIONS.index("nose"), topology.NOSE_TIP] > 0.7


def brows_height(points):
    return points[list(topology.EYES), 1].mean() - points[list(topology.BROWS), 1].mean()


def rests_as(points):
    """What is told of a face that never moves."""
    return resting.at_rest(np.arange(9), np.repeat(resting.reading(points)[None], 9, axis=0), 4)[4]


def with_step(points, region, by):
    """A face in the mean frame, moved along the first direction of a region."""
    return points + by * shape.motion()[shape.REGIONS.index(region)][1][0].reshape(-1, 3)


def test_brows_that_a_target_holds_high_all_the_time_come_down_to_the_sources():
    mean = topology.canonical().astype(np.float64)
    source, target = shape.identity_shape(mean * 60), with_step(mean, "brows", 0.2) * 60
    likeness = shape.Likeness(source)
    rests = rests_as(target)
    before, after = (brows_height(likeness.wear(target, told)) for told in (None, rests))
    wanted, own = brows_height(mean * 60), brows_height(target)
    assert abs(before - own) < 0.35 * abs(own - wanted)
    assert abs(after - wanted) < 0.6 * abs(before - wanted)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_at_rest_or_not_lids_and_lips_open_as_far_as_the_targets(seed):
    likeness = shape.Likeness(shape.identity_shape(face(seed)))
    own = shape.in_mean_frame(face(1))
    rests = rests_as(face(1))
    moved = likeness.offset(own, rests) - likeness.offset(own)
    assert np.abs(moved).max() > 1e-3
    assert abs(moved[14, 1] - moved[13, 1]) < 0.1 * np.abs(moved[list(topology.LIPS_OUTER)]).max() + 1e-4
    lids = [abs(moved[low, 1] - moved[high, 1]) for high, low in ((159, 145), (386, 374))]
    assert max(lids) < 0.25 * np.abs(moved[list(topology.EYES)]).max() + 1e-4


def test_a_smile_says_nothing_of_a_mouth_at_rest():
    own, told = shape.in_mean_frame(face(1)), rests_as(face(1))
    other = shape.identity_shape(face(2))
    serious, smiling = (shape.Likeness(other, ["mouth"], smiling=s) for s in (0.0, 1.0))
    assert np.abs(serious.offset(own, told) - serious.offset(own)).max() > 1e-3
    assert np.allclose(smiling.offset(own, told), smiling.offset(own))


def test_what_is_not_known_of_a_face_at_rest_changes_nothing():
    own = shape.in_mean_frame(face(1))
    likeness = shape.Likeness(shape.identity_shape(face(2)))
    assert np.array_equal(likeness.offset(own, np.zeros_like(rests_as(face(1)))), likeness.offset(own))
