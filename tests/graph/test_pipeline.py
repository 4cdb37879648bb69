"""A pipeline is checked before anything starts, and split into parts by what its operators declare."""

import pytest
from toy import toy_pipeline

from vidswap.graph import InputError, Pipeline


def write(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    return path


def stages(*uses):
    return {"name": "t", "sources": {"source": {}}, "stages": [{"use": u} for u in uses]}


def test_parts_begin_where_other_segments_are_needed():
    parts = Pipeline.from_mapping(toy_pipeline()).parts
    assert [[s.name for s in p.stages] for p in parts] == [["detect"], ["track"], ["smooth", "blend", "encode"]]
    assert [p.reads for p in parts] == [True, False, True]
    assert [p.context for p in parts] == [0, 0, 3]
    assert parts[0].stores == ("box", "frame", "pts", "track", "weight")


def test_a_source_goes_through_what_its_readers_ask_for_alone():
    pipeline = Pipeline.from_mapping(toy_pipeline())
    assert [s.name for s in pipeline.source_stages] == ["decode", "detect"]


def test_a_source_that_declares_its_columns_goes_through_what_leads_to_them_alone():
    mapping = {
        **toy_pipeline(),
        "sources": {"source": {}, "other": {"columns": ["frame"]}, "several": {"columns": ["box"], "several": True}},
    }
    pipeline = Pipeline.from_mapping(mapping)
    names = {n: [s.name for s in pipeline.stages_of_source(n)] for n in ("source", "other", "several2.3")}
    assert names == {"source": ["decode", "detect"], "other": ["decode"], "several2.3": ["decode", "detect"]}
    mapping["sources"]["other"]["columns"] = ["bxo"]
    with pytest.raises(
        InputError, match="source 'other': no stage reads or gives its column 'bxo'; did you mean 'box'"
    ):
        Pipeline.from_mapping(mapping)


@pytest.mark.parametrize(
    ("uses", "says"),
    [
        (["toy:Decode", "toy:Smooth", "toy:Encode"], "works on faces, but no stage before it finds any"),
        (["toy:Decode", "toy:Detect", "toy:Smooth", "toy:Encode"], "needs column 'track', which no stage before it"),
        (["toy:Detect", "toy:Encode"], "the first stage must be of kind decode"),
        (["toy:Decode", "toy:Detect"], "the last stage must be of kind encode"),
        (["decode.pyva", "toy:Encode"], "unknown operator 'decode.pyva'; did you mean 'decode.pyav'?"),
        (["toy:Dekode", "toy:Encode"], "operator 'toy:Dekode' cannot be imported"),
        (["toy:ToyVideo", "toy:Encode"], "which is no subclass of vidswap.graph.Operator"),
        (["toy:Decode", "broken_stage:Any"], "operator 'broken_stage:Any' cannot be imported: SyntaxError: "),
        (["toy:Decode", "vidswap.graph:Operator"], "does not say which kind of stage it is"),
        (["toy:Decode", "toy:Decode"], "two stages are called 'Decode'; give each a name of its own"),
    ],
)  # fmt: skip
def test_a_wrong_pipeline_is_one_line_with_the_remedy(uses, says, tmp_path, monkeypatch):
    (tmp_path / "broken_stage.py").write_text("class Any(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    mapping = stages(*uses)
    for i, stage in enumerate(mapping["stages"]):
        if "two stages" not in says:
            stage["name"] = f"s{i}"
    with pytest.raises(InputError) as caught:
        Pipeline.from_mapping(mapping)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


GOOD = """
name: t
sources: {source: {}}
stages:
  - {use: "toy:Decode", name: decode}
  - {use: "toy:Detect", name: detect}
  - {use: "toy:Track", name: track}
  - {use: "toy:Smooth", name: smooth, options: {radius: 2}}
  - {use: "toy:Blend", name: blend}
  - {use: "toy:Encode", name: encode}
"""


def test_overrides_set_options_of_stages(tmp_path):
    pipeline = Pipeline.from_yaml(write(tmp_path, GOOD), ["smooth.radius=5"])
    assert pipeline.stages[3].options.radius == 5
    assert pipeline.resolved()["stages"][3]["options"] == {"radius": 5}


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("smooth.radius=many", "stage 'smooth' (toy:Smooth): radius: input should be a valid integer"),
        ("smooth.raduis=3", "unknown key 'raduis'; did you mean 'radius'?"),
        ("smoth.radius=3", "no stage is called 'smoth'; did you mean 'smooth'?"),
        ("radius", "is no override; write stage.option=value"),
        ("smooth.radius=[1", "cannot be read"),
    ],
)
def test_wrong_overrides_are_refused(tmp_path, override, says):
    with pytest.raises(InputError) as caught:
        Pipeline.from_yaml(write(tmp_path, GOOD), [override])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [", "line 2, column 1 is not YAML: did not find"),
        ("- a\n- b", "a pipeline is a mapping with name and stages, got list"),
        ("name: t\nstages: 3", "stages: input should be a valid tuple"),
        ("name: t\nstags: []\nstages: []", "unknown key 'stags'; did you mean 'stages'?"),
        (GOOD.replace("options:", "optoins:"), "unknown key 'stages.3.optoins'; did you mean 'options'?"),
        (GOOD.replace("name: t", "name: ${about}\nabout: ${name}", 1), "cycle"),
        (GOOD.replace("name: decode", "name: decode, after: [blend]"), "the stages run in a cycle: "),
        (GOOD.replace("name: blend", "name: blend, after: [smoth]"), "unknown stage 'smoth'; did you mean 'smooth'?"),
        (GOOD.replace("radius: 2", "radius: {a: 1}"), "radius: input should be a valid integer"),
        (GOOD.replace("use: ", "uze: "), "unknown key 'stages.0.uze'; did you mean 'use'?"),
        ("", "'name' is missing"),
        ("name: t\n1: 2\nstages: []", "1"),
        ("\x00", "is not YAML"),
    ],
)  # fmt: skip
def test_wrong_yaml_is_one_line_with_file_and_place(tmp_path, text, says):
    with pytest.raises(InputError) as caught:
        Pipeline.from_yaml(write(tmp_path, text))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_after_orders_stages_whatever_their_place_in_the_file(tmp_path):
    shuffled = """
name: t
sources: {source: {}}
stages:
  - {use: "toy:Decode", name: decode}
  - {use: "toy:Blend", name: blend, after: [smooth]}
  - {use: "toy:Encode", name: encode}
  - {use: "toy:Detect", name: detect, after: [decode]}
  - {use: "toy:Track", name: track}
  - {use: "toy:Smooth", name: smooth}
"""
    names = [s.name for s in Pipeline.from_yaml(write(tmp_path, shuffled)).stages]
    assert names == ["decode", "detect", "track", "smooth", "blend", "encode"]


def test_an_unknown_pipeline_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="unknown pipeline 'swap-mush'; did you mean 'swap-mesh'"):
        Pipeline.from_yaml("swap-mush")
    with pytest.raises(InputError, match=r"no such pipeline file: none\.yaml"):
        Pipeline.from_yaml("none.yaml")
