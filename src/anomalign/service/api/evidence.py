"""Why: matches of every place, and the picture with its heat."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request, Response

from anomalign.service.api import schemas, serializers
from anomalign.service.api.dependencies import ERRORS, MOST_ID, RecordDep
from anomalign.service.container import Container, ContainerDep
from anomalign.service.kept import rendering
from anomalign.service.security.people import Operator

router = APIRouter(prefix="/api/inspections/{id}", tags=["evidence"], responses=ERRORS)

Against = Annotated[int | None, Query(ge=1, le=MOST_ID, description="compare with this normal image alone")]
Place = Annotated[float, Query(ge=0, le=10**6, allow_inf_nan=False)]

_T = TypeVar("_T")


@router.get("/matches")
async def matches(
    container: ContainerDep, person: Operator, record: RecordDep, against: Against = None
) -> schemas.Matches:
    """The match of every place, on the grid."""

    def make() -> schemas.Matches:
        return serializers.matches(container.evidence.details(record, against), container.evidence.framing(record))

    return await on_drawing(container, make)


@router.get("/match")
async def match(
    container: ContainerDep, person: Operator, record: RecordDep, y: Place, x: Place, against: Against = None
) -> schemas.Match:
    """Where one pixel was matched: row `y`, column `x` of the image."""

    def make() -> schemas.Match:
        details, framing = container.evidence.details(record, against), container.evidence.framing(record)
        return serializers.match(details.match_at(y, x, framing, record.height, record.width))

    return await on_drawing(container, make)


def _file(media_type: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {200: {"content": content}, 304: {"description": "as before"}}


@router.get("/picture", response_class=Response, responses=_file("image/jpeg"))
async def picture(request: Request, container: ContainerDep, person: Operator, record: RecordDep) -> Response:
    """The image as a JPEG, longer side at most 2048 px."""

    def make() -> bytes:
        content, limit = container.evidence.image_file(record), container.configuration.max_pixels
        return rendering.jpeg(rendering.scaled(content, record.name, limit, rendering.PICTURE_PX))

    return await cached(request, container, (record.sha256, "picture"), "image/jpeg", make)


@router.get("/thumbnail.jpg", response_class=Response, responses=_file("image/jpeg"))
async def thumbnail(request: Request, container: ContainerDep, person: Operator, record: RecordDep) -> Response:
    """The image with its heat, longer side at most 320 px."""

    def make() -> bytes:
        content, limit = container.evidence.image_file(record), container.configuration.max_pixels
        small = rendering.scaled(content, record.name, limit, rendering.THUMBNAIL_PX)
        return rendering.jpeg(
            rendering.with_heat(small, container.evidence.heat(record, small.height, small.width)), 85
        )

    return await cached(request, container, (record.sha256, record.id, "thumbnail"), "image/jpeg", make)


@router.get("/heat.png", response_class=Response, responses=_file("image/png"))
async def heat(
    request: Request,
    container: ContainerDep,
    person: Operator,
    record: RecordDep,
    always: Annotated[bool, Query(description="also where the verdict is normal")] = False,
) -> Response:
    """The heat alone, transparent where there is none, to be laid over the picture, in its size."""

    def make() -> bytes:
        height, width = rendering.size_within(record.height, record.width, rendering.PICTURE_PX)
        return rendering.layer(container.evidence.heat(record, height, width, even_if_normal=always))

    return await cached(request, container, (record.sha256, record.id, "heat", always), "image/png", make)


@router.get("/overlay.png", response_class=Response, responses=_file("image/png"))
async def overlay(request: Request, container: ContainerDep, person: Operator, record: RecordDep) -> Response:
    """The image with its heat, longer side at most 2048 px."""

    def make() -> bytes:
        content, limit = container.evidence.image_file(record), container.configuration.max_pixels
        image = rendering.scaled(content, record.name, limit, rendering.PICTURE_PX)
        return rendering.png(rendering.with_heat(image, container.evidence.heat(record, image.height, image.width)))

    return await cached(request, container, (record.sha256, record.id, "overlay"), "image/png", make)


@router.get("/map.tiff", response_class=Response, responses=_file("image/tiff"))
async def anomaly_map(request: Request, container: ContainerDep, person: Operator, record: RecordDep) -> Response:
    """The anomaly map, float32, in the image's own pixels; NaN where a centre crop did not look."""

    def make() -> bytes:
        return rendering.tiff(container.evidence.anomaly_map(record))

    return await cached(request, container, (record.sha256, record.id, "map"), "image/tiff", make)


async def on_drawing(container: Container, make: Callable[[], _T]) -> _T:
    """Do what takes time or much memory with the few threads there are for it, off the event loop."""
    return await asyncio.get_running_loop().run_in_executor(container.drawing, make)


async def cached(
    request: Request, container: Container, key: tuple[object, ...], media_type: str, make: Callable[[], bytes]
) -> Response:
    """A file that browsers keep, and ask about before they show it again: ids begin anew with a new database."""
    tag = '"' + hashlib.sha256(repr(key).encode()).hexdigest()[:32] + '"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(await on_drawing(container, make), headers=headers, media_type=media_type)
