"""Objects of a real S3 server and files of a real web server are read, written and listed; what fails is said."""

import functools
import http.server
import threading

import pytest

from anomalign.errors import InputError, MissingObjectError, StorageError
from anomalign.storage import objects
from anomalign.storage.listing import list_objects

AWKWARD = ["a b.png", "ü.png", "a+b%20.png", "hash#.png", "what?.png", "deep/er/x.png"]


@pytest.mark.parametrize("name", AWKWARD)
def test_what_is_written_is_read_and_listed_under_its_name(bucket, name):
    url = f"{bucket}/in/{name}"
    objects.write(url, b"0123456789")
    assert objects.read(url) == b"0123456789"
    assert objects.read(url, 2, 5) == b"234"
    assert objects.size_of(url) == 10
    assert [(found.url, found.size) for found in list_objects(f"{bucket}/in/")] == [(url, 10)]


def test_a_listing_goes_over_pages_in_order_and_keeps_to_its_prefix(bucket, monkeypatch):
    monkeypatch.setattr("anomalign.storage.listing.PAGE", 3)
    for number in range(8):
        objects.write(f"{bucket}/a/{number}", b"")
    objects.write(f"{bucket}/ab", b"")
    assert [found.url for found in list_objects(f"{bucket}/a/")] == [f"{bucket}/a/{number}" for number in range(8)]
    assert len(list(list_objects(f"{bucket}/a"))) == 9
    assert list(list_objects(f"{bucket}/nothing/")) == []


def test_what_is_not_there_is_told_from_what_cannot_be_read(bucket):
    with pytest.raises(MissingObjectError, match=r"/none\.png: no such object"):
        objects.read(f"{bucket}/none.png")
    assert objects.size_of(f"{bucket}/none.png") is None
    with pytest.raises(MissingObjectError):
        objects.write("s3://no-such-bucket-here/x", b"")


@pytest.fixture
def web(tmp_path):
    """A web server that wants a user and password, and fails as often as it is told to before it answers."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        failures = 0
        requests = 0

        def do_GET(self):
            Handler.requests += 1
            if Handler.failures > 0:
                Handler.failures -= 1
                self.send_error(503)
            elif self.path.startswith("/private") and self.headers.get("Authorization") != "Basic bWU6cEBzcw==":
                self.send_error(403)
            else:
                super().do_GET()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Handler.url = f"127.0.0.1:{server.server_port}"
    yield Handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr(objects, "_FIRST_PAUSE_S", 0)


@pytest.mark.usefixtures("no_pauses", "bucket")
def test_a_read_that_fails_is_tried_again(web, tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    web.failures = objects.ATTEMPTS - 1
    assert objects.read(f"http://{web.url}/x") == b"content"
    web.failures, web.requests = 100, 0
    with pytest.raises(StorageError, match="cannot be read .*503"):
        objects.read(f"http://{web.url}/x")
    assert web.requests == objects.ATTEMPTS


@pytest.mark.usefixtures("no_pauses", "bucket")
def test_user_and_password_reach_the_web_server_and_no_message(web, tmp_path):
    (tmp_path / "private").write_bytes(b"content")
    assert objects.read(f"http://me:p%40ss@{web.url}/private") == b"content"
    web.requests = 0
    with pytest.raises(StorageError) as caught:
        objects.read(f"http://me:wr0ng@{web.url}/private?token=s3cret")
    assert web.requests == 1  # a refusal stays one
    assert "wr0ng" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(InputError, match="can only be read"):
        objects.write(f"http://{web.url}/x", b"")
    with pytest.raises(InputError, match="lists no files"):
        list(list_objects(f"http://{web.url}/"))


def test_other_stores_are_listed_folder_by_folder(tmp_path, monkeypatch):
    """By fsspec's local files, which are listed as Google's and Azure's stores are."""
    pytest.importorskip("fsspec", reason="needs fsspec: pip install 'anomalign[remote]'")
    monkeypatch.setitem(objects.SCHEMES, "file", ("fsspec", "remote"))
    names = ["a/1.png", "a/b/2.png", "a/b/c/3.png", "ab.png", "z/4.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())

    def listed(prefix):
        return {found.url.removeprefix(f"file://{tmp_path}/"): found.size for found in list_objects(prefix)}

    assert listed(f"file://{tmp_path}/") == {name: len(name) for name in names}
    assert set(listed(f"file://{tmp_path}/a/")) == set(names[:3])
    assert set(listed(f"file://{tmp_path}/a")) == set(names[:4])
    assert set(listed(f"file://{tmp_path}/a/b")) == set(names[1:3])
    assert listed(f"file://{tmp_path}/none/") == {}
