"""Files of regions for other programs, read again by literal readers."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy import ndimage

from anomalign.reporting.region_files import COLUMNS, CocoFile, RegionTable, run_lengths, write_mask


def decoded(segmentation):
    """COCO's definition: runs of zeros and ones in turn, down the columns."""
    height, width = segmentation["size"]
    pixels = []
    for number, count in enumerate(segmentation["counts"]):
        pixels += [number % 2 == 1] * count
    assert len(pixels) == height * width
    return np.array(pixels).reshape(width, height).T


@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_run_lengths_decode_to_the_mask(mask):
    counts = run_lengths(mask, 0, 0, *mask.shape)
    np.testing.assert_array_equal(decoded({"size": mask.shape, "counts": counts}), mask)
    assert all(count > 0 for count in counts[1:])


@given(
    arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 4))),
    *[st.integers(0, 3)] * 4,
)
def test_run_lengths_of_a_part_are_those_of_the_image(mask, top, left, below, beside):
    whole = np.pad(mask, ((top, below), (left, beside)))
    assert run_lengths(mask, top, left, *whole.shape) == run_lengths(whole, 0, 0, *whole.shape)


def test_coco_masks_boxes_and_areas_are_those_of_the_regions(run, tmp_path):
    coco = CocoFile(tmp_path / "deep" / "coco.json")
    for inspection in run.inspections:
        coco.add(inspection)
    for failure in run.failures:
        coco.fail(failure)
    coco.write()
    content = json.loads((tmp_path / "deep" / "coco.json").read_text("utf-8"))
    assert [(i["id"], i["file_name"], i["height"], i["width"]) for i in content["images"]] == [
        (number, i.name, i.height, i.width) for number, i in enumerate(run.inspections, 1)
    ]
    of_image = {i["id"]: inspection for i, inspection in zip(content["images"], run.inspections, strict=True)}
    assert len(content["annotations"]) == sum(len(i.regions) for i in run.inspections) > 0
    assert [a["id"] for a in content["annotations"]] == list(range(1, len(content["annotations"]) + 1))
    together = {id: np.zeros((i.height, i.width), int) for id, i in of_image.items()}
    for annotation in content["annotations"]:
        assert content["categories"][annotation["category_id"] - 1]["id"] == annotation["category_id"]
        mask = decoded(annotation["segmentation"])
        rows, columns = ndimage.find_objects(mask.astype(int))[0]
        assert annotation["bbox"] == [
            columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start,
        ]  # fmt: skip
        assert annotation["area"] == mask.sum()
        score_map = of_image[annotation["image_id"]].score_map
        assert annotation["score"] == pytest.approx(score_map[mask].max(), rel=1e-6)
        together[annotation["image_id"]] += mask
    for id, inspection in of_image.items():
        np.testing.assert_array_equal(together[id], inspection.region_labels() > 0)


def test_the_table_has_a_line_a_region_and_one_for_what_has_none(run, tmp_path):
    table = RegionTable(tmp_path / "table.csv")
    for inspection in run.inspections:
        table.add(inspection)
    for failure in run.failures:
        table.fail(failure)
    table.write()
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    rest = iter(rows)
    for inspection in run.inspections:
        for number, region in enumerate(inspection.regions or [None], 1):
            row = next(rest)
            assert row["path"] == inspection.name
            assert (row["verdict"], float(row["image_score"])) == (inspection.verdict, inspection.image_score)
            assert (int(row["height"]), int(row["region_count"])) == (inspection.height, inspection.region_count)
            if region is None:
                assert (row["region"], row["top"], row["error"]) == ("", "", "")
                continue
            assert int(row["region"]) == number
            assert tuple(int(row[name]) for name in ("top", "left", "bottom", "right")) == region.box
            assert (int(row["peak_y"]), int(row["peak_x"])) == region.peak
            assert (float(row["centre_y"]), float(row["centre_x"])) == region.centre
            assert (float(row["peak_p_value"]), float(row["peak_place_score"])) == (region.p_value, region.place_score)
            assert int(row["area_px"]) == region.area_px
    for failure, row in zip(run.failures, rest, strict=True):
        assert (row["path"], row["error"], row["verdict"]) == (failure.name, failure.error, "")


def test_a_mask_is_white_where_there_is_a_region(run, tmp_path):
    inspection = run.anomalous()[0]
    labels = inspection.region_labels()
    write_mask(tmp_path / "masks" / "one.png", labels)
    with Image.open(tmp_path / "masks" / "one.png") as image:
        assert (image.mode, image.size) == ("L", (inspection.width, inspection.height))
        np.testing.assert_array_equal(np.asarray(image), np.where(labels > 0, 255, 0))
