"""From a configuration to the parts of a service, opened one after the other, and closed again."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from anomalign.detection.settings import PRESETS, Settings
from anomalign.errors import CalibrationError, InputError, StoreError
from anomalign.numerics.threads import available_cores
from anomalign.service.api import serializers
from anomalign.service.banks.proposals import Proposals
from anomalign.service.banks.refresher import BankRefresher
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.banks.statistics import Suspicions
from anomalign.service.configuration import Configuration
from anomalign.service.container import Budget, Container
from anomalign.service.events import Events
from anomalign.service.inspections.evidence import Evidence
from anomalign.service.inspections.queue import InspectionQueue
from anomalign.service.inspections.retention import Forgetter
from anomalign.service.inspections.watcher import Watcher
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.metrics import Metrics
from anomalign.service.security.people import People
from anomalign.service.security.tokens import TokenFile
from anomalign.service.store import Edit, Filters, Record, Store, database

_HELD_BYTES = 512 * 10**6  # of uploads at once, or eight of the largest


def open_container(configuration: Configuration, say: Callable[[str], None] = lambda _: None) -> Container:
    """Open the records and the banks, calibrate those that are not, and begin to work.

    Raises
    ------
    AnomalignError
        Something of it cannot be opened; nothing is left running.
    """
    settings = _settings(configuration.preset)
    people = People(None if configuration.token_file is None else TokenFile(configuration.token_file))
    for watch in configuration.watches:
        if not watch.folder.is_dir():
            raise InputError(f"--watch {watch.folder}: no such folder")
    database.parse(configuration.database_url)  # before a folder is made
    _make(configuration.data)
    alone = _alone(configuration.data)
    try:
        return _opened(configuration, settings, people, alone, say)
    except BaseException:
        alone.release()
        raise


def _opened(
    configuration: Configuration, settings: Settings, people: People, alone: FileLock, say: Callable[[str], None]
) -> Container:
    store = Store.open(configuration.database_url)
    try:
        served_banks = {
            name: _served_bank(configuration, store, settings, name, path, say)
            for name, path in configuration.names.items()
        }
        image_files = ImageFiles(configuration.data / "pictures", configuration.keep_bytes)
        events, metrics = Events(), Metrics()
        told = _Told(served_banks, image_files, events, metrics)
        proposals = Proposals(served_banks, store, image_files, configuration.data / "drafts", told.edit)
        held = max(_HELD_BYTES, 8 * configuration.max_upload_bytes)
        queue = InspectionQueue(
            served_banks, store, image_files, waiting=configuration.waiting, waiting_bytes=held, listener=told.record
        )
    except BaseException:
        store.close()
        raise
    _measure(metrics, store, queue, events, image_files)
    return Container(
        configuration=configuration,
        store=store,
        served_banks=served_banks,
        image_files=image_files,
        queue=queue,
        refresher=BankRefresher(served_banks),
        proposals=proposals,
        watchers=[
            Watcher(watch.folder, watch.bank, queue, store, configuration.max_upload_bytes)
            for watch in configuration.watches
        ],
        forgetter=None if configuration.keep_days is None else Forgetter(store, configuration.keep_days),
        events=events,
        metrics=metrics,
        people=people,
        evidence=Evidence(store, image_files, served_banks),
        suspicions=Suspicions(),
        drawing=ThreadPoolExecutor(available_cores(), thread_name_prefix="drawing"),
        budget=Budget(held),
        alone=alone,
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
    """Accept no more, and finish what was accepted; requests under way are still answered. May be called again."""
    container.closing = True
    for watcher in container.watchers:
        watcher.close()
    if container.forgetter is not None:
        container.forgetter.close()
    container.refresher.close()
    container.queue.close()
    container.events.close()


def close_container(container: Container) -> None:
    """Close all, once no request is under way any more."""
    finish(container)
    container.drawing.shutdown()
    container.store.close()
    container.alone.release()


class _Told:
    """Passes on what has been recorded: to the pages, and to the counters."""

    def __init__(
        self, served_banks: dict[str, ServedBank], image_files: ImageFiles, events: Events, metrics: Metrics
    ) -> None:
        self._served_banks, self._pictures, self._events, self._metrics = served_banks, image_files, events, metrics

    def record(self, record: Record) -> None:
        self._metrics.inspections.labels(record.bank, record.verdict, record.source).inc()
        if len(self._events):
            self._events.publish(
                "inspection", dict(serializers.inspection(record, self._served_banks.get(record.bank), self._pictures))
            )

    def edit(self, edit: Edit) -> None:
        version = self._served_banks[edit.bank].bank.version
        self._events.publish("bank", {"bank": edit.bank, "version": version, "edit": serializers.edit(edit)})


def _settings(preset: str) -> Settings:
    if preset not in PRESETS:
        raise InputError(f"--preset is {preset!r}; must be one of {', '.join(PRESETS)}")
    return PRESETS[preset]


def _served_bank(
    configuration: Configuration,
    store: Store,
    settings: Settings,
    name: str,
    path: Path,
    say: Callable[[str], None],
) -> ServedBank:
    say(f"{path}: opening, and calibrating if need be")
    chosen = store.rates.get(name)
    rate = configuration.target_fpr if chosen is None else chosen
    served_bank = partial(
        ServedBank,
        path,
        name,
        settings=settings,
        max_pixels=configuration.max_pixels,
        provider=configuration.provider,
    )
    try:
        return served_bank(target_fpr=rate)
    except CalibrationError:
        if chosen is None:
            raise
        say(f"{path}: its normal images no longer support the rate that was chosen, {chosen:g}; the usual one is taken")
        return served_bank(target_fpr=configuration.target_fpr)


def _alone(folder: Path) -> FileLock:
    """Keep other services away from the folder; a kill lets go of it, too."""
    lock = FileLock(folder / "service.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(f"--data {folder}: another service uses it; give each a folder of its own") from error
    except OSError as error:
        raise InputError(f"--data {folder}: cannot be written ({error.strerror or error})") from error
    return lock


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--data {folder}: cannot be made ({error.strerror or error})") from error
