"""Opens the parts of a service from its configuration, and closes them."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from anomalign.calibration.basis import describe_groups
from anomalign.detection.settings import PRESETS, Settings
from anomalign.errors import CalibrationError, InputError, StoreError
from anomalign.images.marks import mark_folder
from anomalign.numerics.threads import available_cores
from anomalign.service.api import serializers
from anomalign.service.banks.checks import Checks
from anomalign.service.banks.proposals import Proposals
from anomalign.service.banks.refresher import BankRefresher
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.banks.statistics import SuspectLists
from anomalign.service.cameras.station import open_cameras
from anomalign.service.configuration import Configuration
from anomalign.service.container import Budget, Container
from anomalign.service.delivery.delivery import Delivery, open_delivery
from anomalign.service.delivery.gauges import add_delivery_gauges
from anomalign.service.events import Events
from anomalign.service.inspections.evidence import Evidence
from anomalign.service.inspections.queue import InspectionQueue
from anomalign.service.inspections.retention import Retention
from anomalign.service.inspections.watcher import Watcher
from anomalign.service.kept.decoded_images import DecodedImages
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.kept.normal_files import NormalFiles
from anomalign.service.metrics import Metrics
from anomalign.service.security.people import People
from anomalign.service.security.tokens import TokenFile
from anomalign.service.store import Edit, Filters, Record, Store, database

_UPLOAD_BYTES = 512 * 10**6  # of all uploads at one time; more where eight of the largest need more


def open_container(configuration: Configuration, say: Callable[[str], None] = lambda _: None) -> Container:
    """Open the database and the banks, calibrate banks where needed, and start all threads.

    Parameters
    ----------
    configuration : Configuration
    say : callable
        Called with a line of text before each slow step.

    Raises
    ------
    AnomalignError
        A part cannot be opened. No thread is left running.
    """
    settings = _settings(configuration.preset)
    people = People(None if configuration.token_file is None else TokenFile(configuration.token_file))
    for watch in configuration.watches:
        if not watch.folder.is_dir():
            raise InputError(f"watches: {watch.folder} is not a folder")
    for one in configuration.normals:
        if not one.folder.is_dir():
            raise InputError(f"normals: {one.folder} is not a folder")
    database.parse(configuration.database_url)  # before a folder is made
    _make_folder(configuration.data)
    folder_lock = _lock_folder(configuration.data)
    try:
        return _open(configuration, settings, people, folder_lock, say)
    except BaseException:
        folder_lock.release()
        raise


def _open(
    configuration: Configuration, settings: Settings, people: People, folder_lock: FileLock, say: Callable[[str], None]
) -> Container:
    targets = configuration.delivery.targets(configuration.names)
    store = Store.open(configuration.database_url, [target.destination for target in targets])
    try:
        image_files = ImageFiles(configuration.data / "pictures", configuration.keep_bytes)
        mark_folder(image_files.folder)  # which may lie in a watched folder
        delivery = open_delivery(configuration.delivery, list(configuration.names), store, image_files, say)
        served_banks = {
            name: _open_bank(configuration, store, settings, name, path, say)
            for name, path in configuration.names.items()
        }
        events, metrics = Events(), Metrics()
        notifier = _Notifier(served_banks, image_files, events, metrics, delivery)
        proposals = Proposals(served_banks, store, image_files, configuration.data / "drafts", notifier.edit)
        upload_bytes = max(_UPLOAD_BYTES, 8 * configuration.max_upload_bytes)
        queue = InspectionQueue(
            served_banks,
            store,
            image_files,
            waiting=configuration.waiting,
            waiting_bytes=upload_bytes,
            listener=notifier.record,
        )
        try:
            cameras = open_cameras(configuration, queue, store, events, metrics)
        except BaseException:
            queue.close()
            raise
    except BaseException:
        store.close()
        raise
    _add_gauges(metrics, store, queue, events, image_files)
    add_delivery_gauges(metrics, delivery)
    delivery.start()
    return Container(
        configuration=configuration,
        store=store,
        served_banks=served_banks,
        image_files=image_files,
        normal_files=NormalFiles(configuration.normals, image_files),
        decoded=DecodedImages(),
        queue=queue,
        refresher=BankRefresher(served_banks),
        proposals=proposals,
        checks=Checks(is_busy=lambda: queue.depth > 0),
        watchers=[
            Watcher(watch.folder, watch.bank, queue, store, configuration.max_upload_bytes)
            for watch in configuration.watches
        ],
        cameras=cameras,
        retention=None if configuration.keep_days is None else Retention(store, configuration.keep_days),
        delivery=delivery,
        events=events,
        metrics=metrics,
        people=people,
        evidence=Evidence(store, image_files, served_banks),
        suspects=SuspectLists(),
        drawing=ThreadPoolExecutor(available_cores(), thread_name_prefix="drawing"),
        budget=Budget(upload_bytes),
        folder_lock=folder_lock,
    )


def _add_gauges(
    metrics: Metrics, store: Store, queue: InspectionQueue, events: Events, image_files: ImageFiles
) -> None:
    def records() -> float:
        try:
            return store.count(Filters())
        except StoreError:  # the other metrics are still worth having
            return math.nan

    gauges: dict[str, tuple[str, Callable[[], float]]] = {
        "anomalign_records": ("Records in the database; NaN while they cannot be read.", records),
        "anomalign_waiting": ("Images accepted and not answered yet.", lambda: queue.depth),
        "anomalign_waiting_bytes": ("Size of the images not answered yet.", lambda: queue.stats().waiting_bytes),
        "anomalign_inspecting_seconds": ("Thread time spent on inspections.", lambda: queue.stats().inspecting_s),
        "anomalign_committing_seconds": (
            "Thread time spent on writing image files and records.",
            lambda: queue.stats().committing_s,
        ),
        "anomalign_pictures_bytes": ("Size of the image files that are kept.", lambda: image_files.bytes_on_disk),
        "anomalign_pictures_not_kept": ("Image files that could not be written.", lambda: queue.stats().not_kept),
        "anomalign_listeners": ("Pages that listen to events.", lambda: len(events)),
    }
    for name, (text, value) in gauges.items():
        metrics.gauge(name, text, value)


def finish(container: Container) -> None:
    """Accept no more images and inspect those that were accepted; abandon checks of banks. May be called again.

    Requests are still answered.
    """
    container.closing = True
    container.checks.close()
    for watcher in container.watchers:
        watcher.close()
    container.cameras.close()
    if container.retention is not None:
        container.retention.close()
    container.refresher.close()
    container.queue.close()
    container.delivery.close()
    container.events.close()


def close_container(container: Container) -> None:
    """Close all parts; no request may be running any more."""
    finish(container)
    container.drawing.shutdown()
    container.store.close()
    container.folder_lock.release()


class _Notifier:
    """Sends new records and edits to the open pages, counts them in the metrics, and wakes the delivery."""

    def __init__(
        self,
        served_banks: dict[str, ServedBank],
        image_files: ImageFiles,
        events: Events,
        metrics: Metrics,
        delivery: Delivery,
    ) -> None:
        self._served_banks, self._image_files, self._events, self._metrics = served_banks, image_files, events, metrics
        self._delivery = delivery

    def record(self, record: Record) -> None:
        self._delivery.wake()
        self._metrics.inspections.labels(record.bank, record.verdict, record.source).inc()
        if len(self._events):
            self._events.publish(
                "inspection",
                dict(serializers.inspection(record, self._served_banks.get(record.bank), self._image_files)),
            )

    def edit(self, edit: Edit) -> None:
        version = self._served_banks[edit.bank].bank.version
        self._events.publish("bank", {"bank": edit.bank, "version": version, "edit": serializers.edit(edit)})


def _settings(preset: str) -> Settings:
    if preset not in PRESETS:
        raise InputError(f"preset is {preset!r}; must be one of {', '.join(PRESETS)}")
    return PRESETS[preset]


def _open_bank(
    configuration: Configuration,
    store: Store,
    settings: Settings,
    name: str,
    path: Path,
    say: Callable[[str], None],
) -> ServedBank:
    say(f"{path}: opening, and calibrating if needed")
    stored_rate = store.rates.get(name)
    rate = configuration.target_fpr if stored_rate is None else stored_rate
    open_bank = partial(
        ServedBank,
        path,
        name,
        settings=settings,
        max_pixels=configuration.max_pixels,
        provider=configuration.provider,
    )
    try:
        served_bank = open_bank(target_fpr=rate)
        promised = served_bank.detector.target_fpr
        if rate is not None and promised > rate:
            say(f"{path}: {describe_groups(served_bank.detector.groups)}: {promised:.2%} is promised, not {rate:.2%}")
        return served_bank
    except CalibrationError:
        if stored_rate is None:
            raise
        say(f"{path}: too few normal images for the target rate that was set, {stored_rate:g}; using the default rate")
        return open_bank(target_fpr=configuration.target_fpr)


def _lock_folder(folder: Path) -> FileLock:
    """Keep other services out of the folder; the lock also ends when this process is killed."""
    lock = FileLock(folder / "service.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(f"{folder}: another service uses this data folder; give each one its own") from error
    except OSError as error:
        raise InputError(f"{folder}: the data folder cannot be written ({error.strerror or error})") from error
    return lock


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: the data folder cannot be made ({error.strerror or error})") from error
