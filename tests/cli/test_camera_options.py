"""Options of cameras: which bank, which time, which topic; and no error that repeats a password."""

from pathlib import Path

import pytest

pytest.importorskip("av", reason="PyAV is not installed")

from anomalign.cli.camera_options import read_cameras
from anomalign.errors import InputError

TOP, LEFT = "top=rtsp://ann:hunter2@10.0.0.7/live?a=b", "left=/dev/video0?size=640x480"
ONE, TWO = [Path("screws.bank")], [Path("screws.bank"), Path("nuts.bank")]


def read(cameras, camera_banks=(), every=(), triggers=(), banks=ONE, **environment):
    found = read_cameras(cameras, camera_banks, every, triggers, banks, environment)
    return [(one.name, one.bank, one.every_s, one.topic) for one in found]


def test_each_camera_has_a_bank_and_what_triggers_it():
    assert read([TOP]) == [("top", "screws", None, None)]
    assert read([TOP, LEFT], every=["0.5s"]) == [("top", "screws", 0.5, None), ("left", "screws", 0.5, None)]
    assert read([TOP, LEFT], ["left=nuts", "top=screws"], ["2s", "top=0.1s"], ["left=line/1"], banks=TWO) == [
        ("top", "screws", 0.1, None),
        ("left", "nuts", 2.0, "line/1"),
    ]


def test_an_address_keeps_its_query_and_gets_its_variables():
    (camera,) = read_cameras(["top=rtsp://ann:${PW}@host/live?a=b"], [], [], [], ONE, {"PW": "x/y"})
    assert camera.address.url == "rtsp://ann:x%2Fy@host/live?a=b"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"cameras": ["rtsp://ann:hunter2@host/live"]}, "not NAME=VALUE"),
        ({"cameras": ["rtsp://ann:hunter2@host/live?a=b"]}, "not NAME=VALUE"),
        ({"cameras": ["top="]}, "not NAME=VALUE"),
        ({"cameras": ["..=rtsp://ann:hunter2@host"]}, "not NAME=VALUE"),  # its page would be another one
        ({"cameras": ["top=ftp://ann:hunter2@host"]}, "--camera top: not the address of a camera"),
        ({"cameras": ["top=rtsp://ann:hunter2/@host"]}, "--camera top: rtsp://: the address"),
        ({"cameras": ["top=rtsp://ann:${PW}@host"]}, r"--camera top: \$\{PW\}: there is no variable"),
        ({"cameras": ["top=/dev/video0?fps=3"]}, "no option 'fps'"),
        ({"cameras": ["top=genicam:///a.dll"]}, r"names no GenTL producer"),
        ({"cameras": ["top=nix.mp4"]}, "nix.mp4: no such file"),
        ({"cameras": [TOP, TOP]}, "--camera top: given twice"),
        ({"cameras": [TOP], "banks": TWO}, "choose one with --camera-bank top=BANK"),
        (
            {"cameras": [TOP], "camera_banks": ["left=screws"]},
            "--camera-bank left: no camera of this name; there are top",
        ),
        ({"cameras": [TOP], "every": ["left=1s"]}, "--every left: no camera"),
        ({"cameras": [TOP], "every": ["10"]}, "give seconds, as 0.5s"),
        ({"cameras": [TOP], "every": ["0s"]}, "every is '0s'"),
        ({"cameras": [TOP], "every": ["0.001s"]}, "every 0.001 s"),
        ({"cameras": [TOP], "every": ["1s", "2s"]}, "given twice"),
        ({"cameras": [], "every": ["1s"]}, "there is no camera"),
        ({"cameras": [], "triggers": ["top=a"]}, "--trigger top: no camera"),
        ({"cameras": [TOP], "triggers": ["top=a/#"]}, "is not a topic"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(options, word):
    with pytest.raises(InputError, match=word) as caught:
        read(**options)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("address", "extra"), [("rtsp://host", "video"), ("genicam:///a.cti", "genicam")])
def test_without_the_extra_it_says_which(address, extra, monkeypatch):
    monkeypatch.setattr("anomalign.cli.camera_options.find_spec", lambda _: None)
    with pytest.raises(InputError, match=rf"anomalign\[{extra}\]"):
        read([f"top={address}"])
