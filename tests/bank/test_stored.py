"""Banks in an object store, on a real S3 server: whole for every reader; what is not as it was pushed is refused."""

import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from anomalign import Bank, BankDamagedError, BankError, Detector, Settings
from anomalign.bank import catalogue, pointer, pull, push, stored
from anomalign.errors import AnomalignError, InputError
from anomalign.storage import objects
from anomalign.storage.listing import list_objects
from tests.pictures import texture
from tests.s3_server import environment

PUSH = """
import sys
from anomalign.bank import push
from anomalign.storage.objects import filesystem
from pathlib import Path
filesystem(sys.argv[2])[0].ls(sys.argv[2].split("/")[2])
print("begun", flush=True)
push(Path(sys.argv[1]), sys.argv[2])
print("done", flush=True)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(stored.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bank(empty_bank):
    empty_bank.add([texture(seed) for seed in range(6)], segment_bytes=1)
    return empty_bank


@pytest.fixture
def url(bucket):
    return f"{bucket}/banks/screws.bank"


def rows(bank):
    return [
        (pyramid.pooled.tobytes(), *(level.tobytes() for level in pyramid.levels))
        for pyramid in bank.gallery(range(len(bank)))
    ]


def test_a_pulled_bank_equals_the_pushed_one(tmp_path, bank, url, tiny_backbone):
    Detector(bank, Settings(gallery_size=3)).calibrate()
    done = push(bank.path, url)
    assert (done.files, done.copied, done.pointer.content, done.pointer.images) == (6, 6, bank.content, 6)
    pull(url, tmp_path / "copy")
    copy = Bank.open(tmp_path / "copy", tiny_backbone)
    assert (copy.content, copy.images, copy.version) == (bank.content, bank.images, bank.version)
    assert copy.verify() == []
    assert rows(copy) == rows(bank)
    key = Settings(gallery_size=3).calibration_key()
    assert copy.load_calibration(key) == bank.load_calibration(key) is not None
    assert copy.add(texture(9)).added == 1


def test_a_bank_is_opened_where_it_is_and_gives_the_same_verdicts(bank, url, tiny_backbone):
    settings = Settings(gallery_size=3)
    local = Detector(bank, settings).inspect(texture(50))
    push(bank.path, url)
    opened = Bank.open(url, tiny_backbone)
    assert opened.origin == url
    assert opened.path.name == "screws.bank"
    assert Detector(opened, settings).inspect(texture(50)) == local
    assert opened.verify() == []


def test_a_bank_of_a_store_is_read_only(bank, url, tiny_backbone):
    push(bank.path, url)
    opened = Bank.open(url, tiny_backbone)
    before = hashlib.sha256((opened.path / catalogue.FILE).read_bytes()).hexdigest()
    for change in (
        lambda: opened.add(texture(9)),
        lambda: opened.remove(1),
        opened.compact,
        lambda: opened.group(1, "a"),
    ):
        with pytest.raises(BankError, match="read-only; pull it"):
            change()
    assert not opened.save_calibration("x", b"y")
    Detector(opened, Settings(gallery_size=3)).calibrate()
    assert hashlib.sha256((opened.path / catalogue.FILE).read_bytes()).hexdigest() == before
    with pytest.raises(BankError, match="made on a local disk"):
        Bank.create(url, tiny_backbone)


def test_only_what_is_absent_is_sent_and_fetched(tmp_path, bank, url, tiny_backbone, cache, monkeypatch):
    push(bank.path, url)
    Bank.open(url, tiny_backbone)
    pull(url, tmp_path / "copy")
    bank.add(texture(9))
    again = push(bank.path, url)
    assert (again.files, again.copied) == (7, 1)
    assert push(bank.path, url).copied == 0
    read = []
    real = objects.read
    monkeypatch.setattr(objects, "read", lambda place, *limits: read.append(place) or real(place, *limits))
    assert len(Bank.open(url, tiny_backbone)) == 7
    assert sum("/segments/" in place for place in read) == 1
    read.clear()
    Bank.open(url, tiny_backbone)
    assert [place.rsplit("/", 1)[1] for place in read] == ["bank.json"]
    assert pull(url, tmp_path / "copy", replace=True).copied == 1
    assert Bank.open(tmp_path / "copy", tiny_backbone).content == bank.content


def test_a_push_never_takes_away_what_a_reader_of_the_version_before_needs(tmp_path, bank, url):
    push(bank.path, url)
    before = pointer.read_pointer(url)
    bank.remove([1, 2])
    bank.compact()
    push(bank.path, url)
    pointer.write_pointer(url, before)  # as a reader sees it that read the pointer before the push
    assert Bank.open(url).content == before.content
    assert Bank.open(url).verify() == []


def test_two_pushers_at_once_leave_two_whole_states(tmp_path, bank, url, tiny_backbone):
    bank.draft(tmp_path / "other").add(texture(9))
    other = Bank.open(tmp_path / "other", tiny_backbone)
    threads = [threading.Thread(target=push, args=(one.path, url)) for one in (bank, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Bank.open(url, tiny_backbone).content in (bank.content, other.content)
    for found in list(list_objects(f"{url}/catalogues/")):
        data = objects.read(found.url)
        state = pointer.Pointer(hashlib.sha256(data).hexdigest(), len(data), 1, "0" * 64, 0)
        pointer.write_pointer(url, state)
        assert Bank.open(url, tiny_backbone).verify() == []


def first_segment(url):
    return next(list_objects(f"{url}/segments/")).url


@pytest.mark.parametrize("harm", [lambda data: data[:-1], lambda data: data[:-1] + b"\x7f", lambda _: b""])
@pytest.mark.parametrize("what", [first_segment, lambda url: next(list_objects(f"{url}/catalogues/")).url])
def test_a_torn_or_altered_copy_is_refused_and_leaves_no_bank(tmp_path, bank, url, what, harm):
    push(bank.path, url)
    place = what(url)
    objects.write(place, harm(objects.read(place)))
    for open_it in (lambda: Bank.open(url), lambda: pull(url, tmp_path / "copy")):
        with pytest.raises(BankDamagedError, match=place.rsplit("/", 1)[1].split(".")[0]):
            open_it()
    with pytest.raises(BankError, match="no bank here"):
        Bank.open(tmp_path / "copy")
    push(bank.path, url, everything=True)
    assert Bank.open(url).verify() == []
    pull(url, tmp_path / "copy")


GOOD = {"format": 1, "catalogue_sha256": "a" * 64, "catalogue_bytes": 1, "version": 1, "content": "b" * 64, "images": 1}


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 5000,
        b"{}",
        {**GOOD, "catalogue_sha256": "../../" + "a" * 58},
        {**GOOD, "catalogue_sha256": "A" * 64},
        {**GOOD, "catalogue_sha256": ["a" * 64]},
        {**GOOD, "catalogue_bytes": -1},
        {**GOOD, "catalogue_bytes": "1"},
        {**GOOD, "catalogue_bytes": True},
        {**GOOD, "content": "../x"},
        {**GOOD, "more": 1},
        {**GOOD, "format": 2},
        {**GOOD, "images": 10**9, "content": "b" * 20_000},
    ],
)
def test_a_pointer_of_wrong_form_is_refused(tmp_path, url, bucket, entry):
    objects.write(f"{url}/bank.json", entry if isinstance(entry, bytes) else json.dumps(entry).encode())
    for open_it in (lambda: Bank.open(url), lambda: pull(url, tmp_path / "copy")):
        with pytest.raises(AnomalignError, match=r"bank\.json"):
            open_it()
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("name", ["../../../x.safetensors", "/tmp/x.safetensors", "a/b.safetensors", "x.pickle", ""])
def test_a_catalogue_that_leads_out_of_its_folder_is_refused(tmp_path, bank, url, name):
    push(bank.path, url)
    made = tmp_path / "made.sqlite"
    made.write_bytes((bank.path / catalogue.FILE).read_bytes())
    with sqlite3.connect(made) as connection:
        connection.execute("UPDATE segments SET file = ? WHERE id = 1", (name,))
    connection.close()
    data = made.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    objects.write(f"{url}/catalogues/{sha256}.sqlite", data)
    pointer.write_pointer(url, pointer.Pointer(sha256, len(data), 1, "b" * 64, 6))
    for open_it in (lambda: Bank.open(url), lambda: pull(url, tmp_path / "copy")):
        with pytest.raises(BankDamagedError, match="no name of a segment"):
            open_it()


def test_where_no_bank_is_and_where_none_may_be_put(tmp_path, bank, url):
    with pytest.raises(BankError, match="no bank here that was pushed"):
        Bank.open(url)
    push(bank.path, url)
    with pytest.raises(BankError, match="holds a bank"):
        pull(url, bank.path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(BankError, match="other files"):
        pull(url, tmp_path / "full")
    with pytest.raises(InputError, match="can only be read|lists no files"):
        push(bank.path, "https://127.0.0.1:9/x")
    with pytest.raises(InputError, match="object store"):
        push(bank.path, "file:///tmp/x")


def test_a_torn_file_of_the_cache_is_fetched_again(bank, url, cache):
    push(bank.path, url)
    opened = Bank.open(url)
    segment = next((opened.path / "segments").iterdir())
    segment.write_bytes(b"torn")  # and with it the file that it is a link to
    assert Bank.open(url).verify() == []


@pytest.mark.slow
def test_fifty_kills_of_a_pusher(tmp_path, empty_bank, url, tiny_backbone, s3_endpoint):
    """A reader that opens all the while, and one after each kill, see the version before or the one pushed, whole."""
    chance = random.Random(0)
    bank = empty_bank
    bank.add([texture(seed) for seed in range(20)], segment_bytes=1)
    push(bank.path, url)
    allowed, kills, after, opened, problems = {bank.content}, 0, 0, 0, []
    stop, where = threading.Event(), os.environ | environment(s3_endpoint)

    def read():
        nonlocal opened
        while not stop.is_set():
            try:
                found = Bank.open(url, tiny_backbone)
                if found.verify() or found.content not in allowed:
                    problems.append(found.content)
                opened += 1
                time.sleep(0.02)
            except AnomalignError as error:
                problems.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        seed = 100
        while kills < 50:
            before = pointer.read_pointer(url).content
            bank.add([texture(seed + number) for number in range(4)], segment_bytes=1)
            bank.remove([image.id for image in bank.images[:4]])
            bank.compact()
            seed += 4
            allowed.add(bank.content)
            command = [sys.executable, "-c", PUSH, str(bank.path), url]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=where) as process:
                assert process.stdout.readline() == "begun\n"
                time.sleep(chance.uniform(0, 0.25))
                process.kill()
                killed = "done" not in process.stdout.read()
            kills += killed
            found = Bank.open(url, tiny_backbone)
            assert found.verify() == []
            assert found.content in ({before, bank.content} if killed else {bank.content})
            after += killed and found.content == bank.content
    finally:
        stop.set()
        reader.join()
    assert problems == []
    assert opened > 20
    push(bank.path, url)
    pull(url, tmp_path / "copy")
    assert Bank.open(tmp_path / "copy", tiny_backbone).content == bank.content
    print(f"{kills} kills, of which {after} after the pointer; {opened} openings meanwhile")
