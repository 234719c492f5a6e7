"""Cameras of the network: their frames are right, and they can neither lead elsewhere nor give their password away."""

import contextlib
import shutil
import ssl
import subprocess
import threading
import time

import numpy as np
import pytest

from anomalign.errors import CameraError, ImageError
from anomalign.images.camera import open_camera
from anomalign.images.camera_address import CameraAddress
from tests.pictures import texture
from tests.stream_servers import http_stream, jpeg, mjpeg_camera, rtsp_camera

av = pytest.importorskip("av", reason="PyAV is not installed")

from anomalign.images import stream_camera  # noqa: E402
from tests.videos import write_video  # noqa: E402

PASSWORD = "se@cr/et?1"


def opened(url, max_pixels=10**6, **environment):
    return contextlib.closing(open_camera(CameraAddress.parse(url, environment), max_pixels))


def brightness(image):
    return round(float(image.mean()))


def read_on(camera):
    while True:
        camera.read().pixels()


def grey(level, height=48, width=64):
    return np.full((height, width, 3), level, np.uint8)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(stream_camera, "OPEN_S", 0.5)
    monkeypatch.setattr(stream_camera, "READ_S", 0.5)


@contextlib.contextmanager
def watching(server, scheme="http", first=None, **options):
    """A camera that is open; MJPEG is sent frames until it is, as FFmpeg looks at the first."""
    stop = threading.Event()

    def feed():
        while not stop.wait(0.01):
            server.send_jpeg(first)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        camera = open_camera(
            CameraAddress.parse(f"{scheme}://127.0.0.1:{server.port}/", {}), **{"max_pixels": 10**6, **options}
        )
    finally:
        stop.set()
        thread.join()
    with contextlib.closing(camera):
        yield camera


def test_a_camera_that_sends_only_what_is_no_frame_is_lost(impatient):
    with mjpeg_camera() as server, watching(server, first=jpeg(texture(1))) as camera:
        stop = threading.Event()

        def feed():
            while not stop.wait(0.01):
                server.send_jpeg(b"\x89PNG of a camera that was set anew")

        thread = threading.Thread(target=feed)
        thread.start()
        try:
            with pytest.raises(CameraError, match=r"no frame within 0\.5 s, only data that cannot be used"):
                read_on(camera)
        finally:
            stop.set()
            thread.join()


def test_a_jpeg_camera_gives_the_very_files_that_it_sent():
    files = [jpeg(texture(seed)) for seed in range(5)]
    with mjpeg_camera() as server, watching(server, first=files[0]) as camera:
        for content in files[1:]:
            server.send_jpeg(content)
        found = []
        while len(found) < 4:
            frame = camera.read()
            found += [frame] if frame.jpeg != files[0] else []
    assert [frame.image_file() for frame in found] == files[1:]
    assert np.abs(found[0].pixels().astype(int) - texture(1)).mean() < 4


LEVELS = list(range(20, 220, 2))
"""Of the frames of a clip: each is its own number."""


def assert_newest_in_order(found):
    """The first ones may be missing, which were there before the camera was open."""
    assert len(found) >= 50
    begin = (found[0] - LEVELS[0]) / 2
    assert np.abs(np.subtract(found, LEVELS[round(begin) :][: len(found)])).max() <= 2


def shapes_of(camera):
    with contextlib.suppress(CameraError):
        while True:
            yield camera.read().pixels().shape[:2]


def frames_of(camera):
    found = []
    with contextlib.suppress(CameraError):
        while len(found) < len(LEVELS):
            found.append(brightness(camera.read().pixels()))
    return found


def test_an_mpeg_ts_stream_gives_its_frames_in_order(tmp_path):
    clip = write_video(tmp_path / "clip.ts", [grey(level) for level in LEVELS], codec="mpeg2video")
    with http_stream(clip.read_bytes()) as server, opened(server.url) as camera:
        assert_newest_in_order(frames_of(camera))


def test_an_rtsp_stream_gives_its_frames_to_who_has_the_password(impatient):
    with rtsp_camera([grey(level) for level in LEVELS], f"user:{PASSWORD}") as (port, _):
        with opened(f"rtsp://user:${{PW}}@127.0.0.1:{port}/live", PW=PASSWORD) as camera:
            assert_newest_in_order(frames_of(camera))
        with pytest.raises(CameraError, match="401"):
            open_camera(CameraAddress.parse(f"rtsp://user:wrong@127.0.0.1:{port}/live", {}), 10**6)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A server's side of TLS, with a certificate of its own."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    names = ["-keyout", folder / "key.pem", "-out", folder / "certificate.pem", "-subj", "/CN=localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *names]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


def test_streams_over_tls(tls, impatient):
    with (
        rtsp_camera([grey(level) for level in LEVELS], tls=tls) as (port, _),
        opened(f"rtsps://127.0.0.1:{port}/live") as camera,
    ):
        assert_newest_in_order(frames_of(camera))
    with mjpeg_camera(tls) as server, watching(server, scheme="https", first=jpeg(grey(9))) as camera:
        assert camera.read().jpeg == jpeg(grey(9))


def test_a_frame_is_a_png_without_loss_where_the_camera_sends_no_jpeg(tmp_path):
    from anomalign.images.decoding import decode

    clip = write_video(tmp_path / "clip.mp4", [texture(seed) for seed in range(3)])
    with opened(str(clip)) as camera:
        frame = camera.read()
    assert (np.asarray(decode(frame.image_file(), "frame")) == frame.pixels()).all()


def test_a_file_plays_once_at_its_pace(tmp_path):
    clip = write_video(tmp_path / "clip.mp4", [grey(level) for level in (50, 100, 150)], times=[0, 0.1, 0.3])
    start = time.monotonic()
    with opened(str(clip)) as camera:
        found = [brightness(camera.read().pixels()) for _ in range(3)]
        assert time.monotonic() - start >= 0.3
        assert camera.read() is None
    assert np.abs(np.subtract(found, [50, 100, 150])).max() <= 3


# --- what a stream names is not followed


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n/secret.ts\n",
        b"ffconcat version 1.0\nfile http://127.0.0.1:{port}/secret.ts\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 9 RTP/AVP 96\r\n",
        b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    ],
)
def test_lists_of_other_files_are_refused(content, impatient):
    with http_stream(content * 20) as server:
        with pytest.raises(CameraError, match="cannot be opened"):
            opened(server.url + "list")
        assert [path for path, _ in server.requests] == ["/list"]


def test_a_camera_cannot_lead_elsewhere(impatient):
    with mjpeg_camera() as server:
        with pytest.raises(CameraError):
            opened(server.url + "moved")
        assert [path for path, _ in server.requests] == ["/moved"]


def test_an_rtsp_camera_cannot_lead_elsewhere_and_take_the_password_along(impatient):
    images = [grey(9)] * 50
    with (
        rtsp_camera(images) as (other, heard),
        rtsp_camera(images, moved_to=f"rtsp://127.0.0.1:{other}/live") as (port, asked),
        pytest.raises(CameraError, match="cannot be opened"),
    ):
        opened(f"rtsp://user:secret@127.0.0.1:{port}/live")
    assert [method for method, _ in asked] == ["OPTIONS", "DESCRIBE"]
    assert heard == []


# --- size


def test_large_frames_are_refused_before_they_are_decoded(tmp_path):
    content = write_video(tmp_path / "clip.ts", [grey(90, 96, 128)] * 100, codec="mpeg2video").read_bytes()
    with http_stream(content) as server, pytest.raises(CameraError, match=r"128 x 96 px; the limit is 0.01 megapixels"):
        opened(server.url, max_pixels=10_000)


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_frames_that_grow_in_mid_stream_are_refused(codec, tmp_path, monkeypatch):
    """By FFmpeg itself, before it decodes them: our own check of the size is off here."""
    parts = [
        write_video(tmp_path / f"{n}.ts", [grey(90, 48 * n, 64 * n)] * 100, codec=codec).read_bytes() for n in (1, 2)
    ]
    monkeypatch.setattr(stream_camera.StreamCamera, "_check_size", lambda _: None)
    for limit, expected in ((5_000, {(48, 64)}), (10**6, {(48, 64), (96, 128)})):
        with http_stream(b"".join(parts)) as server, opened(server.url, max_pixels=limit) as camera:
            assert set(shapes_of(camera)) == expected


def test_a_jpeg_that_grows_is_refused():
    with mjpeg_camera() as server, watching(server, first=jpeg(grey(9)), max_pixels=5_000) as camera:
        large = jpeg(grey(9, 96, 128))
        server.send_jpeg(large)
        while (frame := camera.read()).jpeg != large:
            pass
        with pytest.raises(ImageError, match="megapixels"):
            frame.pixels()


# --- time, and secrets


def test_a_camera_that_hangs_is_lost(impatient):
    with mjpeg_camera() as server:
        with pytest.raises(CameraError, match=r"no answer within 0\.5 s"):
            opened(server.url)
        with watching(server, first=jpeg(grey(9))) as camera, pytest.raises(CameraError, match=r"no answer within"):
            read_on(camera)


def test_no_error_holds_the_password(impatient):
    with mjpeg_camera() as server:
        host = f"127.0.0.1:{server.port}"
        closed = "127.0.0.1:9"
        for url in (f"http://us3r:${{PW}}@{host}/locked/path", f"rtsp://us3r:${{PW}}@{closed}/live?key=${{PW}}"):
            address = CameraAddress.parse(url, {"PW": PASSWORD})
            with pytest.raises(CameraError) as caught:
                open_camera(address, 10**6)
            texts = (str(caught.value), repr(address), address.shown)
            assert not any(secret in text for text in texts for secret in ("us3r", "se@", "se%40", "cr/et"))
            assert caught.value.__cause__ is None
            assert caught.value.__suppress_context__
        assert ("/locked/path", f"us3r:{PASSWORD}") in server.requests  # it was used
