"""A process is killed under load: every acknowledged record is complete, with its image file."""

import random
import subprocess
import sys
import time

import pytest

from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.kept.match_data import MatchData
from anomalign.service.store import Filters, Store
from tests.service.samples import png

SERVE = """
import sys
import time
from pathlib import Path
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.inspections.queue import InspectionQueue
from anomalign.service.refusals import Busy
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.store import Store
bank, data, sources = map(Path, sys.argv[1:])
contents = [path.read_bytes() for path in sorted(sources.iterdir())]
served_bank = ServedBank(bank)
store = Store.open(f"sqlite:///{data}/records.sqlite")
queue = InspectionQueue({"parts": served_bank}, store, ImageFiles(data / "pictures", 10**9))

def report(answer):
    record = answer.result()
    sys.stdout.write(f"{record.id} {record.sha256} {record.name}\\n")  # one write, so that no line is torn by another
    sys.stdout.flush()

print("ready", flush=True)
number = 0
while True:
    content = contents[number % len(contents)] + number.to_bytes(4, "big")  # each file is different
    try:
        queue.submit("parts", f"{number}.png", content).add_done_callback(report)
        number += 1
    except Busy:
        time.sleep(0.01)
"""


@pytest.mark.slow
def test_kills_under_load_lose_no_acknowledged_record_and_no_image_file_of_one(bank, tmp_path):
    chance = random.Random(0)
    sources, data = tmp_path / "sources", tmp_path / "data"
    sources.mkdir()
    data.mkdir()
    for n in range(8):
        (sources / f"{n}.png").write_bytes(png(100 + n, defect=n % 2 == 0))
    acknowledged = {}
    for _ in range(5):
        command = [sys.executable, "-c", SERVE, str(bank), str(data), str(sources)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            lines = [process.stdout.readline() for _ in range(3)]  # it is under load now
            time.sleep(chance.uniform(0, 0.5))
            process.kill()
            lines += process.stdout.read().splitlines(keepends=True)
        for line in lines:
            if line.endswith("\n"):
                id, sha256, name = line.split()
                assert int(id) not in acknowledged
                acknowledged[int(id)] = sha256, name
    store, image_files = Store.open(f"sqlite:///{data}/records.sqlite"), ImageFiles(data / "pictures", 10**9)
    assert len(acknowledged) >= 15
    for id, (sha256, name) in acknowledged.items():
        record = store.get(id)
        assert (record.sha256, record.name) == (sha256, name)
        assert image_files.read(sha256) is not None
    # Records that were not acknowledged are complete or absent.
    assert store.count(Filters()) >= len(acknowledged)
    after = None
    while True:
        page = store.page(Filters(), "newest", after, 100)
        for record in page.records:
            assert image_files.read(record.sha256) is not None
            assert store.entry(record.id)["sha256"] == record.sha256
            if stored := store.details(record.id):
                MatchData.from_bytes(stored)
        after = page.next
        if after is None:
            break
    store.close()
