import json

import cv2
import numpy as np
import pytest
from PIL import Image

from vidswap.faces import label_maps
from vidswap.graph.errors import InputError


def test_both_orders_of_classes_are_those_of_the_released_tables(shared):
    told = json.loads((shared / "fixtures" / "e4s" / "label_maps.json").read_text())
    classes = np.arange(19, dtype=np.uint8)
    assert label_maps.to_regions(classes, "bisenet").tolist() == told["bisenet19_to_12"]
    assert label_maps.to_regions(classes, "celebamask").tolist() == told["celebamask19_to_12"]
    assert list(label_maps.BISENET) == told["bisenet19"]
    assert list(label_maps.CELEBAMASK) == told["celebamask19"]
    assert list(label_maps.REGIONS) == told["regions12"]


def test_the_two_orders_differ_where_users_would_notice():
    assert label_maps.to_regions(np.array([10]), "bisenet") == label_maps.REGIONS.index("nose")
    assert label_maps.to_regions(np.array([10]), "celebamask") == label_maps.REGIONS.index("mouth")


def test_a_label_map_is_read_in_either_order_and_brought_to_size(tmp_path):
    labels = np.zeros((64, 64), np.uint8)
    labels[16:48, 16:48] = 13
    Image.fromarray(labels).save(tmp_path / "map.png")
    found = label_maps.read_label_map(tmp_path / "map.png", "celebamask", 32)
    assert found.shape == (32, 32)
    assert set(np.unique(found)) == {0, 4}
    assert label_maps.read_label_map(tmp_path / "map.png", "bisenet", 64)[30, 30] == 1


def test_a_map_that_was_written_is_read_again(tmp_path):
    labels = np.arange(12, dtype=np.uint8).repeat(48).reshape(24, 24)
    label_maps.write_label_map(tmp_path / "map.png", labels)
    assert np.array_equal(label_maps.read_label_map(tmp_path / "map.png", "regions", 24), labels)


@pytest.mark.parametrize(
    ("image", "order", "told"),
    [
        (np.full((32, 32), 19, np.uint8), "bisenet", "label 19 is none of 0..18"),
        (np.full((32, 32), 12, np.uint8), "regions", "label 12 is none of 0..11"),
        (np.full((32, 32), 200, np.uint8), "celebamask", "colours are no labels"),
        (np.zeros((32, 40), np.uint8), "bisenet", "is 40x32 pixels"),
        (np.zeros((8, 8), np.uint8), "bisenet", "is 8x8 pixels"),
        (np.random.default_rng(0).integers(0, 9, (32, 32, 3), dtype=np.uint8), "bisenet", "coloured picture"),
    ],
)
def test_a_bad_label_map_is_one_line(tmp_path, image, order, told):
    path = tmp_path / "map.png"
    cv2.imwrite(str(path), image)
    with pytest.raises(InputError, match=told) as error:
        label_maps.read_label_map(path, order, 32)
    assert "\n" not in str(error.value)


def test_what_is_no_picture_or_not_there_is_one_line(tmp_path):
    (tmp_path / "map.png").write_text("no picture")
    with pytest.raises(InputError, match="cannot be read as a label map"):
        label_maps.read_label_map(tmp_path / "map.png", "bisenet", 32)
    with pytest.raises(InputError, match="no such label map"):
        label_maps.read_label_map(tmp_path / "none.png", "bisenet", 32)


def test_an_unknown_order_names_those_there_are():
    with pytest.raises(InputError, match="regions, bisenet, celebamask"):
        label_maps.to_regions(np.zeros((4, 4), np.uint8), "segnext")


@pytest.mark.parametrize(
    "labels",
    [np.zeros((4, 5), np.uint8), np.zeros((4, 4), np.int32), np.full((4, 4), 12, np.uint8), np.zeros((4, 4, 1))],
)
def test_what_is_no_label_map_is_refused(labels):
    with pytest.raises(InputError, match="label"):
        label_maps.checked(labels)


def test_packing_keeps_labels_and_holes():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 12, (96, 96), dtype=np.uint8)
    hole = (labels == 6) & (rng.random((96, 96)) < 0.5)
    kept = label_maps.packed(labels, hole)
    # As numpy keeps bytes of a fixed width: zero bytes at the end are lost.
    kept = np.array([kept, kept + b"longer"])[0]
    found, holes = label_maps.unpacked(bytes(kept))
    assert np.array_equal(found, labels)
    assert np.array_equal(holes, hole)
