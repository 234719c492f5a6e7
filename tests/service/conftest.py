import contextlib
import shutil
import threading

import pytest

from anomalign import Bank, Detector, Framing
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.inspections.queue import InspectionQueue
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.security import tokens
from anomalign.service.store import Store
from tests.pictures import texture
from tests.service.api.live_service import run_service
from tests.service.samples import SETTINGS


@pytest.fixture(scope="session")
def template_bank(tmp_path_factory, tiny_backbone):
    path = tmp_path_factory.mktemp("template") / "parts.bank"
    bank = Bank.create(path, tiny_backbone, Framing(64))
    bank.add([texture(seed) for seed in range(30)])
    Detector(bank).calibrate()
    return path


@pytest.fixture
def bank(template_bank, tmp_path):
    """Path of a bank with 30 textures; its name is `parts`."""
    return shutil.copytree(template_bank, tmp_path / "parts.bank")


@pytest.fixture
def service(bank, tmp_path):
    """A service without tokens: everybody is an admin."""
    with run_service(bank, tmp_path / "data") as service:
        yield service


@pytest.fixture
def client(service):
    with service.client() as client:
        yield client


@pytest.fixture(scope="module")
def kept_service(template_bank, tmp_path_factory):
    """A service, as `service`, for all tests of a file that leave it as it is, but for further inspections."""
    folder = tmp_path_factory.mktemp("kept")
    with run_service(shutil.copytree(template_bank, folder / "parts.bank"), folder / "data") as service:
        yield service


@pytest.fixture(scope="module")
def kept_client(kept_service):
    with kept_service.client() as client:
        yield client


@pytest.fixture
def token_file(tmp_path):
    return tmp_path / "tokens"


@pytest.fixture
def guarded_service(bank, tmp_path, token_file):
    """A service with tokens: ann and bob are operators, eve is an admin."""
    roles = {"ann": "operator", "bob": "operator", "eve": "admin"}
    tokens_by_name = {name: tokens.add(token_file, name, role) for name, role in roles.items()}
    with run_service(bank, tmp_path / "data", tokens_by_name, token_file=token_file) as service:
        yield service


@pytest.fixture
def served_bank(bank):
    return ServedBank(bank, settings=SETTINGS)


@pytest.fixture
def store(tmp_path):
    with contextlib.closing(Store.open(f"sqlite:///{tmp_path}/records.sqlite")) as store:
        yield store


@pytest.fixture
def image_files(tmp_path):
    return ImageFiles(tmp_path / "pictures", 10**9)


@pytest.fixture
def make_queue(served_bank, store, image_files):
    """Queues that are closed at the end of the test."""
    with contextlib.ExitStack() as stack:

        def make(**options):
            served_banks = options.pop("served_banks", {served_bank.name: served_bank})
            queue = InspectionQueue(served_banks, store, image_files, **options)
            stack.callback(queue.close)
            return queue

        yield make


@pytest.fixture
def held_checks(monkeypatch):
    """Holds every check after the normal images are read, until it is set; counts the checks that came there."""
    gate, check_plan = threading.Event(), Detector.check_plan
    gate.reached = 0

    def wait(detector, plan, progress):
        gate.reached += 1
        while not gate.wait(0.01):
            progress(0, plan.count)
        return check_plan(detector, plan, progress)

    monkeypatch.setattr(Detector, "check_plan", wait)
    return gate
