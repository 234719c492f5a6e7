"""Pictures of normal images: the preview that the bank keeps, and the photograph where the service may show it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from PIL import Image

from anomalign.bank import Bank, NormalImage
from anomalign.errors import BankDamagedError, BankError, ImageError, NotFoundError
from anomalign.images.decoding import decode
from anomalign.images.shown import shown_part
from anomalign.service.api.cutout import Cutout, CutoutDep
from anomalign.service.api.dependencies import ERRORS, MAX_ID, ServedBankDep
from anomalign.service.api.evidence import answer_cached, on_drawing
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.container import Container, ContainerDep
from anomalign.service.kept import rendering
from anomalign.service.security.people import Operator

router = APIRouter(prefix="/api/banks/{bank}/images/{id}", tags=["banks"], responses=ERRORS)

Id = Annotated[int, Path(ge=1, le=MAX_ID)]

_JPEG = {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}


@router.get("/preview.jpg", response_class=Response, responses={200: _JPEG})
async def preview(
    request: Request,
    container: ContainerDep,
    person: Operator,
    served_bank: ServedBankDep,
    id: Id,
    cutout: CutoutDep,
    part: Annotated[bool, Query(description="only the region of interest of the bank and some surroundings")] = False,
) -> Response:
    """Return the preview of a normal image, or a part of it, as a JPEG, with at most the pixels that were compared.

    Removed images stay until the bank is compacted, but only as a whole.
    """
    content = await on_drawing(container, lambda: _preview(served_bank, id, cutout, part))
    return await answer_cached(request, container, (content,), "image/jpeg", lambda: content)


@router.get("/picture", response_class=Response, responses={200: _JPEG})
async def picture(
    request: Request, container: ContainerDep, person: Operator, served_bank: ServedBankDep, id: Id, cutout: CutoutDep
) -> Response:
    """Return a normal image, or a part of it, as a JPEG: from the photograph where the service has it.

    Without parameters its longer side is at most 2048 px. Otherwise it is as `preview.jpg`.
    """

    def read() -> bytes:
        image = _find(served_bank.bank, id)
        photograph = None if image is None else _photograph(container, served_bank, image)
        if image is None or photograph is None:
            return _preview(served_bank, id, cutout, part=False)
        if cutout.is_asked:
            box = cutout.within(image.height, image.width)
            return rendering.encode_jpeg(rendering.cut(photograph, box, cutout.width, cutout.height))
        return rendering.encode_jpeg(rendering.scale(photograph, rendering.DISPLAY_PX))

    content = await on_drawing(container, read)
    return await answer_cached(request, container, (content,), "image/jpeg", lambda: content)


def _photograph(container: Container, served_bank: ServedBank, image: NormalImage) -> Image.Image | None:
    """The whole photograph; None if it is not to be had, or is too large to decode."""
    reading, most = served_bank.bank.identity.reading, container.configuration.max_pixels

    def read() -> Image.Image:
        content = container.normal_files.read(served_bank.name, image)
        if content is None:
            raise NotFoundError(f"the photograph of {image.name} is not to be had")
        return decode(content, image.name, most, reading)

    try:
        return container.decoded.get((image.sha256, reading), read)
    except (NotFoundError, ImageError):
        return None


def _find(bank: Bank, id: int) -> NormalImage | None:
    return next((image for image in bank.images if image.id == id), None)


def _preview(served_bank: ServedBank, id: int, cutout: Cutout, part: bool) -> bytes:
    try:
        content = served_bank.bank.preview(id)
    except BankDamagedError:
        raise
    except BankError as error:
        raise NotFoundError(f"bank {served_bank.name} has no image {id}") from error
    return _cut(content, served_bank.bank, id, cutout, part)


def _cut(preview: bytes, bank: Bank, id: int, cutout: Cutout, part: bool) -> bytes:
    """Cut a box, or the part that pages show, out of a preview; as it is where nothing is asked for."""
    image = _find(bank, id)
    framing = bank.identity.framing
    if cutout.box is None and (image is None or framing.region is None or not part):
        return rendering.shrink_preview(preview, cutout.width, cutout.height) if cutout.is_asked else preview
    if image is None:
        raise NotFoundError(f"image {id} is no longer in bank {bank.path.name}; without a box it can be shown")
    size = image.height, image.width
    if cutout.box is None:
        most = (cutout.width, cutout.height) if cutout.is_asked else (rendering.THUMBNAIL_PX, rendering.THUMBNAIL_PX)
        return rendering.cut_preview(preview, size, shown_part(framing, *size).box, *most)
    return rendering.cut_preview(preview, size, cutout.within(*size), cutout.width, cutout.height)
