"""What REST says of a bank with a region of interest, and of its inspections."""

import io

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector, Framing, RegionOfInterest
from tests.pictures import texture
from tests.service.api.live_service import inspect_image, png, run_service

SIZE = (150, 200)


def disc():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return (y - 70) ** 2 + (x - 110) ** 2 < 20**2


REGIONS = {"rectangle": RegionOfInterest(50, 90, 40, 40), "mask": RegionOfInterest.of_mask(disc())}


@pytest.fixture(params=sorted(REGIONS))
def served(request, tmp_path, tiny_backbone):
    """A client of a service with a bank of a region, the region, and an anomalous record."""
    region = REGIONS[request.param]
    bank = Bank.create(tmp_path / "parts.bank", tiny_backbone, Framing(64, region=region))
    bank.add([texture(seed, *SIZE) for seed in range(12)])
    Detector(bank).calibrate()
    image = texture(50, *SIZE).copy()
    image[62:78, 102:118] = 255
    with run_service(bank.path, tmp_path / "data") as service, service.client() as client:
        yield client, region, inspect_image(client, png(image))


def picture(client, path):
    return np.asarray(Image.open(io.BytesIO(client.get(path).content)))


def test_the_bank_tells_its_region(served):
    client, region, _ = served
    told = client.get("/api/banks/parts").json()["region"]
    assert (told["y"], told["x"], told["height"], told["width"]) == (
        region.top,
        region.left,
        region.height,
        region.width,
    )
    assert told["mask"] == (region.mask.sha256 if region.mask else None)


def test_an_inspection_tells_what_was_seen_and_what_pages_show(served):
    client, region, record = served
    top, left, bottom, right = record["seen"]
    assert (top, left, bottom, right) == (
        region.top,
        region.left,
        region.top + region.height,
        region.left + region.width,
    )
    assert record["shown"] == [top - 6, left - 6, bottom + 6, right + 6]
    matches = client.get(f"/api/inspections/{record['id']}/matches").json()
    for normal in matches["neighbours"]:
        assert (normal["seen"], normal["shown"]) == (record["seen"], record["shown"])
    if region.mask is None:
        assert matches["counted"] is None
    else:
        expected = Framing(64, region=region).counted((matches["h"], matches["w"]))
        assert matches["counted"] == expected.ravel().tolist()


def test_pictures_show_the_part_and_heat_none_outside(served):
    client, region, record = served
    base = f"/api/inspections/{record['id']}"
    assert picture(client, f"{base}/picture").shape[:2] == SIZE
    height, width = region.height + 12, region.width + 12
    assert picture(client, f"{base}/thumbnail.jpg").shape[:2] == (height, width)
    assert picture(client, "/api/banks/parts/images/3/preview.jpg").shape[:2] == SIZE
    assert picture(client, "/api/banks/parts/images/3/preview.jpg?part=1").shape[:2] == (height, width)
    placed = picture(client, f"{base}/map.tiff")
    inside = region.covers(np.arange(SIZE[0]), np.arange(SIZE[1]))
    np.testing.assert_array_equal(~np.isnan(placed), inside)
    heat = np.asarray(Image.open(io.BytesIO(client.get(f"{base}/heat.png").content)))
    np.testing.assert_array_equal(heat == 255, ~inside)  # the entry of the palette for what was not seen


def test_a_place_outside_has_no_match(served):
    client, _, record = served
    assert client.get(f"/api/inspections/{record['id']}/match?y=70&x=110").status_code == 200
    answer = client.get(f"/api/inspections/{record['id']}/match?y=45&x=85")
    assert answer.status_code == 422
    assert "lies outside" in answer.json()["error"]


def test_an_image_of_another_size_is_refused_with_its_size(served):
    client, _, _ = served
    answer = client.post("/api/banks/parts/inspections", files=[("files", ("a.png", png(texture(1, 80, 90))))])
    assert "has 80 x 90 pixels" in answer.json()["results"][0]["error"]
