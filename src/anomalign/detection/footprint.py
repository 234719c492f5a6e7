"""How much memory a bank will take, before an image is read: on disk for each image, and while it is used."""

from dataclasses import dataclass, replace

from anomalign.bank.identity import Identity
from anomalign.detection.settings import Settings
from anomalign.errors import InputError
from anomalign.images.tiles import Tiles
from anomalign.numerics.threads import available_cores

_BASE_BYTES = 230_000_000  # the program and its libraries
_NETWORK_BYTES = 300  # a pixel that a network sees at once, and a thread: measured 150 to 250 with three networks
_SKETCH_CHANNELS = 32  # of a search within a window
_BLOCK_BYTES = 250_000_000  # of a search among all places, at most
_STEP = 32  # pixels: sizes that are named


@dataclass(frozen=True)
class Footprint:
    """Bytes that a bank takes.

    Attributes
    ----------
    bank : int
        On disk, for each normal image.
    fit : int
        Peak of memory while images are added.
    inspect : int
        Peak of memory while images are inspected, one after the other, or the bank is calibrated.
    """

    bank: int
    fit: int
    inspect: int

    @property
    def peak(self) -> int:
        """The larger peak of memory."""
        return max(self.fit, self.inspect)


def check_memory(identity: Identity, settings: Settings, height: int, width: int, most_bytes: int) -> None:
    """Raise InputError where more memory is needed than `most_bytes`; it names the largest size that would fit.

    Parameters are those of `estimate`.
    """
    needed = estimate(identity, settings, height, width).peak
    if needed <= most_bytes:
        return
    shorter = min(identity.framing.shape)
    sides = range((shorter - 1) // _STEP * _STEP, 0, -_STEP)
    fits = (side for side in sides if estimate(_scaled(identity, side), settings, height, width).peak <= most_bytes)
    side = next(fits, None)
    remedy = "no size would fit" if side is None else f"a size of {side} px would fit"
    raise InputError(
        f"max_bytes is {most_bytes}; at a size of {shorter} px, {needed} bytes of memory would be needed; {remedy}"
    )


def _scaled(identity: Identity, shorter_px: int) -> Identity:
    """About what a bank would be built with whose frame has another shorter side."""
    framing = identity.framing.scaled(shorter_px)
    if framing.tiles or framing.resize_px is None:
        framing = replace(framing, tiles=Tiles.chosen(*framing.shape, multiple=1))
    (H, W), (height, width) = identity.framing.shape, framing.shape
    shapes = tuple((-(-h * height // H), -(-w * width // W), c) for h, w, c in identity.shapes)
    return replace(identity, framing=framing, shapes=shapes)


def estimate(identity: Identity, settings: Settings, height: int, width: int) -> Footprint:
    """Estimate what a bank takes, for images of this height and width in pixels.

    The estimate is meant to be too high rather than too low. Memory-mapped pages are not counted: the system takes them
    back when it needs them.
    """
    H, W = identity.framing.shape
    tiles = identity.framing.tiles
    at_once = min(H, tiles.side_px) * min(W, tiles.side_px) if tiles else H * W
    images = 1 if tiles else available_cores()
    features = identity.bytes_per_image // len(identity.turns)
    network = _NETWORK_BYTES * at_once * images
    picture = 8 * height * width + 3 * H * W  # decoded, converted and framed
    h, w = identity.grid(settings.grid_level)
    channels = sum(c for _, _, c in identity.shapes)
    query = 4 * h * w * (2 * channels + 3 * _SKETCH_CHANNELS)
    gallery = features + 2 * features + min(_BLOCK_BYTES, 20 * features)
    maps = 4 * 4 * H * W
    held = 4 if tiles else 12 * images  # images whose features wait for the disk, or for the consumer
    return Footprint(
        identity.bytes_per_image,
        _BASE_BYTES + network + images * picture + held * identity.bytes_per_image,
        _BASE_BYTES + network + images * picture + 2 * features + query + gallery + maps,
    )
