"""Parts of pictures over HTTP: what Pillow cuts out of the original and scales."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Framing
from tests.pictures import texture
from tests.service.api.live_service import defect, inspect_image, png, run_service

HEIGHT, WIDTH = 300, 700


@pytest.fixture(scope="module")
def original():
    return Image.fromarray(texture(1, HEIGHT, WIDTH))


def inspected(client, original):
    record = inspect_image(client, png(np.asarray(original)))
    return f"/api/inspections/{record['id']}/picture"


@pytest.fixture
def picture(client, original):
    """Address of the picture of an image."""
    return inspected(client, original)


@pytest.fixture(scope="module")
def kept_picture(kept_client, original):
    return inspected(kept_client, original)


def opened(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    return Image.open(io.BytesIO(answer.content))


def difference(image, expected):
    assert image.size == expected.size
    return np.abs(np.asarray(image).astype(int) - np.asarray(expected)).mean()


def cut(image, box, size):
    top, left, bottom, right = box
    return image.crop((left, top, right, bottom)).resize(size, Image.Resampling.BILINEAR)


@pytest.mark.parametrize(
    ("box", "asked", "size"),
    [
        ((0, 0, 300, 700), {"width": 350}, (350, 150)),
        ((0, 0, 300, 700), {"width": 350, "height": 75}, (175, 75)),
        ((40, 100, 140, 300), {}, (200, 100)),
        ((40, 100, 140, 300), {"width": 4096}, (200, 100)),
        ((40, 100, 140, 300), {"width": 50}, (50, 25)),
        ((33, 611, 300, 700), {"height": 89}, (30, 89)),
        ((299, 699, 300, 700), {"width": 1}, (1, 1)),
    ],
)
def test_a_part_is_a_crop_of_the_original(kept_client, kept_picture, original, box, asked, size):
    part = opened(kept_client.get(kept_picture, params={"box": ",".join(map(str, box)), **asked}))
    assert difference(part, cut(original, box, size)) < 3


def test_without_a_box_all_of_it_is_scaled(kept_client, kept_picture, original):
    assert difference(opened(kept_client.get(kept_picture, params={"width": 70})), original.resize((70, 30))) < 4


@pytest.mark.parametrize(
    "box", ["0,0,301,700", "0,0,300,701", "10,0,10,700", "20,0,10,700", "0,-1,9,9", "1,2,3", "a", "0,0,9.5,9", ""]
)
def test_a_box_that_is_not_within_the_image_is_refused(kept_client, kept_picture, box):
    answer = kept_client.get(kept_picture, params={"box": box})
    assert answer.status_code == 422
    assert "box" in answer.json()["error"]


def test_the_refusal_says_what_is_allowed(kept_client, kept_picture):
    error = kept_client.get(kept_picture, params={"box": "0,0,301,700"}).json()["error"]
    assert error == "box is 0,0,301,700; must be top,left,bottom,right with top < bottom <= 300 and left < right <= 700"


@pytest.mark.parametrize("size", [{"width": 0}, {"width": 4097}, {"height": 0}, {"height": 4097}, {"width": "wide"}])
def test_a_size_beyond_the_limits_is_refused(kept_client, kept_picture, size):
    assert kept_client.get(kept_picture, params=size).status_code == 422


def test_an_unchanged_part_is_not_sent_twice(kept_client, kept_picture):
    asked = {"box": "0,0,30,30", "width": 20}
    first = kept_client.get(kept_picture, params=asked)
    tag = {"If-None-Match": first.headers["etag"]}
    assert kept_client.get(kept_picture, params=asked, headers=tag).status_code == 304
    assert kept_client.get(kept_picture, params={**asked, "width": 21}, headers=tag).status_code == 200
    assert first.headers["cache-control"] == "private, no-cache"


def test_an_image_is_decoded_once_for_all_its_parts(service, client, picture):
    for left in range(0, 700, 100):
        client.get(picture, params={"box": f"0,{left},300,{left + 100}"})
    assert len(service.container.decoded) == 1


def test_parts_need_a_person_who_is_signed_in(guarded_service):
    with guarded_service.client("ann") as client:
        record = inspect_image(client, defect(1))
        address = f"/api/inspections/{record['id']}/picture?box=0,0,9,9"
        assert client.get(address).status_code == 200
    with guarded_service.client() as client:
        assert client.get(address).status_code == 401


def test_a_part_of_a_normal_image_has_the_pixels_that_were_kept(tmp_path, tiny_backbone):
    """Of 400 x 1600 pixels the bank keeps 80 x 320; a box is in pixels of the image."""
    bank = Bank.create(tmp_path / "parts.bank", tiny_backbone, Framing(64))
    bank.add([texture(seed, 400, 1600) for seed in range(12)])
    address = "/api/banks/parts/images/3/preview.jpg"
    with run_service(bank.path, tmp_path / "data") as service, service.client() as client:
        kept = opened(client.get(address))
        assert kept.size == (320, 80)
        part = opened(client.get(address, params={"box": "100,400,300,1200", "width": 2000}))
        assert difference(part, cut(kept, (20, 80, 60, 240), (160, 40))) < 2
        assert opened(client.get(address, params={"width": 40, "height": 40})).size == (40, 10)
        assert client.get(address, params={"box": "0,0,401,1600"}).status_code == 422


def test_a_normal_image_that_was_removed_is_shown_whole_only(client):
    address = "/api/banks/parts/images/3/preview.jpg"
    proposal = client.post("/api/banks/parts/proposals", json={"remove": [3]}).json()
    assert client.post(f"/api/proposals/{proposal['id']}/confirm").status_code == 201
    assert opened(client.get(address, params={"width": 32})).size == (32, 32)
    assert client.get(address, params={"box": "0,0,9,9"}).status_code == 404


def test_matches_are_sent_compressed_to_those_who_take_it(client):
    record = inspect_image(client, defect(1))
    address = f"/api/inspections/{record['id']}/matches"
    packed = client.get(address, headers={"Accept-Encoding": "gzip"})
    plain = client.get(address, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert int(packed.headers["content-length"]) < 0.6 * len(plain.content)
    assert all(len(json.dumps(value)) <= 12 for value in plain.json()["distance"])
