"""MediaPipe behind `FaceModel`.

The wheel's graphs for video carry the last frame's face into the next one. Here each model runs in a graph of its own
that has no loop and no smoothing, so that equal images give equal bits whatever came before. The models are BlazeFace
(short and full range), Face Mesh with attention (478 points), the selfie segmenter and the palm detector; each runs in
the thread that calls it.
"""

from __future__ import annotations

import importlib
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidswap.graph.errors import InputError

from .mediapipe_import import import_mediapipe, quiet
from .mediapipe_packets import detections_of, hands_of, landmarks_in, pixels_of, points_of
from .models import Detections, FaceModel, Mesh

_CROP_SIZE = 192
_NEAR_SIZE, _FAR_SIZE = 128, 192
_SEGMENTED = (256, 144)  # width, height of what the segmenter sees

# The thread that calls does the work: handing it to another one and back costs a tenth of a small model.
_EXECUTOR = 'executor { name: "" type: "ApplicationThreadExecutor" }'

_DETECTION_GRAPH = """
input_stream: "image"
output_stream: "detections"
node {{
  calculator: "{calculator}"
  input_stream: "IMAGE:image"
  output_stream: "DETECTIONS:detections"
}}
"""

# As the wheel's FaceLandmarkCpu, but on the whole image instead of a region, and with the presence score led outside.
_LANDMARK_GRAPH = """
input_stream: "image"
output_stream: "landmarks"
output_stream: "presence"
node {
  calculator: "ImageToTensorCalculator"
  input_stream: "IMAGE:image"
  output_stream: "TENSORS:pixels"
  options { [mediapipe.ImageToTensorCalculatorOptions.ext] {
    output_tensor_width: 192 output_tensor_height: 192 output_tensor_float_range { min: 0 max: 1 }
  } }
}
node { calculator: "TfLiteCustomOpResolverCalculator" output_side_packet: "OP_RESOLVER:resolver" }
node {
  calculator: "InferenceCalculator"
  input_stream: "TENSORS:pixels"
  output_stream: "TENSORS:tensors"
  input_side_packet: "OP_RESOLVER:resolver"
  options { [mediapipe.InferenceCalculatorOptions.ext] {
    model_path: "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite"
    delegate { xnnpack { num_threads: 1 } }
  } }
}
node {
  calculator: "SplitTensorVectorCalculator"
  input_stream: "tensors"
  output_stream: "mesh_tensors"
  output_stream: "flag_tensors"
  options { [mediapipe.SplitVectorCalculatorOptions.ext] { ranges { begin: 0 end: 6 } ranges { begin: 6 end: 7 } } }
}
node {
  calculator: "TensorsToFloatsCalculator"
  input_stream: "TENSORS:flag_tensors"
  output_stream: "FLOAT:presence"
  options { [mediapipe.TensorsToFloatsCalculatorOptions.ext] { activation: SIGMOID } }
}
node {
  calculator: "TensorsToFaceLandmarksWithAttention"
  input_stream: "TENSORS:mesh_tensors"
  output_stream: "LANDMARKS:landmarks"
}
"""

# Model 1, of 256 x 144 pixels, takes half the time of the square one. A face is squeezed into it, and yet silhouettes
# are as good and as steady; where the two differ most, the square one takes things behind for the person.
_SEGMENT_GRAPH = """
input_stream: "image"
output_stream: "mask"
node {
  calculator: "ConstantSidePacketCalculator"
  output_side_packet: "PACKET:model"
  options { [mediapipe.ConstantSidePacketCalculatorOptions.ext] { packet { int_value: 1 } } }
}
node {
  calculator: "SelfieSegmentationCpu"
  input_side_packet: "MODEL_SELECTION:model"
  input_stream: "IMAGE:image"
  output_stream: "SEGMENTATION_MASK:mask"
}
"""

_PALM_GRAPH = """
input_stream: "image"
output_stream: "palms"
node {
  calculator: "PalmDetectionCpu"
  input_stream: "IMAGE:image"
  output_stream: "DETECTIONS:palms"
}
"""


def load_face_model(task: Path | None = None) -> FaceModel:
    """The models of MediaPipe's wheel, or, for `task`, a FaceLandmarker bundle (`.task`) given by path.

    Raises InputError when the path is no such bundle, or when the installed MediaPipe carries no models.
    """
    return WheelModel() if task is None else TaskModel(Path(task))


class WheelModel:
    """The models that the wheel of mediapipe 0.10.21 carries; all of a process share them."""

    crop_size = _CROP_SIZE

    def detect(self, rgb: np.ndarray, *, far: bool = False, min_score: float = 0.5) -> Detections:
        """See `FaceModel.detect`. The model sees the longer side as 128 (near) or 192 (far) pixels."""
        name, calculator = ("far", "FaceDetectionFullRangeCpu") if far else ("near", "FaceDetectionShortRangeCpu")
        graph = _shared(name, _DETECTION_GRAPH.format(calculator=calculator), ("detections",))
        found = graph(rgb)["detections"]
        height, width = rgb.shape[:2]
        return detections_of([] if found is None else graph.getter.get_proto_list(found), width, height, min_score)

    def landmarks(self, rgb: np.ndarray) -> Mesh | None:
        """See `FaceModel.landmarks`; always answers, with a presence near 0 where there is no face."""
        graph = _shared("landmarks", _LANDMARK_GRAPH, ("landmarks", "presence"))
        out = graph(rgb)
        height, width = rgb.shape[:2]
        values = landmarks_in(graph.serialized(out["landmarks"]))
        if values is None:
            points = points_of(graph.getter.get_proto(out["landmarks"]).landmark, width, height)
        else:
            points = pixels_of(values, width, height)
        return Mesh(points, float(graph.getter.get_float(out["presence"])))

    def segment(self, rgb: np.ndarray) -> np.ndarray:
        """See `FaceModel.segment`; the model works on 256 x 144 pixels, whatever the shape of the image."""
        graph = _shared("segment", _SEGMENT_GRAPH, ("mask",))
        height, width = rgb.shape[:2]
        if height > _SEGMENTED[1] and width > _SEGMENTED[0]:
            rgb = _for_segmenter(rgb)
        mask = graph.getter.get_image_frame(graph(rgb)["mask"]).numpy_view()
        mask = np.array(mask, dtype=np.float32).reshape(rgb.shape[:2])
        if rgb.shape[:2] != (height, width):
            mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
        return mask

    def hands(self, rgb: np.ndarray) -> np.ndarray:
        """See `FaceModel.hands`; the model works on 192 x 192 pixels."""
        graph = _shared("palms", _PALM_GRAPH, ("palms",))
        found = graph(rgb)["palms"]
        height, width = rgb.shape[:2]
        return hands_of([] if found is None else graph.getter.get_proto_list(found), width, height)

    def take_warnings(self) -> list[str]:
        """It lacks nothing."""
        return []

    def close(self) -> None:
        """The graphs stay for the next who needs them."""


def _for_segmenter(rgb: np.ndarray) -> np.ndarray:
    """A larger picture at the size that the segmenter sees.

    The graph would bring it there point by point, which takes longer and leaves out every other row.
    """
    while rgb.shape[0] >= 2 * _SEGMENTED[1] and rgb.shape[0] % 2 == 0:
        rgb = cv2.addWeighted(rgb[::2], 0.5, rgb[1::2], 0.5, 0)
    while rgb.shape[1] >= 2 * _SEGMENTED[0] and rgb.shape[1] % 2 == 0:
        rgb = cv2.addWeighted(rgb[:, ::2], 0.5, rgb[:, 1::2], 0.5, 0)
    return cv2.resize(rgb, _SEGMENTED, interpolation=cv2.INTER_LINEAR)


class TaskModel:
    """A FaceLandmarker bundle in IMAGE mode. Its detector serves near and far alike.

    Such a bundle has no person segmenter: the wheel's is taken where there is one, else every pixel counts as person.
    Raises InputError when the file is missing or is no bundle that MediaPipe can read.
    """

    crop_size = 256

    def __init__(self, path: Path, faces: int = 8) -> None:
        if not path.is_file():
            raise InputError(f"no FaceLandmarker bundle at {path}; give the path of a .task file, or none")
        if not zipfile.is_zipfile(path):
            raise InputError(f"{path} is no FaceLandmarker bundle: a .task file is a zip archive of models")
        mediapipe = import_mediapipe()
        vision, base = mediapipe.tasks.vision, mediapipe.tasks.BaseOptions
        self._mediapipe, self._path = mediapipe, path
        self._wheel: WheelModel | None = WheelModel()
        self._told: list[str] = []

        def landmarker(count: int) -> Any:
            options = vision.FaceLandmarkerOptions(
                base_options=base(model_asset_path=str(path)),
                running_mode=vision.RunningMode.IMAGE,
                num_faces=count,
            )
            return vision.FaceLandmarker.create_from_options(options)

        try:
            with quiet():
                self._many, self._one = landmarker(faces), landmarker(1)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{path} is no FaceLandmarker bundle that MediaPipe can read: {_line(error)}") from error

    def detect(self, rgb: np.ndarray, *, far: bool = False, min_score: float = 0.5) -> Detections:
        """See `FaceModel.detect`. A bundle tells no scores: each face has 1."""
        meshes = self._run(self._many, rgb)
        boxes = [np.r_[m[:, :2].min(0), m[:, :2].max(0)] for m in meshes]
        # Iris centres, nose tip, middle of the inner lips, and the points of the oval beside the ears.
        keypoints = [np.stack([m[468], m[473], m[1], (m[13] + m[14]) / 2, m[234], m[454]])[:, :2] for m in meshes]
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.ones(len(meshes), np.float32),
            np.array(keypoints, np.float32).reshape(-1, 6, 2),
        )

    def landmarks(self, rgb: np.ndarray) -> Mesh | None:
        """See `FaceModel.landmarks`. None where the bundle's own detector finds no face in the crop."""
        meshes = self._run(self._one, rgb)
        return Mesh(meshes[0], 1.0) if meshes else None

    def segment(self, rgb: np.ndarray) -> np.ndarray:
        """See `FaceModel.segment`."""
        found = self._of_wheel(lambda wheel: wheel.segment(rgb))
        return np.ones(rgb.shape[:2], np.float32) if found is None else found

    def hands(self, rgb: np.ndarray) -> np.ndarray:
        """See `FaceModel.hands`."""
        found = self._of_wheel(lambda wheel: wheel.hands(rgb))
        return np.zeros((0, 4), np.float32) if found is None else found

    def _of_wheel(self, asked: Callable[[WheelModel], np.ndarray]) -> np.ndarray | None:
        if self._wheel is not None:
            try:
                return asked(self._wheel)
            except InputError as error:
                self._wheel = None
                self._told.append(f"what stands before faces is told less well: {error}")
        return None

    def take_warnings(self) -> list[str]:
        """See `FaceModel.take_warnings`."""
        told, self._told = self._told, []
        return told

    def close(self) -> None:
        """Free the models."""
        self._many.close()
        self._one.close()
        if self._wheel is not None:
            self._wheel.close()

    def _run(self, landmarker: Any, rgb: np.ndarray) -> list[np.ndarray]:
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(rgb))
        try:
            found = landmarker.detect(image).face_landmarks
        except RuntimeError as error:
            raise InputError(f"{self._path} does not work as a FaceLandmarker bundle: {_line(error)}") from error
        return [points_of(face, rgb.shape[1], rgb.shape[0]) for face in found]


def preload() -> None:
    """Import what models are made with, and make none: for a process of which copies are then made."""
    import_mediapipe()
    importlib.import_module("mediapipe.python.packet_creator")
    importlib.import_module("mediapipe.python.packet_getter")


_graphs: dict[str, _Graph] = {}
_making = threading.Lock()


def _shared(name: str, config: str, outputs: tuple[str, ...]) -> _Graph:
    """The graph of that name. Each takes some 15 MB and as many milliseconds to make, and several stages ask for it."""
    with _making:
        if name not in _graphs or _graphs[name].is_broken:
            _graphs[name] = _Graph(config, outputs)
        return _graphs[name]


class _Graph:
    """One MediaPipe graph without memory: an image in, packets out. Threads take turns."""

    def __init__(self, config: str, outputs: tuple[str, ...]) -> None:
        mediapipe = import_mediapipe()
        from mediapipe.python import packet_creator, packet_getter
        from mediapipe.python._framework_bindings import calculator_graph, resource_util

        self.getter = packet_getter
        self._bindings = getattr(packet_getter, "_packet_getter", None)
        self._create, self._format = packet_creator.create_image_frame, mediapipe.ImageFormat.SRGB
        self._outputs, self._clock = outputs, 0
        self._turn, self.is_broken = threading.Lock(), False
        self._out: dict[str, Any] = {}
        # The graphs name their models relative to the folder that holds the package.
        resource_util.set_resource_dir(str(Path(mediapipe.__file__).resolve().parents[1]))
        try:
            with quiet():
                self._graph = calculator_graph.CalculatorGraph(graph_config=_EXECUTOR + config)
                for name in outputs:
                    self._graph.observe_output_stream(name, self._out.__setitem__, True)
                self._graph.start_run()
                self(np.zeros((64, 64, 3), np.uint8))
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"the installed mediapipe {getattr(mediapipe, '__version__', '')} cannot load its face models "
                f"({_line(error)}); install mediapipe==0.10.21 or give a FaceLandmarker .task bundle"
            ) from error

    def __call__(self, rgb: np.ndarray) -> dict[str, Any]:
        """Packets by output name; None where the graph gave none for this image."""
        image = self._create(np.ascontiguousarray(rgb), image_format=self._format)
        with self._turn:
            self._clock += 1
            self._out.clear()
            try:
                self._graph.add_packet_to_input_stream("image", image.at(self._clock))
                self._graph.wait_until_idle()
            except (RuntimeError, ValueError):
                # A graph that has failed once takes nothing any more.
                self.is_broken = True
                raise
            found = {name: self._out.get(name) for name in self._outputs}
        return {name: None if packet is None or packet.is_empty() else packet for name, packet in found.items()}

    def serialized(self, packet: Any) -> bytes:
        """The protobuf bytes of a packet; none where the bindings do not tell them."""
        read = getattr(self._bindings, "_get_serialized_proto", None)
        return bytes(read(packet)) if read is not None else b""


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
