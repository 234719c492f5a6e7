"""The normal image on the inspection page: its photograph where there is one, else a preview that says so."""

import shutil

import pytest

from anomalign.service.configuration import NormalsFolder
from tests.pictures import texture
from tests.service.api.live_service import inspect_image, make_bank_of_photographs, png, run_service
from tests.service.pages.test_inspection import open_inspection

SIZE = (400, 400)  # of the photographs; the bank keeps 320 x 320


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_backbone):
    return make_bank_of_photographs(tmp_path_factory.mktemp("made"), tiny_backbone, 8, SIZE)


@pytest.mark.parametrize("is_named", [True, False])
def test_a_preview_says_so_and_a_photograph_has_all_pixels(browse, made, tmp_path, is_named):
    bank = shutil.copytree(made / "parts.bank", tmp_path / "parts.bank")
    normals = (NormalsFolder(folder=made / "photographs"),) if is_named else ()
    with run_service(bank, tmp_path / "data", normals=normals) as service:
        with service.client() as client:
            record = inspect_image(client, png(texture(50, *SIZE)))
        with browse(service.url) as page:
            open_inspection(page, record)
            image = page.locator("#there .layers img:not(.away)")
            page.wait_for_function("image => image.naturalWidth", arg=image.element_handle())
            assert image.evaluate("image => image.naturalWidth") == (400 if is_named else 320)
            assert page.get_by_text("preview", exact=True).is_visible() is not is_named
