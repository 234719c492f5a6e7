"""Images and masks as TIFF: turned, or of 16 bits."""

import numpy as np
import pytest
import tifffile

from anomalign import read_image
from anomalign.evaluation.datasets.reading import mask_values
from anomalign.images.size import image_size
from tests.pictures import texture


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_has_the_size_that_is_seen(tmp_path, orientation, dtype):
    pixels = texture(1, 24, 40).astype(dtype) * (257 if dtype == np.uint16 else 1)
    tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    assert image_size(tmp_path / "x.tif") == read_image(tmp_path / "x.tif").shape[:2]
    assert image_size(tmp_path / "x.tif") == ((40, 24) if orientation > 4 else (24, 40))


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_mask_of_any_depth_marks_what_is_not_black(tmp_path, dtype, photometric, orientation):
    """Also with the value 1 of 65,535, which would be black among 8 bits."""
    largest = {"u1": 255, "u2": 65535, "u4": 65535, "i2": 32767}[dtype]
    values = np.zeros((24, 40), dtype)
    values[3:9, 5:30] = 1
    if photometric == "miniswhite":
        values = (largest - values).astype(dtype)
    options = {"photometric": photometric, "extratags": [(274, 3, 1, orientation, True)]}
    tifffile.imwrite(tmp_path / "m.tif", values, **options)
    marked = np.zeros((24, 40), bool)
    marked[3:9, 5:30] = True
    upright = np.rot90(marked, -1) if orientation == 6 else marked
    np.testing.assert_array_equal(mask_values(tmp_path / "m.tif").values > 0, upright)


def test_an_image_that_pillow_does_not_open_has_a_size(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((24, 40), np.float16))
    assert image_size(tmp_path / "x.tif") == (24, 40)
