"""What the Python API makes of a pipeline before it runs."""

import pytest
from toy import toy_pipeline

from vidswap import api
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
