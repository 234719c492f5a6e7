"""What reading cameras costs: processor time of the reading process for each second of a stream.

    python benchmarks/cameras.py [--seconds 10] [--json FILE]

FFmpeg, in a process of its own whose time does not count, streams a moving test picture over loopback at 25 frames a
second: MJPEG, and H.264 in MPEG-TS. One thread reads it as the service does, and keeps the newest frame; twice a second
it makes the image file that an inspection gets.
"""

import argparse
import json
import socket
import subprocess
import time
from pathlib import Path

from anomalign.errors import CameraError
from anomalign.images.camera import Camera, open_camera
from anomalign.images.camera_address import CameraAddress

RATE = 25
SIZES = ("1280x720", "1920x1080")
STREAMS = {
    "MJPEG": [
        "-c:v",
        "mjpeg",
        "-q:v",
        "4",
        "-f",
        "mpjpeg",
        "-content_type",
        "multipart/x-mixed-replace;boundary=ffmpeg",
    ],
    "H.264": ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-f", "mpegts"],
}


def streamer(size: str, options: list[str], port: int) -> subprocess.Popen:
    command = ["ffmpeg", "-loglevel", "error", "-re", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={RATE}"]
    command += [*options, "-listen", "1", f"http://127.0.0.1:{port}/camera"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def opened(port: int) -> Camera:
    address = CameraAddress.parse(f"http://127.0.0.1:{port}/camera", {})
    deadline = time.monotonic() + 20
    while True:
        try:
            return open_camera(address, 10**8)
        except CameraError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def measure(size: str, options: list[str], seconds: float) -> dict[str, float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = streamer(size, options, port)
    try:
        camera = opened(port)
        start, busy, frames, files, due = time.monotonic(), time.process_time(), 0, 0, 0.0
        while (now := time.monotonic() - start) < seconds:
            frame = camera.read()
            assert frame is not None
            frames += 1
            if now >= due:
                frame.image_file()
                files, due = files + 1, due + 0.5
        camera.close()
        return {
            "frames_per_second": frames / seconds,
            "files_per_second": files / seconds,
            "processor_share": (time.process_time() - busy) / seconds,
        }
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json")
    options = parser.parse_args()
    results = {}
    print("| stream | frames read a second | image files a second | one core is busy for |\n|---|---|---|---|")
    for name, codec in STREAMS.items():
        for size in SIZES:
            found = results[f"{name} {size}"] = measure(size, codec, options.seconds)
            rates = f"{found['frames_per_second']:.1f} | {found['files_per_second']:.1f}"
            print(f"| {name}, {size.replace('x', ' x ')} px | {rates} | {found['processor_share']:.1%} |", flush=True)
    if options.json:
        with Path(options.json).open("w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
