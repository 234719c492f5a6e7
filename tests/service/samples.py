"""Settings, image files and a wait that the tests of the service share."""

import io
import time

from PIL import Image

from anomalign import Settings
from tests.pictures import texture

SETTINGS = Settings(gallery_size=4, image_neighbours=2)


def png(seed, *, defect=False):
    """PNG file of a texture, optionally with a defect."""
    image = texture(seed).copy()
    if defect:
        image[16:48, 16:48] = 255
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def until(condition, seconds=30):
    """Wait until a condition is true; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not become true in time"
        time.sleep(0.01)
