"""Images at URLs are listed in flat memory, read before their turn and given in order."""

import http.server
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from collections import deque

import pytest

from anomalign.errors import ImageError
from anomalign.images import remote
from anomalign.images.remote import Read, RemoteImage, RemotePlace, list_remote, read_ahead
from anomalign.images.walk import Tally
from anomalign.storage.listing import StoredObject
from tests.s3_server import environment

PNG = "s3://b/in/{:07}.png"


def test_what_a_place_covers():
    def covered(place, *urls):
        return [RemotePlace(place).covers(url) for url in urls]

    assert covered("s3://b/a", "s3://b/a", "s3://b/a/x.png", "s3://b/ab.png") == [True, True, False]
    assert covered("s3://b/a/", "s3://b/a/x/y.png", "s3://b/b/x.png") == [True, False]
    assert covered("s3://b/*/x?.png", "s3://b/a/x1.png", "s3://b/a/x.png", "s3://b/a/c/x1.png") == [True, False, False]
    assert covered("s3://b/**/c", "s3://b/a/b/c/x.png", "s3://b/c/x.png", "s3://b/a/x.png") == [True, True, False]
    assert RemotePlace("s3://b/a/x*.png").root == "s3://b/a/"
    assert RemotePlace("s3://b/a/x.png").root == "s3://b/a/"
    assert RemotePlace("s3://b/a/").root == "s3://b/a/"
    assert RemotePlace("https://h/a/x.png?sig=a/b").root == "https://h/a/"
    assert not RemotePlace("https://h/a?x=[1]").is_glob


def peak(number, monkeypatch):
    monkeypatch.setattr(remote, "list_objects", lambda _: (StoredObject(PNG.format(n), 1) for n in range(number)))
    monkeypatch.setattr(remote.objects, "size_of", lambda _: None)
    tracemalloc.start()
    try:
        counted = deque(enumerate(list_remote(RemotePlace("s3://b/in/"), Tally()), 1), maxlen=1)
        return counted[0][0], tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_images(monkeypatch):
    (few, little), (many, more) = peak(10_000, monkeypatch), peak(50_000, monkeypatch)
    assert (few, many) == (10_000, 50_000)
    assert more < little + 500_000  # a list of the images would add 10 MB


def test_images_come_in_order_and_few_are_read_ahead(monkeypatch):
    asked = []

    def slow(url, *_):
        asked.append(url)
        time.sleep(0.002 * (hash(url) % 3))
        return url.encode()

    monkeypatch.setattr(remote.objects, "read", slow)
    sources = [RemoteImage(PNG.format(number), 10) for number in range(200)]
    sources.insert(100, "a local one")
    given = []
    for source in read_ahead(iter(sources)):
        given.append(source)
        assert len(asked) - len(given) <= 2 * remote.READERS + 1
    assert given.pop(100) == "a local one"
    assert given == [Read(image.url, image.url.encode()) for image in sources if isinstance(image, RemoteImage)]


def test_large_images_are_not_held_by_the_dozen(monkeypatch):
    monkeypatch.setattr(remote.objects, "read", lambda url, *_: b"")
    taken = iter([RemoteImage(PNG.format(number), 100_000_000) for number in range(50)])
    ahead = read_ahead(taken)
    next(ahead)
    assert len(list(taken)) == 50 - 3
    ahead.close()


def test_a_reader_that_stops_early_leaves_no_thread(monkeypatch):
    monkeypatch.setattr(remote.objects, "read", lambda url, *_: b"")
    ahead = read_ahead(RemoteImage(PNG.format(number)) for number in range(100))
    next(ahead)
    ahead.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read_")]


def test_a_file_that_cannot_be_read_is_a_result_with_its_url(bucket):
    (result,) = read_ahead([RemoteImage(f"{bucket}/none.png")])
    assert (result.name, result.content) == (f"{bucket}/none.png", None)
    assert "no such object" in result.error
    with pytest.raises(ImageError, match=r"none\.png: no such object"):
        RemoteImage(f"{bucket}/none.png").read()


LIST = """
import resource, sys
from collections import deque
from anomalign.images.remote import RemotePlace, list_remote
from anomalign.images.walk import Tally
count = 0
for image in list_remote(RemotePlace("s3://line7/in/"), Tally()):
    count += 1
    if count == 2000:
        first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(count, first, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_long_listing_of_a_store_takes_no_more_memory_than_a_short_one(s3_endpoint):
    """The server makes up its keys: `ANOMALIGN_KEYS` says how many."""
    keys = int(os.environ.get("ANOMALIGN_KEYS", "50000"))

    class Lister(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            begin = int(self.path.partition("continuation-token=")[2].partition("&")[0] or 0)
            end = min(begin + 1000, keys)
            entry = '<Contents><Key>in/{:07}.png</Key><Size>1</Size><ETag>"0"</ETag></Contents>'
            more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{end}</NextContinuationToken>"
            more = more if end < keys else "<IsTruncated>false</IsTruncated>"
            body = (
                f"<ListBucketResult>{''.join(map(entry.format, range(begin, end)))}{more}</ListBucketResult>".encode()
            )
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self):
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Lister) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = os.environ | environment(f"http://127.0.0.1:{server.server_port}")
        done = subprocess.run([sys.executable, "-c", LIST], env=where, capture_output=True, text=True, check=True)
        server.shutdown()
    count, first, last = map(int, done.stdout.split())
    print(f"{count} keys: {first} kB after 2,000, {last} kB at the end")
    assert count == keys
    assert last < first + 15_000  # kB; a list of 50,000 would add 20 MB
