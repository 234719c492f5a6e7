"""Why: the picture, its heat and map, and the match of every place, as `Inspection` gives them."""

import io

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector
from anomalign.reporting import overlay
from tests.pictures import texture
from tests.service.api.serving import defect, good, inspected, png, serving


def opened(answer):
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image.convert("RGBA") if image.format == "PNG" else image)


@pytest.fixture
def expected(bank, tmp_path):
    def inspect(content):
        (tmp_path / "image.png").write_bytes(content)
        return Detector(Bank.open(bank)).inspect(tmp_path / "image.png")

    return inspect


@pytest.mark.parametrize("content", [defect(1), good(100)])
def test_matches_are_the_inspections(client, expected, content):
    result = inspected(client, content)
    inspection = expected(content)
    for y, x in ((0, 0), (20.5, 33), (63, 63)):
        match = inspection.match_at(y, x)
        found = client.get(f"/api/inspections/{result['id']}/match", params={"y": y, "x": x}).json()
        assert (found["image_id"], found["y"], found["x"]) == (match.image_id, match.y, match.x)
        assert found["distance"] == pytest.approx(match.distance)
        assert found["per_level"] == pytest.approx(match.per_level)
    grid = client.get(f"/api/inspections/{result['id']}/matches").json()
    h, w, levels = grid["h"], grid["w"], grid["levels"]
    assert [len(grid[key]) for key in ("image", "y", "x", "distance", "p", "per_level")] == [h * w] * 5 + [
        h * w * levels
    ]
    assert [n["id"] for n in grid["neighbours"]] == [n["id"] for n in result["neighbours"]]
    assert np.allclose(np.reshape(grid["distance"], (h, w)), inspection.alignment.distance)
    assert np.allclose(np.sum(np.reshape(grid["per_level"], (h * w, levels)), axis=1), grid["distance"], rtol=1e-3)


def test_compared_with_one_normal_alone_every_match_is_in_it(client):
    result = inspected(client, defect(1))
    other = result["neighbours"][-1]["id"]
    grid = client.get(f"/api/inspections/{result['id']}/matches", params={"against": other}).json()
    assert [n["id"] for n in grid["neighbours"]] == [other]
    assert set(grid["image"]) == {0}
    assert client.get(f"/api/inspections/{result['id']}/matches", params={"against": 999}).status_code == 422


def test_the_map_is_the_inspections_to_the_bit(client, expected):
    result = inspected(client, defect(1))
    answer = client.get(f"/api/inspections/{result['id']}/map.tiff")
    assert answer.headers["content-type"] == "image/tiff"
    assert np.array_equal(opened(answer), expected(defect(1)).anomaly_map)


def test_heat_lies_where_the_inspection_has_it_and_a_normal_image_has_none(client, expected):
    result, inspection = inspected(client, defect(1)), expected(defect(1))
    overlaid = opened(client.get(f"/api/inspections/{result['id']}/overlay.png"))[..., :3]
    with Image.open(io.BytesIO(defect(1))) as image:
        wanted = overlay(np.asarray(image.convert("RGB")), inspection.heat(inspection.anomaly_map))
    # The kept rarity is rounded to 1/32 of a decade: 1/64 of the scale of heat, a few grey values.
    assert np.abs(overlaid.astype(int) - wanted).max() <= 6
    layer = opened(client.get(f"/api/inspections/{result['id']}/heat.png"))
    assert layer.shape == (64, 64, 4)
    assert layer[..., 3].any()
    normal = inspected(client, good(100))
    assert not opened(client.get(f"/api/inspections/{normal['id']}/heat.png"))[..., 3].any()
    always = client.get(f"/api/inspections/{normal['id']}/heat.png", params={"always": 1})
    assert opened(always).shape == (64, 64, 4)


def test_large_pictures_are_made_smaller_in_proportion(bank, tmp_path):
    image = np.asarray(Image.fromarray(texture(1)).resize((3000, 1000)))
    with serving(bank, tmp_path / "data") as served, served.client() as client:
        result = inspected(client, png(image))
        base = f"/api/inspections/{result['id']}"
        assert result["seen"] == [0, 0, 1000, 3000]
        assert opened(client.get(f"{base}/picture")).shape[:2] == (683, 2048)
        assert opened(client.get(f"{base}/heat.png?always=1")).shape[:2] == (683, 2048)
        assert opened(client.get(f"{base}/thumbnail.jpg")).shape[:2] == (107, 320)
        assert opened(client.get(f"{base}/map.tiff")).shape == (1000, 3000)


def test_an_unchanged_picture_is_not_sent_twice(client):
    result = inspected(client, defect(1))
    for name in ("picture", "thumbnail.jpg", "heat.png"):
        first = client.get(f"/api/inspections/{result['id']}/{name}")
        again = client.get(f"/api/inspections/{result['id']}/{name}", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_without_its_picture_a_record_still_tells_what_it_kept(served, client):
    result = inspected(client, defect(1))
    served.container.image_files.path(result["sha256"]).unlink()
    base = f"/api/inspections/{result['id']}"
    assert client.get(f"{base}/picture").status_code == 404
    assert client.get(f"{base}/thumbnail.jpg").status_code == 404
    assert client.get(f"{base}/matches").status_code == 200
    assert client.get(f"{base}/heat.png").status_code == 200


def test_previews_of_normals(client):
    answer = client.get("/api/banks/parts/images/3/preview.jpg")
    assert opened(answer).shape == (64, 64, 3)
    assert client.get("/api/banks/parts/images/999/preview.jpg").status_code == 404
