import contextlib
import io
import time

import pytest
from PIL import Image

from anomalign import Settings
from anomalign.service.pictures import Pictures
from anomalign.service.pool import Pool
from anomalign.service.station import Station
from anomalign.service.store import Store
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


@pytest.fixture
def station(bank):
    return Station(bank, settings=SETTINGS)


@pytest.fixture
def store(tmp_path):
    with contextlib.closing(Store.open(f"sqlite:///{tmp_path}/records.sqlite")) as store:
        yield store


@pytest.fixture
def pictures(tmp_path):
    return Pictures(tmp_path / "pictures", 10**9)


@pytest.fixture
def make_pool(station, store, pictures):
    """Pools that are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(**options):
            given = {"stations": {station.name: station}, "store": store, "pictures": pictures, **options}
            pool = Pool(given.pop("stations"), given.pop("store"), given.pop("pictures"), **given)
            stack.callback(pool.close)
            return pool

        yield make
