"""Cameras of the network for tests: MJPEG, any bytes over HTTP, and H.264 by RTSP, each on the loopback."""

import base64
import contextlib
import io
import queue
import socketserver
import struct
import threading
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import av
import numpy as np
from PIL import Image


def jpeg(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()


class HttpCamera:
    """Sends `first` to each that connects, then what it is given to all; `requests` are their paths and passwords."""

    def __init__(self, media_type, first=(), tls=None):
        self.requests, self.queues = [], []
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                scheme, _, secret = self.headers.get("Authorization", "").partition(" ")
                camera.requests.append((self.path, base64.b64decode(secret).decode() if scheme == "Basic" else ""))
                if self.path.startswith("/locked") and not secret:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
                if self.path.startswith("/moved"):
                    self.send_response(302)
                    self.send_header("Location", "/elsewhere")
                    self.end_headers()
                    return
                waiting = queue.SimpleQueue()
                for part in first:
                    waiting.put(part)
                camera.queues.append(waiting)
                self.send_response(200)
                self.send_header("Content-Type", media_type)
                self.end_headers()
                with contextlib.suppress(OSError):
                    while (part := waiting.get()) is not None:  # None: hang up
                        self.wfile.write(part)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def send(self, content):
        for waiting in self.queues:
            waiting.put(content)

    def send_jpeg(self, content):
        self.send(b"--part\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(content), content))

    def hang_up(self):
        """End all connections; new ones are accepted."""
        self.send(None)
        self.queues.clear()

    def close(self):
        self.hang_up()
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def mjpeg_camera(tls=None):
    with contextlib.closing(HttpCamera("multipart/x-mixed-replace; boundary=part", tls=tls)) as camera:
        yield camera


@contextlib.contextmanager
def http_stream(content, media_type="video/mp2t"):
    """A server that answers with bytes, and then ends the connection."""
    with contextlib.closing(HttpCamera(media_type, [content, None])) as camera:
        yield camera


def h264_units(images):
    """The NAL units of each image, and the parameter sets."""
    codec = av.CodecContext.create("libx264", "w")
    codec.height, codec.width, codec.pix_fmt, codec.time_base = *images[0].shape[:2], "yuv420p", Fraction(1, 25)
    codec.options = {"tune": "zerolatency", "x264-params": "bframes=0:slices=1:repeat-headers=1"}
    frames = []
    for number, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts = number
        for packet in codec.encode(frame):
            parts = bytes(packet).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
            frames.append([part for part in parts if part])
    return frames


class _RtspHandler(socketserver.StreamRequestHandler):
    """Just enough of RFC 2326 and RFC 6184: one H.264 track, interleaved, single NAL units."""

    camera: ClassVar

    def handle(self):
        with contextlib.suppress(OSError, ValueError):
            while self.answer():
                pass

    def answer(self):
        line = self.rfile.readline().decode().split()
        if not line:
            return False
        headers = {}
        while text := self.rfile.readline().decode().strip():
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        method, camera = line[0], self.camera
        if method != "OPTIONS" and camera.password:
            expected = "Basic " + base64.b64encode(camera.password.encode()).decode()
            if headers.get("authorization") != expected:
                self.reply(headers, 'WWW-Authenticate: Basic realm="camera"\r\n', status="401 Unauthorized")
                return True
        camera.requests.append((method, headers.get("authorization", "")))
        if method == "DESCRIBE" and camera.moved_to:
            self.reply(headers, f"Location: {camera.moved_to}\r\n", status="302 Moved")
        elif method == "DESCRIBE":
            text = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            text += "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track\r\n"
            self.reply(headers, f"Content-Type: application/sdp\r\nContent-Length: {len(text)}\r\n", text)
        elif method == "SETUP":
            self.reply(headers, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n")
        elif method == "PLAY":
            self.reply(headers, "Session: 1\r\n")
            self.play()
            return False
        else:
            self.reply(headers, "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n")
        return True

    def reply(self, headers, more, body="", status="200 OK"):
        self.wfile.write(f"RTSP/1.0 {status}\r\nCSeq: {headers.get('cseq', 0)}\r\n{more}\r\n{body}".encode())

    def play(self):
        number = 0
        for time, units in enumerate(self.camera.frames):
            for place, unit in enumerate(units):
                marker = 0x80 if place == len(units) - 1 else 0
                packet = struct.pack(">BBHII", 0x80, marker | 96, number, 3600 * time, 7) + unit
                self.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                number += 1
        self.camera.done.wait(20)


@contextlib.contextmanager
def rtsp_camera(images, password="", tls=None, moved_to=""):
    """An RTSP server that plays these images once; `password` is user:password, `tls` a context.

    Yields its port, and the requests that it gets: their method and `Authorization`.
    """
    done, requests = threading.Event(), []
    values = {"password": password, "done": done, "moved_to": moved_to, "requests": requests}
    camera = type("Camera", (), {"frames": h264_units(images), **values})
    handler = type("Handler", (_RtspHandler,), {"camera": camera})
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server.server_address[1], requests
    finally:
        done.set()
        server.shutdown()
        server.server_close()
