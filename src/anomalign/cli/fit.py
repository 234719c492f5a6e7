"""``anomalign fit``: create a bank from normal images, or add to one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomalign.cli import console
from anomalign.cli import workers as work
from anomalign.cli.frame import FrameOptions

if TYPE_CHECKING:
    from anomalign.bank import Bank
    from anomalign.bank.identity import Identity
    from anomalign.distributed.crew import Site
    from anomalign.images.region import RegionOfInterest
    from anomalign.images.remote import ImageFile


def fit(
    bank: console.BankPath,
    normals: Annotated[
        list[str],
        typer.Argument(help="Normal images: files, folders or globs; or videos: files or globs.", show_default=False),
    ],
    backbone: console.BackboneOption = None,
    provider: console.ProviderOption = "cpu",
    size: console.Size = None,
    fit_to: console.FitTo = None,
    tile: console.Tile = None,
    overlap: console.Overlap = None,
    max_bytes: console.MaxBytes = None,
    preset: Annotated[
        str, typer.Option(help="'default' uses the whole image; 'paper' uses the central 224 px of 256.")
    ] = "default",
    augment: console.Augment = None,
    region: console.Region = None,
    region_mask: console.RegionMask = None,
    bits: console.Bits = None,
    group_by: console.GroupBy = None,
    every: console.Every = "1",
    calibrate: Annotated[
        bool, typer.Option(help="Calibrate afterwards; otherwise the first inspection does it.")
    ] = True,
    check: Annotated[
        bool, typer.Option(help="After calibrating, say which share of a few synthetic defects the bank finds.")
    ] = True,
    workers: work.Workers = None,
    ray: work.RayAddress = None,
    max_megapixels: console.MaxMegapixels = 89.0,
) -> None:
    """Create a bank from normal images, or add to one. It can be repeated: no image is added twice."""
    from anomalign.cli.video_inputs import frames_to_fit, read_every, split_videos

    max_pixels = console.max_pixels(max_megapixels)
    videos, others = split_videos(normals)
    images = console.find_images(others) if others else []
    images += frames_to_fit(videos, read_every(every), max_pixels)
    groups = find_groups(group_by, images)
    of_interest = region_of(region, region_mask, max_pixels)
    if of_interest is not None:
        _check_region(of_interest, images, max_pixels, bits)
    frame = FrameOptions(preset, size, fit_to, tile, overlap, augment, of_interest)
    opened = _open_or_create(bank, backbone, provider, frame, bits, images, max_bytes)
    with work.open_site(ray, workers, provider) as site:
        add(opened, images, groups, preset, calibrate, check, max_pixels, site)


def find_groups(rule: str | None, images: "list[ImageFile]") -> list[str] | None:
    """Return the group of each image by a rule; None without a rule."""
    from anomalign.bank import group_of

    return None if rule is None else group_of(rule, images)


def add(
    opened: "Bank",
    images: "list[ImageFile]",
    groups: list[str] | None,
    preset: str,
    calibrate: bool,
    check: bool,
    max_pixels: int,
    site: "Site | None" = None,
) -> None:
    """Add images with a progress bar, print the result, and calibrate."""
    from anomalign.cli.check import say_power
    from anomalign.cli.inspect import calibrate as calibrate_detector
    from anomalign.cli.inspect import say_groups, settings_of
    from anomalign.detection.detector import Detector

    before = len(opened)
    try:
        _tell_size(opened, images)
        with console.progress("fit") as update:
            report = work.add_images(site, opened, images, groups, update, max_pixels)
    except KeyboardInterrupt:
        count = len(opened) - before
        console.say(f"interrupted: {count} images were added and are safe; run the same command again for the rest")
        raise typer.Exit(130) from None
    console.say_failures(report.failures)
    if report.depth:
        console.say(f"{opened.path}: {report.depth}; --bits says otherwise")
    parts = [f"{console.images(report.added)} added"]
    if report.known:
        parts.append(f"{len(report.known)} were there already")
    if report.regrouped:
        parts.append(f"{report.regrouped} of them in another group now")
    if report.failures:
        parts.append(f"{len(report.failures)} could not be used")
    console.say(f"{opened.path}: {', '.join(parts)}; the bank holds {len(opened)}")
    if groups is not None and not calibrate:
        console.say(f"{opened.path}: {console.groups(opened)}")
    if calibrate and len(opened) > 1:
        detector = Detector(opened, settings_of(preset))
        try:
            calibrate_detector(detector, site=site)
            say_groups(detector)
            if check:
                say_power(detector)
        except KeyboardInterrupt:
            console.say("interrupted: the images are safe; the first inspection will finish the calibration")
            raise typer.Exit(130) from None
    if report.failures:
        raise typer.Exit(2)


def region_of(region: str | None, mask: Path | None, max_pixels: int) -> "RegionOfInterest | None":
    """Return the region of interest by the options; None without them."""
    from anomalign.errors import InputError
    from anomalign.images.region import RegionOfInterest

    if region is not None and mask is not None:
        raise InputError("--region and --region-mask were given; a mask says where its region is, so give one of them")
    if mask is not None:
        return RegionOfInterest.read_mask(mask, max_pixels)
    return None if region is None else RegionOfInterest.parse(region)


def _check_region(region: "RegionOfInterest", images: "list[ImageFile]", max_pixels: int, bits: int | None) -> None:
    """Raise ImageError where the first image that can be read does not hold the region, before a bank is made of it."""
    from anomalign.errors import ImageError
    from anomalign.images.decoding import decode
    from anomalign.images.files import read_bytes
    from anomalign.images.reading import Reading

    reading = Reading(bits)
    for path in images:
        try:
            image = decode(read_bytes(path), str(path), max_pixels, reading)
        except ImageError:  # reported when it is added
            continue
        region.cut(image, str(path))
        return


def _open_or_create(
    path: str,
    backbone: str | None,
    provider: str,
    options: FrameOptions,
    bits: int | None,
    images: "list[ImageFile]",
    max_bytes: int | None,
) -> "Bank":
    from anomalign.bank import Bank
    from anomalign.bank.catalogue import FILE
    from anomalign.bank.creation import identity_of
    from anomalign.errors import InputError
    from anomalign.images.reading import Reading
    from anomalign.storage.urls import is_url, local_or_url, redacted

    if is_url(local_or_url(path)):
        raise InputError(f"{redacted(path)}: fit a bank on a local disk, then `anomalign bank push` it to this URL")
    path = local_or_url(path)
    if not (Path(path) / FILE).exists():
        network = console.load_network(backbone, provider)
        framing = options.framing(images, network.preprocessing.crop_px, network.multiple)
        _check_memory(identity_of(network, framing), images, max_bytes)
        return Bank.create(path, network, framing, options.augment or "", Reading(bits))
    bank = console.open_bank(path, backbone, provider)
    options.check(bank, images)
    _check_memory(bank.identity, images, max_bytes)
    if bits is not None and bits != bank.identity.reading.bits:
        known = bank.identity.reading.bits or "unknown"
        raise InputError(f"{path}: was made with bits={known}, not bits={bits}; leave it out, or fit a new bank")
    return bank


def _check_memory(identity: "Identity", images: "list[ImageFile]", max_bytes: int | None) -> None:
    """Raise InputError where a fit or an inspection would take more memory."""
    from anomalign.detection.footprint import check_memory
    from anomalign.detection.settings import PRESETS

    if max_bytes is not None:
        check_memory(identity, PRESETS["default"], *_largest_size(identity, images), max_bytes)


def _largest_size(identity: "Identity", images: "list[ImageFile]") -> tuple[int, int]:
    from anomalign.images.proportions import largest_size

    return largest_size(images) or identity.framing.shape


def _tell_size(bank: "Bank", images: "list[ImageFile]") -> None:
    import shutil

    from anomalign.detection.footprint import estimate
    from anomalign.detection.settings import PRESETS

    each, turns = bank.identity.bytes_per_image, len(bank.identity.turns)
    total = len(images) * each
    framing = bank.identity.framing
    seen = f"{framing.shape[0]} x {framing.shape[1]} px{' in tiles' if framing.tiles else ''}"
    console.say(
        f"{bank.path}: {len(images)} images of {console.size(each)} with {bank.identity.backbone} at {seen}"
        f"{f' in {turns} orientations' if turns > 1 else ''}: at most {console.size(total)} will be added"
    )
    memory = estimate(bank.identity, PRESETS["default"], *_largest_size(bank.identity, images))
    to_fit, to_inspect = console.size(memory.fit), console.size(memory.inspect)
    console.say(f"{bank.path}: takes up to about {to_fit} of memory to fit, and {to_inspect} to inspect")
    free = shutil.disk_usage(bank.path).free
    if total > free:
        console.say(f"warning: this disk has only {console.size(free)} free")
