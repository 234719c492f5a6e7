"""How the values of an image become 8 bits: the bits that they fill, and the colours that they stand for."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.errors import ImageError, InputError

DEPTHS = (8, 10, 12, 14, 16)
"""Bits that the values of cameras fill."""


@dataclass(frozen=True)
class Reading:
    """How the values of images become 8-bit RGB; a bank reads all its images, and all that it inspects, in one way.

    Attributes
    ----------
    bits : int or None
        Bits that the values of 16-bit files and arrays fill, 8 to 16: 12 for a camera that gives 0 to 4095. None: not
        known yet; `Bank.add` finds it out from the first such images.
    profiles : bool
        Whether colours are converted to sRGB by the ICC profile of the file.
    """

    bits: int | None = None
    profiles: bool = True

    def __post_init__(self) -> None:
        if self.bits is not None and (type(self.bits) is not int or not 8 <= self.bits <= 16):
            raise InputError(f"bits is {self.bits!r}; must be a whole number from 8 to 16, as 12 for values up to 4095")


FROM_IMAGES = Reading()
"""The images say how many bits they fill, or their values let it be guessed."""

EARLIER = Reading(bits=16, profiles=False)
"""How banks of versions that recorded no reading were made."""


def least_depth(largest: int) -> int:
    """Return the least number of bits of a camera that holds a value of at most 16 bits."""
    return next(bits for bits in DEPTHS if largest < 1 << bits)


@dataclass(frozen=True, eq=False)
class Samples:
    """Values of an image with more than 8 bits each, as its file or array holds them.

    Attributes
    ----------
    values : (H, W), (H, W, 3) or (H, W, 4) uint16 array
        Grey, RGB or CMYK.
    stored_bits : int
        Bits that the file keeps for each value: 16, 15 where they are signed, or less where they are packed.
    packed : bool
        Whether values follow each other without bits between them: then all bits are filled.
    declared_bits : int or None
        Bits that are filled, as the file says.
    inverted : bool
        Whether 0 is white.
    alpha : (H, W) uint16 array, optional
    premultiplied : bool
        Whether the values were multiplied by `alpha`.
    """

    values: NDArray[np.uint16]
    stored_bits: int = 16
    packed: bool = False
    declared_bits: int | None = None
    inverted: bool = False
    alpha: NDArray[np.uint16] | None = None
    premultiplied: bool = False

    @cached_property
    def largest(self) -> int:
        """Largest value."""
        return int(self.values.max())

    @property
    def likely_bits(self) -> int:
        """Bits that are filled, as the file says, or else as its largest value suggests."""
        if self.packed:
            return self.stored_bits
        likely = self.declared_bits if self.is_declared else least_depth(self.largest)
        assert likely is not None
        return min(likely, self.stored_bits)

    @property
    def is_declared(self) -> bool:
        """Whether the file says truly how many bits are filled."""
        return self.declared_bits is not None and self.largest < 1 << self.declared_bits

    @property
    def is_certain(self) -> bool:
        """Whether the bits that are filled follow from this image alone."""
        return self.packed or self.is_declared or self.largest >= 1 << DEPTHS[-2]

    def bits(self, reading: Reading) -> int:
        """Bits by which the values are read."""
        return reading.bits if reading.bits is not None and not self.packed else self.likely_bits

    def image(self, reading: Reading, name: str) -> Image.Image:
        """8-bit image of mode ``L``, ``RGB``, ``CMYK``, or with transparency ``RGBA``.

        Raises
        ------
        ImageError
            A value is larger than the bits can hold.
        """
        bits = self.bits(reading)
        if (largest := self.largest) >= 1 << bits:
            raise ImageError(
                f"{name}: values up to {largest} do not fit the {bits} bits by which 16-bit images are read here; if "
                f"that is too few, read them (or fit a new bank) with bits={least_depth(largest)}"
            )
        values = _shift(self.values, bits)
        if self.inverted:
            values = np.asarray(255 - values, np.uint8)
        if self.alpha is None:
            mode = "L" if values.ndim == 2 else "CMYK" if values.shape[2] == 4 else "RGB"
            return _image(mode, values)
        alpha_bits = bits if int(self.alpha.max()) < 1 << bits else self.stored_bits
        color = np.broadcast_to(values[:, :, None], (*values.shape, 3)) if values.ndim == 2 else values
        image = _image("RGBa" if self.premultiplied else "RGBA", np.dstack([color, _shift(self.alpha, alpha_bits)]))
        return image.convert("RGBA")


def _shift(values: NDArray[np.uint16], bits: int) -> NDArray[np.uint8]:
    return (values >> (bits - 8)).astype(np.uint8)


def _image(mode: str, values: NDArray[np.uint8]) -> Image.Image:
    return Image.frombytes(mode, (values.shape[1], values.shape[0]), values.tobytes())
