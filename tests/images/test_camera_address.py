"""Addresses of cameras: which text is one, and that no part of it that may be secret is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomalign.errors import InputError
from anomalign.images.camera_address import CameraAddress


@pytest.mark.parametrize(
    ("text", "kind", "shown"),
    [
        ("rtsp://10.0.0.7/live", "rtsp", "rtsp://10.0.0.7"),
        ("RTSPS://u:p@cam.example:322/a?b=c", "rtsp", "rtsps://cam.example:322"),
        ("http://u@[::1]:8080/video.mjpg?pwd=x", "http", "http://[::1]:8080"),
        ("/dev/video0", "device", "/dev/video0"),
        ("/dev/v4l/by-id/usb-Cam_1?size=640x480", "device", "/dev/v4l/by-id/usb-Cam_1"),
        ("genicam:///opt/maker/gev.cti?serial=12", "genicam", "genicam:///opt/maker/gev.cti"),
        ("clips/street.mp4", "file", "street.mp4"),
    ],
)
def test_kinds(text, kind, shown):
    address = CameraAddress.parse(text, {})
    assert (address.url, address.kind, address.shown) == (text, kind, shown)


@pytest.mark.parametrize(
    "text",
    [
        "ftp://u:hunter2@host/x",
        "u:hunter2@host",
        "rtsp://u:hunter2/x@host",
        "rtsp://u:hunter2?@host/x",
        "rtsp://u:hunter2#@host/x",
        "rtsp://",
        "http://host:99999/",
        "",
        "${MISSING}",
        "rtsp://u:${MISSING}@host",
        "rtsp://u:hunter2@host/a\r\nX: y",
        "http://host/hunter2 x",
        "http://u:${PASS-WORD}hunter2@host",
        "${ADDRESS}",
    ],
)
def test_what_is_none_is_refused_without_its_password(text):
    with pytest.raises(InputError) as caught:
        CameraAddress.parse(text, {"ADDRESS": "rtsp://u:hunter2@host/a\n"})
    assert "hunter2" not in str(caught.value)


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=8))
def test_any_password_of_the_environment_fits_into_a_url_and_is_hidden(password):
    address = CameraAddress.parse("rtsp://user:${PW}@camera:554/live", {"PW": password})
    assert address.shown == "rtsp://camera:554"
    assert address.hide(f"no answer of {address.url}") == "no answer of ***"
    assert address.hide(f"no answer for {password} there") == "no answer for *** there"
    assert address.url not in repr(address)


def test_a_variable_may_be_the_whole_address():
    url = "rtsp://user:p%40ss@camera/live"
    assert CameraAddress.parse("${CAMERA}", {"CAMERA": url}).url == url


def test_what_a_library_says_is_hidden():
    address = CameraAddress.parse("http://user:p%40ss@camera/axis-cgi?pwd=tulip", {})
    text = address.hide("error at http://user:p%40ss@camera/axis-cgi?pwd=tulip: p@ss, /axis-cgi?pwd=tulip")
    assert not any(secret in text for secret in ("p@ss", "p%40ss", "tulip"))
