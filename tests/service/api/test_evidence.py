"""Evidence over HTTP: image, heat, map and matches are those of `Inspection`."""

import io

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector, Framing
from anomalign.reporting import overlay
from tests.pictures import texture
from tests.service.api.live_service import defect, good, inspect_image, png, run_service


def open_image(answer):
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image.convert("RGBA") if image.format == "PNG" else image)


@pytest.fixture
def expected(bank, tmp_path):
    def inspect(content):
        (tmp_path / "image.png").write_bytes(content)
        detector = Detector(Bank.open(bank))
        return detector.align(detector.inspect(tmp_path / "image.png"))

    return inspect


@pytest.mark.parametrize("content", [defect(1), good(100)])
def test_matches_are_the_inspections(client, expected, content):
    result = inspect_image(client, content)
    inspection = expected(content)
    for y, x in ((0, 0), (20.5, 33), (63, 63)):
        match = inspection.match_at(y, x)
        answer = client.get(f"/api/inspections/{result['id']}/match", params={"y": y, "x": x}).json()
        assert (answer["image_id"], answer["y"], answer["x"]) == (match.image_id, match.y, match.x)
        assert answer["distance"] == pytest.approx(match.distance)
        assert answer["per_level"] == pytest.approx(match.per_level)
        assert answer["usual"] == pytest.approx(match.usual)
    grid = client.get(f"/api/inspections/{result['id']}/matches").json()
    h, w, levels = grid["h"], grid["w"], grid["levels"]
    assert [len(grid[key]) for key in ("image", "y", "x", "distance", "p", "per_level")] == [h * w] * 5 + [
        h * w * levels
    ]
    assert [n["id"] for n in grid["neighbours"]] == [n["id"] for n in result["neighbours"]]
    assert np.allclose(np.reshape(grid["distance"], (h, w)), inspection.alignment.distance)
    assert np.allclose(np.reshape(grid["place_score"], (h, w)), inspection.aligned.place_scores)
    assert np.allclose(np.reshape(grid["usual"], (h, w, 2)), inspection.comparison.places.usual)
    assert np.allclose(np.sum(np.reshape(grid["per_level"], (h * w, levels)), axis=1), grid["distance"], rtol=1e-3)


def test_compared_with_one_normal_alone_every_match_is_in_it(client):
    result = inspect_image(client, defect(1))
    other = result["neighbours"][-1]["id"]
    grid = client.get(f"/api/inspections/{result['id']}/matches", params={"against": other}).json()
    assert [n["id"] for n in grid["neighbours"]] == [other]
    assert set(grid["image"]) == {0}
    assert client.get(f"/api/inspections/{result['id']}/matches", params={"against": 999}).status_code == 422


def test_the_map_is_the_inspections_to_the_bit(client, expected):
    result = inspect_image(client, defect(1))
    answer = client.get(f"/api/inspections/{result['id']}/map.tiff")
    assert answer.headers["content-type"] == "image/tiff"
    assert np.array_equal(open_image(answer), expected(defect(1)).anomaly_map)


def test_heat_lies_where_the_inspection_has_it_and_a_normal_image_has_none(client, expected):
    result, inspection = inspect_image(client, defect(1)), expected(defect(1))
    actual_overlay = open_image(client.get(f"/api/inspections/{result['id']}/overlay.png"))[..., :3]
    with Image.open(io.BytesIO(defect(1))) as image:
        expected_overlay = overlay(np.asarray(image.convert("RGB")), inspection.heat(inspection.score_map))
    # The stored rarity is rounded to 1/32 of a decade: 1/64 of the scale of heat, a few grey values.
    assert np.abs(actual_overlay.astype(int) - expected_overlay).max() <= 8
    layer = open_image(client.get(f"/api/inspections/{result['id']}/heat.png"))
    assert layer.shape == (64, 64, 4)
    assert layer[..., 3].any()
    normal = inspect_image(client, good(100))
    assert not open_image(client.get(f"/api/inspections/{normal['id']}/heat.png"))[..., 3].any()
    always = client.get(f"/api/inspections/{normal['id']}/heat.png", params={"always": 1})
    assert open_image(always).shape == (64, 64, 4)


def test_large_images_are_scaled_down_in_proportion(bank, tmp_path):
    image = np.asarray(Image.fromarray(texture(1)).resize((3000, 1000)))
    with run_service(bank, tmp_path / "data") as service, service.client() as client:
        result = inspect_image(client, png(image))
        base = f"/api/inspections/{result['id']}"
        assert result["seen"] == [0, 0, 1000, 3000]
        assert open_image(client.get(f"{base}/picture")).shape[:2] == (683, 2048)
        assert open_image(client.get(f"{base}/picture?full=true")).shape[:2] == (1000, 3000)
        assert open_image(client.get(f"{base}/heat.png?always=1")).shape[:2] == (683, 2048)
        assert open_image(client.get(f"{base}/thumbnail.jpg")).shape[:2] == (107, 320)
        assert open_image(client.get(f"{base}/map.tiff")).shape == (1000, 3000)


def test_a_thumbnail_of_a_box_is_that_part_of_the_overlay(client):
    result = inspect_image(client, defect(1))
    base = f"/api/inspections/{result['id']}"
    whole = open_image(client.get(f"{base}/overlay.png"))[..., :3].astype(int)
    part = open_image(client.get(f"{base}/thumbnail.jpg", params={"box": "10,20,60,52"}))
    assert part.shape == (50, 32, 3)
    assert np.abs(part - whole[10:60, 20:52]).mean() < 6  # what JPEG loses
    assert client.get(f"{base}/thumbnail.jpg", params={"box": "10,20,65,52"}).status_code == 422


def test_an_unchanged_image_is_not_sent_twice(client):
    result = inspect_image(client, defect(1))
    for name in ("picture", "thumbnail.jpg", "heat.png"):
        first = client.get(f"/api/inspections/{result['id']}/{name}")
        again = client.get(f"/api/inspections/{result['id']}/{name}", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_without_its_image_file_a_record_still_has_its_matches_and_heat(service, client):
    result = inspect_image(client, defect(1))
    service.container.image_files.path(result["sha256"]).unlink()
    base = f"/api/inspections/{result['id']}"
    assert client.get(f"{base}/picture").status_code == 404
    assert client.get(f"{base}/thumbnail.jpg").status_code == 404
    assert client.get(f"{base}/matches").status_code == 200
    assert client.get(f"{base}/heat.png").status_code == 200


def test_previews_of_normals(client):
    answer = client.get("/api/banks/parts/images/3/preview.jpg")
    assert open_image(answer).shape == (64, 64, 3)
    assert client.get("/api/banks/parts/images/999/preview.jpg").status_code == 404


def test_a_deep_image_is_shown_as_its_bank_reads_it(tmp_path, tiny_backbone):
    """By itself a dark image of 12 bits would be taken for one of 10 bits, and drawn four times as bright."""

    def deep(seed, share=1):
        return np.ascontiguousarray(texture(seed)[:, :, 1] // share).astype(np.uint16) << 4

    bank = Bank.create(tmp_path / "parts.bank", tiny_backbone, Framing(64))
    bank.add([deep(seed) for seed in range(12)])
    assert bank.identity.reading.bits == 12
    with run_service(bank.path, tmp_path / "data") as service, service.client() as client:
        result = inspect_image(client, png(deep(50, 8)))
        shown = open_image(client.get(f"/api/inspections/{result['id']}/picture"))
    assert np.abs(shown.astype(int) - (deep(50, 8) >> 4)).max() <= 3
