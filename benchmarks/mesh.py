"""How fast the mesh is rendered, beside the plain formulation: one warpAffine and one mask per triangle.

    python benchmarks/mesh.py [--size 384] [--repeat 20] [--json]

Both render the same texture onto the same landmarks, in one thread; milliseconds of CPU per face.
"""

from __future__ import annotations

import argparse
import json
import time

import cv2
import numpy as np

from vidswap.faces import render, texture, topology
from vidswap.faces.pose import rotation_of

TRIANGLES = topology.triangles(holes=False)


def face(size: int, yaw: float) -> np.ndarray:
    turned = topology.canonical().astype(np.float64) @ rotation_of(yaw, 5.0, 3.0).T
    return turned * 0.27 * size + (0.5 * size, 0.37 * size, 0.0)


def plain(points: np.ndarray, places: np.ndarray, image: np.ndarray, size: int) -> np.ndarray:
    """Within the bounding box of each triangle, as tutorials have it."""
    out = np.zeros((size, size, 3), np.uint8)
    for triangle in TRIANGLES[np.argsort(-points[TRIANGLES, 2].sum(1), kind="stable")]:
        to, source = points[triangle, :2].astype(np.float32), places[triangle].astype(np.float32)
        x, y, width, height = cv2.boundingRect(to)
        a, b, w, h = cv2.boundingRect(source)
        if x < 0 or y < 0 or x + width > size or y + height > size:
            continue
        affine = cv2.getAffineTransform(source - np.array((a, b), np.float32), to - np.array((x, y), np.float32))
        part = image[max(b, 0) : b + h, max(a, 0) : a + w]
        warped = cv2.warpAffine(part, affine, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        mask = np.zeros((height, width), np.uint8)
        cv2.fillConvexPoly(mask, np.rint((to - (x, y)) * 16).astype(np.int32), 1, cv2.LINE_8, 4)
        region = out[y : y + height, x : x + width]
        region[mask > 0] = warped[mask > 0]
    return out


def ours(points: np.ndarray, places: np.ndarray, pyramid: render.Pyramid, size: int) -> np.ndarray:
    out = np.zeros((size, size, 3), np.uint8)
    raster = render.rasterise(points, TRIANGLES, (size, size))
    maps = render.affine_maps(points, places, TRIANGLES)
    painted = pyramid.paint(raster, maps, 1.0)
    seen = painted[..., 3:] > 0
    np.copyto(out[raster.window], painted[..., :3], where=seen)
    return out


def measure(size: int, repeat: int) -> dict[str, float]:
    cv2.setNumThreads(1)
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (768, 768, 3)).astype(np.uint8), (0, 0), 4)
    places = texture.atlas_points(768)
    pyramid = render.Pyramid(np.dstack([image, np.full((768, 768), 255, np.uint8)]), 1)
    poses = [face(size, yaw) for yaw in np.linspace(-40, 40, repeat)]
    spent = {}
    for name, draw in (
        ("plain", lambda p: plain(p, places, image, size)),
        ("ours", lambda p: ours(p, places, pyramid, size)),
    ):
        draw(poses[0])
        start = time.process_time()
        for points in poses:
            draw(points)
        spent[f"{name}_ms"] = 1000 * (time.process_time() - start) / len(poses)
    return {"size": size, **spent, "times_faster": spent["plain_ms"] / spent["ours_ms"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=384, help="px a side of the crop")
    parser.add_argument("--repeat", type=int, default=20, help="poses to render")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    result = measure(options.size, options.repeat)
    if options.json:
        print(json.dumps(result))
        return
    print(f"{'renderer':<12}{'ms/face':>10}")
    print(f"{'plain':<12}{result['plain_ms']:>10.2f}")
    print(f"{'ours':<12}{result['ours_ms']:>10.2f}   {result['times_faster']:.1f} times faster at {options.size} px")


if __name__ == "__main__":
    main()
