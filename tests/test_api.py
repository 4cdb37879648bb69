"""What the Python API makes of a pipeline before it runs."""

import pytest
from toy import toy_pipeline

import vidswap
from vidswap import api
from vidswap.graph import InputError
from vidswap.graph.specification import PipelineSpecification


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_disclosure_runs_just_before_the_encoder_wherever_that_is_listed(shuffled):
    plain = toy_pipeline()
    if shuffled:
        encode = {**plain["stages"].pop(), "after": ["blend"]}
        plain["stages"].insert(1, encode)
        plain["stages"][2]["after"] = ["decode"]
    specification = PipelineSpecification.checked(plain, "toy")
    names = [s.name for s in specification.ordered_stages()]
    labelled = [s.name for s in api.with_label(specification, "AI-altered").ordered_stages()]
    assert labelled == [*names[:-1], "disclosure", names[-1]]


def test_strength_is_of_shape_and_texture_and_blend_names_a_mode():
    ready = api.Pipeline.prepared("swap-mesh", shared={"strength": 0.5, "blend": "feather"})
    options = {s.name: s.options for s in ready.stages}
    assert options["map"].strength_shape == options["blend"].strength == 0.5
    assert options["blend"].mode == "feather"


def test_an_option_that_is_given_for_a_stage_wins_over_the_shared_one():
    ready = api.Pipeline.prepared("swap-mesh", shared={"strength": 0.5}, overrides=["map.strength_shape=1"])
    options = {s.name: s.options for s in ready.stages}
    assert (options["map"].strength_shape, options["blend"].strength) == (1, 0.5)


@pytest.mark.parametrize(
    ("settings", "says"), [({"workers": -1}, "workers"), ({"wrokers": 2}, "unknown key 'wrokers'; did you mean")]
)
def test_a_setting_that_there_is_not_is_one_line(tmp_path, settings, says):
    with pytest.raises(InputError, match=says) as caught:
        vidswap.swap(tmp_path / "a.jpg", tmp_path / "b.mp4", tmp_path / "c.mp4", **settings)
    assert "\n" not in str(caught.value)
