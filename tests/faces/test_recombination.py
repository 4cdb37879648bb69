import numpy as np
import pytest

from vidswap.faces.recombination import INNER, between, recombined
from vidswap.faces.regions import BACKGROUND, BELOWFACE, EYES, HAIR, LIP, MOUTH, NOSE, SKIN
from vidswap.graph.errors import InputError

SIZE = 64


def face(*, wide: int, hair: int, nose: int = 8) -> np.ndarray:
    """A face of boxes: skin of a half width, hair down to a row, eyes, nose and lips, a neck."""
    labels = np.zeros((SIZE, SIZE), np.uint8)
    labels[50:, 24:40] = BELOWFACE
    labels[4:20, 32 - wide - 4 : 32 + wide + 4] = HAIR
    labels[12:52, 32 - wide : 32 + wide] = SKIN
    labels[22:26, 22:28] = labels[22:26, 36:42] = EYES
    labels[26:34, 32 - nose // 2 : 32 + nose // 2] = NOSE
    labels[40:44, 26:38] = LIP
    labels[12:hair, 32 - wide : 32 + wide] = HAIR
    return labels


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "fixtures" / "e4s" / "golden_mask_recombination.npz")


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize(
    ("rule", "wanted", "holes"),
    [
        ("code", "out_hairfirst1", "hole_hairfirst1"),
        ("code-hair-last", "out_hairfirst0", "hole_hairfirst0"),
        ("video", "v2_out", "v2_hole"),
    ],
)
def test_recombination_equals_the_released_programs(golden, case, rule, wanted, holes):
    labels, hole = recombined(golden[f"case{case}.driven"], golden[f"case{case}.target"], rule=rule)
    assert np.array_equal(labels, golden[f"case{case}.{wanted}"])
    assert np.array_equal(hole, golden[f"case{case}.{holes}"].astype(bool))


def test_by_the_paper_a_fringe_of_the_targets_stays():
    driven, target = face(wide=14, hair=12), face(wide=14, hair=24)
    by_paper, _ = recombined(driven, target)
    by_code, _ = recombined(driven, target, rule="code")
    assert (by_paper[16:22, 30:34] == HAIR).all()
    assert (by_code[16:22, 30:34] == SKIN).all()


def test_holes_are_skin_and_told():
    driven, target = face(wide=10, hair=14), face(wide=14, hair=14)
    labels, hole = recombined(driven, target)
    assert hole[30, 19]
    assert labels[30, 19] == SKIN
    assert not hole[30, 32]


@pytest.mark.parametrize("rule", ["paper", "code", "code-hair-last"])
def test_the_targets_background_is_never_covered(rule):
    driven, target = face(wide=24, hair=14), face(wide=14, hair=14)
    labels, _ = recombined(driven, target, rule=rule)
    assert (labels[target == BACKGROUND] == BACKGROUND).all()


@pytest.mark.parametrize("rule", ["paper", "code", "code-hair-last", "video"])
def test_no_region_chosen_leaves_the_target(rule):
    driven, target = face(wide=24, hair=14, nose=12), face(wide=14, hair=14)
    labels, hole = recombined(driven, target, rule=rule, regions=())
    assert np.array_equal(labels, target)
    assert not hole.any()


def test_a_chosen_region_changes_alone():
    driven, target = face(wide=14, hair=14, nose=12), face(wide=14, hair=14, nose=6)
    labels, hole = recombined(driven, target, regions=(NOSE,))
    changed = labels != target
    assert (labels == NOSE).sum() == (driven == NOSE).sum()
    assert set(labels[changed]) == {NOSE}
    assert not hole.any()
    smaller, hole = recombined(target, driven, regions=(NOSE,))
    assert (smaller == NOSE).sum() == (target == NOSE).sum()
    assert (smaller[hole] == SKIN).all()
    assert hole.sum() == (driven == NOSE).sum() - (target == NOSE).sum()


def test_the_inside_of_the_mouth_follows_the_driven_face():
    driven, target = face(wide=14, hair=14), face(wide=14, hair=14)
    driven[41:43, 28:36] = MOUTH
    labels, _ = recombined(driven, target)
    assert (labels == MOUTH).sum() == (driven == MOUTH).sum()


def test_strength_moves_borders_evenly():
    small, large = face(wide=10, hair=14), face(wide=18, hair=14)
    counts = [int((between(small, large, s)[30] == SKIN).sum()) for s in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert counts[0] == (small[30] == SKIN).sum()
    assert counts[-1] == (large[30] == SKIN).sum()
    assert counts == sorted(counts)
    assert abs(counts[2] - (counts[0] + counts[-1]) / 2) <= 2
    assert np.array_equal(between(small, large, 1.0), large)


def test_maps_of_two_sizes_are_refused():
    with pytest.raises(InputError, match="32 pixels a side was expected, got 64"):
        recombined(np.zeros((64, 64), np.uint8), np.zeros((32, 32), np.uint8))


def test_inner_regions_are_those_of_the_paper():
    assert set(INNER) == {1, 2, 3, 5, 6, 9}
