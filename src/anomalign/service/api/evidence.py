"""Evidence of an inspection: the match of every place, and the image with its heat."""

import asyncio
import gzip
import hashlib
import json
import math
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request, Response
from PIL import Image

from anomalign.images.decoding import decode
from anomalign.images.heat import heat_layer
from anomalign.reporting.places import fit_size
from anomalign.service.api import schemas, serializers
from anomalign.service.api.cutout import BoxText, Cutout, CutoutDep
from anomalign.service.api.dependencies import ERRORS, MAX_ID, RecordDep
from anomalign.service.container import Container, ContainerDep
from anomalign.service.kept import rendering
from anomalign.service.security.people import Operator
from anomalign.service.store import Record

router = APIRouter(prefix="/api/inspections/{id}", tags=["evidence"], responses=ERRORS)

Against = Annotated[int | None, Query(ge=1, le=MAX_ID, description="compare with this normal image only")]
Place = Annotated[float, Query(ge=0, le=10**6, allow_inf_nan=False)]

_FAST = 1  # level of compression: 1 MB in 20 ms

_T = TypeVar("_T")


@router.get("/matches", response_model=schemas.Matches)
async def matches(
    request: Request, container: ContainerDep, person: Operator, record: RecordDep, against: Against = None
) -> Response:
    """Return the match of every place, on the grid, and what is usual there, in numbers of six digits."""
    is_compressed = "gzip" in request.headers.get("accept-encoding", "")

    def compute() -> bytes:
        found = serializers.matches(container.evidence.details(record, against), container.evidence.framing(record))
        content = json.dumps(found, separators=(",", ":"), allow_nan=False).encode()
        return gzip.compress(content, _FAST, mtime=0) if is_compressed else content

    headers = {"Vary": "Accept-Encoding"} | ({"Content-Encoding": "gzip"} if is_compressed else {})
    return Response(await on_drawing(container, compute), headers=headers, media_type="application/json")


@router.get("/match")
async def match(
    container: ContainerDep, person: Operator, record: RecordDep, y: Place, x: Place, against: Against = None
) -> schemas.Match:
    """Return the match of one pixel, row `y`, column `x` of the image, and what is usual there."""

    def compute() -> schemas.Match:
        details, framing = container.evidence.details(record, against), container.evidence.framing(record)
        return serializers.match(details.match_at(y, x, framing, record.height, record.width))

    return await on_drawing(container, compute)


def _file_response(media_type: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {200: {"content": content}, 304: {"description": "unchanged"}}


@router.get("/picture", response_class=Response, responses=_file_response("image/jpeg"))
async def picture(
    request: Request,
    container: ContainerDep,
    person: Operator,
    record: RecordDep,
    cutout: CutoutDep,
    full: Annotated[bool, Query(description="with all pixels of the image, up to 16,384 px")] = False,
) -> Response:
    """Return the inspected image, or a part of it, as a JPEG.

    Without parameters: longer side at most 2048 px, or 4096 px where a small part of it counts.
    """
    if cutout.is_asked:
        return await _picture_part(request, container, record, cutout)
    px = rendering.FULL_PX if full else _picture_px(container, record)
    key = (record.sha256, "picture", px, container.evidence.reading(record))

    def make() -> bytes:
        return rendering.encode_jpeg(_scaled_image(container, record, px))

    return await answer_cached(request, container, key, "image/jpeg", make)


async def _picture_part(request: Request, container: Container, record: Record, cutout: Cutout) -> Response:
    box, reading = cutout.within(record.height, record.width), container.evidence.reading(record)

    def make() -> bytes:
        image = container.decoded.get((record.sha256, reading), lambda: _image(container, record))
        return rendering.encode_jpeg(rendering.cut(image, box, cutout.width, cutout.height))

    return await answer_cached(request, container, (record.sha256, "picture", box, cutout, reading), "image/jpeg", make)


@router.get("/thumbnail.jpg", response_class=Response, responses=_file_response("image/jpeg"))
async def thumbnail(
    request: Request, container: ContainerDep, person: Operator, record: RecordDep, box: BoxText = None
) -> Response:
    """Return the inspected image, or the part to show, or a box, with its heat as a JPEG, longer side at most 320 px.

    It is without heat while the bank is not served.
    """
    is_served = record.bank in container.served_banks
    if box is not None:
        limits = Cutout(box, rendering.THUMBNAIL_PX, rendering.THUMBNAIL_PX, is_asked=True).within(
            record.height, record.width
        )
        key: tuple[object, ...] = (record.sha256, record.id, "thumbnail", limits, is_served)
        return await answer_cached(
            request, container, key, "image/jpeg", lambda: _thumbnail_of_box(container, record, limits, is_served)
        )

    def make() -> bytes:
        part = container.evidence.part(record)
        is_whole = part.size == part.image_size
        image = _scaled_image(container, record, rendering.THUMBNAIL_PX if is_whole else rendering.LARGEST_PX)
        image = rendering.scale(part.cut(image), rendering.THUMBNAIL_PX)
        if is_served:
            image = rendering.overlay_heat(image, container.evidence.heat(record, image.height, image.width, part=part))
        return rendering.encode_jpeg(image, quality=85)

    key = (record.sha256, record.id, "thumbnail", is_served)
    return await answer_cached(request, container, key, "image/jpeg", make)


def _thumbnail_of_box(container: Container, record: Record, box: rendering.Box, is_served: bool) -> bytes:
    key = record.sha256, container.evidence.reading(record)
    image = container.decoded.get(key, lambda: _image(container, record))
    image = rendering.cut(image, box, rendering.THUMBNAIL_PX, rendering.THUMBNAIL_PX)
    if is_served:
        across, down = image.width / (box[3] - box[1]), image.height / (box[2] - box[0])
        height, width = math.ceil(record.height * down), math.ceil(record.width * across)
        top, left = min(round(box[0] * down), height - image.height), min(round(box[1] * across), width - image.width)
        heat = container.evidence.heat(record, height, width)[top:, left:][: image.height, : image.width]
        image = rendering.overlay_heat(image, heat)
    return rendering.encode_jpeg(image, quality=85)


@router.get("/heat.png", response_class=Response, responses=_file_response("image/png"))
async def heat(
    request: Request,
    container: ContainerDep,
    person: Operator,
    record: RecordDep,
    always: Annotated[bool, Query(description="also if the verdict is normal")] = False,
) -> Response:
    """Return the heat as a PNG, transparent where there is none, longer side at most 2048 px."""

    def make() -> bytes:
        width, height = fit_size(record.width, record.height, rendering.DISPLAY_PX, enlarge=False)
        return heat_layer(container.evidence.heat(record, height, width, even_if_normal=always))

    return await answer_cached(request, container, (record.sha256, record.id, "heat", always), "image/png", make)


@router.get("/overlay.png", response_class=Response, responses=_file_response("image/png"))
async def overlay(request: Request, container: ContainerDep, person: Operator, record: RecordDep) -> Response:
    """Return the inspected image with its heat as a PNG, longer side at most 2048 px."""

    def make() -> bytes:
        image = _scaled_image(container, record, rendering.DISPLAY_PX)
        heat = container.evidence.heat(record, image.height, image.width)
        return rendering.encode_png(rendering.overlay_heat(image, heat))

    return await answer_cached(request, container, (record.sha256, record.id, "overlay"), "image/png", make)


@router.get("/map.tiff", response_class=Response, responses=_file_response("image/tiff"))
async def anomaly_map(request: Request, container: ContainerDep, person: Operator, record: RecordDep) -> Response:
    """Return the smoothed distances as a float32 TIFF, in the image's own pixels; NaN where nothing counts."""

    def make() -> bytes:
        return rendering.encode_tiff(container.evidence.anomaly_map(record))

    return await answer_cached(request, container, (record.sha256, record.id, "map"), "image/tiff", make)


def _image(container: Container, record: Record) -> Image.Image:
    content, reading = container.evidence.image_file(record), container.evidence.reading(record)
    return decode(content, record.name, container.configuration.max_pixels, reading)


def _scaled_image(container: Container, record: Record, px: int) -> Image.Image:
    return rendering.scale(_image(container, record), px)


def _picture_px(container: Container, record: Record) -> int:
    """Longer side of the picture: more where pages show a part of it only, so that the part has enough pixels."""
    part = container.evidence.part(record)
    enough = round(rendering.DISPLAY_PX * max(part.image_size) / max(part.size))
    return min(enough, rendering.LARGEST_PX)


async def on_drawing(container: Container, compute: Callable[[], _T]) -> _T:
    """Run a slow or memory-hungry function on the drawing threads, which are few, and not on the event loop."""
    return await asyncio.get_running_loop().run_in_executor(container.drawing, compute)


async def answer_cached(
    request: Request, container: Container, key: tuple[object, ...], media_type: str, make: Callable[[], bytes]
) -> Response:
    """Answer with a file that browsers cache but check each time, since a new database uses the same ids again."""
    tag = '"' + hashlib.sha256(repr(key).encode()).hexdigest()[:32] + '"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(await on_drawing(container, make), headers=headers, media_type=media_type)
