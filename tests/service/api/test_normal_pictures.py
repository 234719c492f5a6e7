"""`/api/banks/{bank}/images/{id}/picture`: the photograph of a normal image where it may be shown, else the preview."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from anomalign.service.configuration import NormalsFolder
from tests.pictures import texture
from tests.service.api.live_service import make_bank_of_photographs, png, run_service

ADDRESS = "/api/banks/parts/images/3/picture"
SIZE = (100, 400)


def opened(answer):
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_backbone):
    """Photographs of 100 x 400 px, and a bank of them, which keeps 80 x 320."""
    return make_bank_of_photographs(tmp_path_factory.mktemp("made"), tiny_backbone, 12, SIZE)


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made / "photographs", tmp_path / "photographs")


@pytest.fixture
def serve(made, tmp_path):
    bank = shutil.copytree(made / "parts.bank", tmp_path / "parts.bank")

    def serve(*folders):
        return run_service(bank, tmp_path / "data", normals=tuple(NormalsFolder(folder=one) for one in folders))

    return serve


def test_the_photograph_is_shown_with_all_its_pixels(serve, folder):
    with serve(folder) as service, service.client() as client:
        assert np.abs(opened(client.get(ADDRESS)) - texture(2, *SIZE)).mean() < 3
        part = opened(client.get(ADDRESS, params={"box": "25,100,75,300", "width": 2000}))
        assert np.abs(part - texture(2, *SIZE)[25:75, 100:300]).mean() < 3
        assert opened(client.get(ADDRESS, params={"width": 200})).shape[:2] == (50, 200)
        assert client.get(ADDRESS, params={"box": "0,0,101,400"}).status_code == 422
        assert client.get("/api/banks/parts/images/999/picture").status_code == 404
        assert opened(client.get(ADDRESS.replace("picture", "preview.jpg"))).shape[:2] == (80, 320)
        tag = client.get(ADDRESS).headers["etag"]
        assert client.get(ADDRESS, headers={"If-None-Match": tag}).status_code == 304


def test_without_the_folder_the_preview_is_shown(serve):
    with serve() as service, service.client() as client:
        preview = client.get(ADDRESS.replace("picture", "preview.jpg"))
        assert client.get(ADDRESS).content == preview.content


@pytest.mark.parametrize("content", [None, b"", png(texture(99, *SIZE))], ids=["missing", "empty", "replaced"])
def test_a_photograph_that_is_not_the_recorded_one_is_not_shown(serve, folder, content):
    file = folder / "02.png"
    file.unlink() if content is None else file.write_bytes(content)
    with serve(folder) as service, service.client() as client:
        assert opened(client.get(ADDRESS)).shape[:2] == (80, 320)
        assert opened(client.get(ADDRESS, params={"box": "25,100,75,300"})).shape[:2] == (40, 160)


def test_a_photograph_too_large_to_decode_is_shown_as_the_preview(serve, folder):
    with serve(folder) as service, service.client() as client:
        object.__setattr__(service.container.configuration, "max_pixels", SIZE[0] * SIZE[1] - 1)
        assert opened(client.get(ADDRESS)).shape[:2] == (80, 320)


def test_a_removed_image_is_shown_as_the_preview(serve, folder):
    with serve(folder) as service, service.client() as client:
        proposal = client.post("/api/banks/parts/proposals", json={"remove": [3]}).json()
        assert client.post(f"/api/proposals/{proposal['id']}/confirm").status_code == 201
        assert opened(client.get(ADDRESS)).shape[:2] == (80, 320)
