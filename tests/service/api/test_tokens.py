"""The token file, failed attempts, sessions, host names, and configurations that are refused."""

import os
import stat
from pathlib import Path

import pytest

from anomalign.errors import InputError
from anomalign.service.configuration import Configuration, NormalsFolder, Watch
from anomalign.service.security import tokens
from anomalign.service.security.attempts import ALLOWED, PERIOD_S, Attempts
from anomalign.service.security.requests import is_loopback
from anomalign.service.security.sessions import LIFETIME_S, Sessions


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_a_token_is_found_by_itself_alone(token_file):
    tokens_by_name = {
        name: tokens.add(token_file, name, role) for name, role in (("ann", "operator"), ("eve", "admin"))
    }
    entries = tokens.read(token_file)
    for name, token in tokens_by_name.items():
        assert tokens.find(entries, token).name == name
        assert tokens.find(entries, token[:-1]) is None
        assert tokens.find(entries, token + "x") is None
        assert tokens.find(entries, tokens.digest(token)) is None  # the hash opens nothing
    assert tokens.find(entries, "") is None
    assert len(tokens_by_name["ann"]) - len("anomalign_") == 43  # 256 bits, six a letter
    if os.name == "posix":
        assert stat.S_IMODE(token_file.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="modes as POSIX has them")
def test_who_may_read_the_file_stays_as_it_was_set(token_file):
    tokens.add(token_file, "ann", "operator")
    token_file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(token_file, 12345, 54321)
    before = token_file.stat()
    tokens.add(token_file, "bob", "operator")
    tokens.remove(token_file, "ann")
    after = token_file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert stat.S_IMODE(after.st_mode) == 0o640


def test_a_token_is_removed_through_a_link_too(token_file, tmp_path):
    tokens.add(token_file, "ann", "admin")
    tokens.add(token_file, "bob", "operator")
    link = tmp_path / "link"
    link.symlink_to(token_file)
    tokens.remove(link, "bob")
    assert link.is_symlink()
    assert [line.split()[0] for line in token_file.read_text().splitlines()[1:]] == ["ann"]


@pytest.mark.skipif(os.name != "posix", reason="owners as POSIX has them")
def test_an_owner_who_cannot_be_kept_is_an_error_and_changes_nothing(token_file, monkeypatch):
    """For example another person's file: only root and its owner can keep the owner."""
    tokens.add(token_file, "ann", "operator")
    before, folder = token_file.read_bytes(), sorted(token_file.parent.iterdir())
    owners = []

    def refuse(_, *owner):
        owners.append(owner)
        raise PermissionError(1, "Operation not permitted")

    real = os.fstat

    def another(descriptor):
        state = list(real(descriptor))
        state[4] += 1  # st_uid
        return os.stat_result(state)

    monkeypatch.setattr(os, "fstat", another)
    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(InputError, match="Operation not permitted.*as its owner, or as root"):
        tokens.add(token_file, "bob", "operator")
    assert owners == [(token_file.stat().st_uid, token_file.stat().st_gid)]
    assert token_file.read_bytes() == before
    assert sorted(token_file.parent.iterdir()) == folder


def test_a_changed_file_is_read_again(token_file):
    token = tokens.add(token_file, "ann", "operator")
    file = tokens.TokenFile(token_file)
    assert tokens.find(file.entries(), token)
    second = tokens.add(token_file, "bob", "admin")
    assert tokens.find(file.entries(), second).role == "admin"
    tokens.remove(token_file, "ann")
    assert tokens.find(file.entries(), token) is None
    token_file.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        file.entries()


@pytest.mark.parametrize(
    "line", ["ann", "ann admin", f"ann root {'0' * 64}", f"ann admin {'g' * 64}", f"a/b admin {'0' * 64}"]
)
def test_a_line_that_is_none_is_refused_with_its_place(token_file, line):
    token_file.write_text(f"# tokens\n\n{line}\n")
    with pytest.raises(InputError, match="line 3"):
        tokens.read(token_file)


def test_names_and_roles_that_cannot_be_are_refused(token_file):
    tokens.add(token_file, "ann", "operator")
    before = token_file.read_bytes()
    for name, role in (("ann", "admin"), ("", "admin"), ("a b", "admin"), ("a\nb admin x", "admin"), ("bob", "root")):
        with pytest.raises(InputError):
            tokens.add(token_file, name, role)
    with pytest.raises(InputError, match="no token of bob"):
        tokens.remove(token_file, "bob")
    assert token_file.read_bytes() == before


def test_an_address_that_fails_too_often_waits_and_others_do_not():
    clock = Clock()
    attempts = Attempts(clock)
    for _ in range(ALLOWED):
        assert attempts.wait_s("10.0.0.1") == 0
        attempts.count_failure("10.0.0.1")
    assert attempts.wait_s("10.0.0.1") == PERIOD_S
    assert attempts.wait_s("10.0.0.2") == 0
    clock.now += PERIOD_S
    assert attempts.wait_s("10.0.0.1") == 0
    attempts.count_failure("10.0.0.1")
    assert attempts.wait_s("10.0.0.1") == 0


def test_an_ipv6_host_cannot_evade_by_another_of_its_addresses():
    attempts = Attempts(Clock())
    for number in range(ALLOWED):
        attempts.count_failure(f"2001:db8:0:1::{number:x}")
    assert attempts.wait_s("2001:db8:0:1:ffff::1")
    assert not attempts.wait_s("2001:db8:0:2::1")


def test_addresses_are_forgotten_before_they_fill_the_memory():
    attempts = Attempts(Clock())
    for number in range(20_000):
        attempts.count_failure(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(attempts._failures) <= 10_000


def test_a_session_ends_after_a_while():
    clock = Clock()
    sessions = Sessions(clock)
    cookie = sessions.open("ann", "digest")
    assert sessions.find(cookie) == ("ann", "digest")
    clock.now += LIFETIME_S + 1
    assert sessions.find(cookie) is None


def test_loopback_is_what_can_be_reached_from_here_alone():
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.example.org", "")))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"host": "0.0.0.0"}, "token_file"),
        ({"host": "::"}, "token_file"),
        ({"host": "192.168.1.2"}, "token_file"),
        ({"host": "station.example"}, "token_file"),
        ({"host_names": ("station.example",)}, "token_file"),
        ({"banks": ()}, "no bank"),
        ({"banks": (Path("a/x.bank"), Path("b/x"))}, "same name"),
        ({"watches": (Watch(folder=Path("in"), bank="y"),)}, "no bank 'y'; served are"),
        ({"normals": (NormalsFolder(folder=Path("in"), bank="y"),)}, "no bank 'y'; served are"),
        ({"proxies": ("10.0.0.1/8",)}, "proxies: '10.0.0.1/8' is not an IP"),
        ({"proxies": ("*",)}, "proxies"),
        ({"keep_days": 0}, "keep_days"),
        ({"keep_days": 10**9}, "keep_days"),
        ({"waiting": 0}, "waiting"),
        ({"max_upload_bytes": 10}, "max_upload_bytes"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_opened(tmp_path, options, word):
    values = {"banks": (Path("x.bank"),), "data": tmp_path / "data", **options}
    with pytest.raises(InputError, match=word):
        Configuration(**values)
    assert not (tmp_path / "data").exists()
