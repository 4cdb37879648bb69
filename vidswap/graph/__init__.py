"""What a pipeline is: operators, batches, checks, and the cut into segments. Knows no torch, no Ray and no faces."""

from .batch import Batch, object_column
from .columns import STANDARD_COLUMNS, Column
from .errors import InputError, Interrupted, StageError, VidswapError
from .operator import NoOptions, Operator, Options, Resources, Setting, set_up
from .pipeline import Part, Pipeline, Stage
from .registry import find_operator, find_pipeline, operator_names, pipeline_files
from .segments import Segment, complement, cut, halo, joined_spans

__all__ = [
    "STANDARD_COLUMNS",
    "Batch",
    "Column",
    "InputError",
    "Interrupted",
    "NoOptions",
    "Operator",
    "Options",
    "Part",
    "Pipeline",
    "Resources",
    "Segment",
    "Setting",
    "Stage",
    "StageError",
    "VidswapError",
    "complement",
    "cut",
    "find_operator",
    "find_pipeline",
    "halo",
    "joined_spans",
    "object_column",
    "operator_names",
    "pipeline_files",
    "set_up",
]
