"""The GenICam camera against a stand-in for harvesters. It was never tried on a camera."""

import contextlib
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from anomalign.errors import CameraError, InputError
from anomalign.images.camera import open_camera
from anomalign.images.camera_address import CameraAddress
from anomalign.images.genicam_camera import read_address
from tests.pictures import texture


class Harvester:
    """What harvesters 1.4.3 has of these names."""

    def __init__(self):
        Harvester.calls = []

    def add_file(self, path, check_existence=False):
        if "absent" in path:
            raise FileNotFoundError(path)
        self.calls.append(("add_file", path))

    def update(self):
        self.calls.append("update")

    def create(self, search_key=None):
        self.calls.append(("create", search_key))
        return Acquirer()

    def reset(self):
        self.calls.append("reset")


class Acquirer:
    components = ()

    def start(self):
        Harvester.calls.append("start")

    def stop(self):
        Harvester.calls.append("stop")

    def destroy(self):
        Harvester.calls.append("destroy")

    def try_fetch(self, *, timeout):
        if not Acquirer.components:
            return None
        payload = SimpleNamespace(components=[Acquirer.components.pop(0)])

        return Buffer(payload)


class Buffer:
    def __init__(self, payload):
        self.payload = payload

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.payload.components[0].data[:] = 0  # the camera writes its next image there


@pytest.fixture(autouse=True)
def harvesters(monkeypatch):
    module = ModuleType("harvesters.core")
    module.Harvester = Harvester
    monkeypatch.setitem(sys.modules, "harvesters", ModuleType("harvesters"))
    monkeypatch.setitem(sys.modules, "harvesters.core", module)


def component(data, data_format):
    return SimpleNamespace(
        height=data.shape[0], width=data.shape[1], data=data.copy().reshape(-1), data_format=data_format
    )


def opened(max_pixels=10**6, address="genicam:///opt/maker/gev.cti?serial=1234"):
    return contextlib.closing(open_camera(CameraAddress.parse(address, {}), max_pixels))


def test_it_opens_the_camera_of_that_serial_number_and_lets_go_of_it():
    with opened():
        pass
    begin = [("add_file", "/opt/maker/gev.cti"), "update", ("create", {"serial_number": "1234"}), "start"]
    assert Harvester.calls == [*begin, "stop", "destroy", "reset"]


def test_a_frame_is_a_copy_in_rgb():
    image = texture(1)
    Acquirer.components = [
        component(image, "RGB8"),
        component(image[:, :, ::-1], "BGR8"),
        component(image[:, :, 0], "Mono8"),
    ]
    with opened() as camera:
        rgb, bgr, mono = (camera.read().pixels() for _ in range(3))
    assert (rgb == image).all()
    assert (bgr == image).all()
    assert (mono == image[:, :, :1]).all()


@pytest.mark.parametrize(
    ("name", "red"), [("BayerRG8", (0, 0)), ("BayerBG8", (1, 1)), ("BayerGR8", (0, 1)), ("BayerGB8", (1, 0))]
)
def test_a_pattern_of_red_filters_gives_red(name, red):
    pytest.importorskip("av", reason="PyAV is not installed")
    pattern = np.zeros((16, 16), np.uint8)
    pattern[red[0] :: 2, red[1] :: 2] = 200
    Acquirer.components = [component(pattern, name)]
    with opened() as camera:
        image = camera.read().pixels()
    assert image[4:12, 4:12].reshape(-1, 3).mean(0).round().tolist() == [200, 0, 0]


def test_what_it_cannot_read_is_said():
    Acquirer.components = [component(texture(1), "RGB8")]
    with opened(max_pixels=100) as camera, pytest.raises(CameraError, match="limit"):
        camera.read()
    Acquirer.components = []
    with opened() as camera, pytest.raises(CameraError, match="no frame within"):
        camera.read()
    Acquirer.components = [component(texture(1), "Mono12Packed")]
    with opened() as camera, pytest.raises(CameraError, match="set PixelFormat of the camera"):
        camera.read()
    with pytest.raises(CameraError, match="absent"):
        opened(address="genicam:///absent.cti")


@pytest.mark.parametrize(
    ("text", "word"), [("genicam:///x.dll", r"\.cti"), ("genicam:///x.cti?number=1", "no option 'number'")]
)
def test_addresses_that_are_wrong(text, word):
    with pytest.raises(InputError, match=word):
        read_address(CameraAddress.parse(text, {}))


def test_without_the_extra_it_says_which(monkeypatch):
    monkeypatch.setitem(sys.modules, "harvesters", None)
    monkeypatch.setitem(sys.modules, "harvesters.core", None)
    with pytest.raises(CameraError, match=r"anomalign\[genicam\]"):
        opened()
