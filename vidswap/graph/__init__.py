"""What a pipeline is: operators, batches, checks, and the cut into segments. Knows no torch, no Ray and no faces."""

from .batch import Batch, object_column
from .columns import STANDARD_COLUMNS, Column
from .errors import InputError, Interrupted, StageError, VidswapError
from .operator import NoOptions, Operator, Options, Resources, Setting
from .pipeline import Part, Pipeline, Stage
from .registry import find_operator, find_pipeline, operator_names, pipeline_files
from .segments import Segment, cut, halo

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
    "cut",
    "find_operator",
    "find_pipeline",
    "halo",
    "object_column",
    "operator_names",
    "pipeline_files",
]
