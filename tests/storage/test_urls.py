"""Which text is a URL, and that no secret of one is shown."""

from pathlib import Path

import pytest

from anomalign.errors import InputError
from anomalign.storage.urls import is_url, join, lasting_name, local_or_url, name_in, redacted, scheme_of


@pytest.mark.parametrize("text", ["s3://a/b", "GS://a", "https://h/x.png", "file:///x", "ftp://h/x"])
def test_a_url_is_told_from_a_path(text):
    assert is_url(text)


@pytest.mark.parametrize("path", ["C://x.png", "/a/b", "a:b", "s3:/a", "", Path("s3://a"), "x s3://a"])
def test_a_path_is_no_url(path):
    assert not is_url(path)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:secret@host/x.png", "https://***@host/x.png"),
        ("https://me:s3cr@t@host:80/x", "https://***@host:80/x"),
        ("https://token@host/x", "https://***@host/x"),
        ("https://host/x.png?sig=a&b=c", "https://host/x.png?***"),
        ("403, url='https://me:secret@host/x?sig=1'", "403, url='https://***@host/x?***'"),
        ("s3://bucket/mail@home.png?a", "s3://bucket/mail@home.png?a"),
        ("two: s3://k:s@b/x https://a:b@c/d", "two: s3://***@b/x https://***@c/d"),
    ],
)
def test_secrets_are_taken_out_of_any_text(text, shown):
    assert redacted(text) == shown
    assert redacted(shown) == shown


def test_credentials_belong_to_the_store_and_not_into_its_url():
    with pytest.raises(InputError, match="its environment") as caught:
        scheme_of("s3://key:secret@bucket/x")
    assert "secret" not in str(caught.value)
    with pytest.raises(InputError, match="unknown kind of URL"):
        scheme_of("ftp://host/x")


def test_a_file_url_is_a_path():
    assert local_or_url("file:///a/b%20c.png") == "/a/b c.png"
    assert local_or_url("file://localhost/a") == "/a"
    assert local_or_url("a/b") == "a/b"
    assert local_or_url("s3://a/b") == "s3://a/b"
    with pytest.raises(InputError, match="three slashes"):
        local_or_url("file://host/a")


def test_names():
    assert join("s3://a/b/", "c", "d.png") == "s3://a/b/c/d.png"
    assert name_in("s3://a/b/c%20d.png") == "c%20d.png"
    assert name_in("https://h/b/c%20d.png?x=y") == "c d.png"
    assert lasting_name("x.png") == str(Path.cwd() / "x.png")
    assert lasting_name("https://me:pw@h/x.png") == "https://***@h/x.png"
