"""Options that say how images are framed: what of them the backbone sees, at which size, and whether in tiles."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from anomalign.errors import InputError

if TYPE_CHECKING:
    from anomalign.bank import Bank
    from anomalign.images.framing import Framing
    from anomalign.images.region import RegionOfInterest
    from anomalign.images.remote import ImageFile


@dataclass(frozen=True)
class FrameOptions:
    """The options of a command; None: not given."""

    preset: str = "default"
    size: int | None = None
    fit_to: str | None = None
    tile: int | None = None
    overlap: int | None = None
    augment: str | None = None
    region: "RegionOfInterest | None" = None

    def __post_init__(self) -> None:
        if self.preset not in ("default", "paper"):
            raise InputError(f"--preset is {self.preset!r}; must be 'default' or 'paper'")
        if self.fit_to not in (None, "proportions", "square"):
            raise InputError(f"--fit-to is {self.fit_to!r}; must be 'proportions' or 'square'")
        if self.overlap is not None and not self.tile:
            raise InputError("--overlap was given without --tile; give the side of the tiles, too")

    def framing(self, files: "list[ImageFile]", default_px: int, multiple: int) -> "Framing":
        """Return the framing for these images: all of the image or region, or the paper's centre crop.

        Where no option names the shorter side, the frame has as many pixels as a square of `default_px`. `multiple` is
        that of the backbone.
        """
        from anomalign.images.framing import Framing
        from anomalign.images.proportions import fit_frame
        from anomalign.images.tiles import OVERLAP_PX, Tiles

        size = default_px if self.size is None else self.size
        if self.preset == "paper":  # 224 px of 256
            return Framing(size, round(size * 256 / 224), self.region)
        overlap = min(OVERLAP_PX, (self.tile or 0) // 4) if self.overlap is None else self.overlap
        tiles = Tiles(self.tile, overlap) if self.tile else None
        framing = Framing(size, region=self.region, tiles=tiles)
        if self.fit_to != "square":
            framing = fit_frame(framing, files, multiple, same_pixels=self.size is None)
        return replace(framing, tiles=None) if self.tile == 0 else framing

    def check(self, bank: "Bank", files: "list[ImageFile]") -> None:
        """Raise InputError where an option says another framing or augmentation than the bank was made with."""
        from anomalign.images.orientation import read_augment

        made_with, path = bank.identity.framing, bank.path
        if self.region is not None and self.region != made_with.region:
            stored = f"the region of interest {made_with.region}" if made_with.region else "no region of interest"
            raise InputError(
                f"{path}: was made with {stored}, not with {self.region}; leave the option out, or fit a new bank"
            )
        framing = self._beside(made_with, files, bank)
        if framing != made_with:
            raise InputError(f"{path}: was made with {made_with}, not {framing}; leave the options out")
        if self.augment is not None and read_augment(self.augment) != bank.identity.augment:
            stored = f"--augment {bank.identity.augment}" if bank.identity.augment else "no --augment"
            raise InputError(
                f"{path}: was made with {stored}, not with --augment {self.augment}; leave it out, or fit a new bank"
            )

    def _beside(self, made_with: "Framing", files: "list[ImageFile]", bank: "Bank") -> "Framing":
        """The framing by the options that were given; the rest as the bank was made with."""
        shorter = min(made_with.shape)
        if self.preset == "default" and self.fit_to is None and self.tile is None and self.size in (None, shorter):
            return made_with
        given = replace(self, size=self.size or shorter, region=made_with.region, tile=self._tile_of(made_with))
        return given.framing(files, shorter, bank.backbone.multiple)

    def _tile_of(self, made_with: "Framing") -> int | None:
        return made_with.tiles.side_px if self.tile is None and made_with.tiles else self.tile
