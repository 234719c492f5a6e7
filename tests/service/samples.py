"""Settings, pictures and waiting that the tests of the service share."""

import io
import time

from PIL import Image

from anomalign import Settings
from tests.pictures import texture

SETTINGS = Settings(gallery_size=4, image_neighbours=2)


def png(seed, *, defect=False):
    """File content of a texture, or of one with a defect."""
    image = texture(seed).copy()
    if defect:
        image[16:48, 16:48] = 255
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def until(true, seconds=30):
    """Wait until something is so; a test's last resort is to fail by it."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
