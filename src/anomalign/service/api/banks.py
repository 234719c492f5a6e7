"""Banks: what they hold, how they came to be, where normal ends in them, and whether images still look like theirs."""

from datetime import datetime
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response

from anomalign.errors import BankDamagedError, BankError, NotFoundError
from anomalign.service.api import schemas, serializers
from anomalign.service.api.dependencies import ERRORS, MOST_ID, Limit, ServedBankDep
from anomalign.service.api.evidence import cached, on_drawing
from anomalign.service.api.times import utc
from anomalign.service.banks import statistics
from anomalign.service.container import ContainerDep
from anomalign.service.security.people import Operator

router = APIRouter(prefix="/api/banks", tags=["banks"], responses=ERRORS)

_MOST_POINTS = 5000
_RECENT = 1000


@router.get("")
def list_banks(container: ContainerDep, person: Operator) -> schemas.Banks:
    """All banks that are served."""
    return {"banks": [serializers.bank(served_bank) for served_bank in container.served_banks.values()]}


@router.get("/{bank}")
def get_bank(person: Operator, served_bank: ServedBankDep) -> schemas.BankSummary:
    """One bank."""
    return serializers.bank(served_bank)


@router.get("/{bank}/images")
def list_images(
    container: ContainerDep,
    person: Operator,
    served_bank: ServedBankDep,
    order: Literal["suspicious", "id"] = "suspicious",
    after: Annotated[int, Query(ge=0, le=MOST_ID, description="`next` of the page before")] = 0,
    limit: Limit = 100,
) -> schemas.NormalImages:
    """Normal images, the least likely to be normal first; those that calibration did not score come last."""
    detector, found = container.suspicions.of(served_bank)
    by_id = {suspect.image.id: suspect for suspect in found}
    images = list(detector.bank.images)
    if order == "suspicious":
        place = {suspect.image.id: number for number, suspect in enumerate(found)}
        images.sort(key=lambda image: place.get(image.id, len(place)))
    used = container.store.usage(served_bank.name)
    end = min(after + limit, len(images))
    return {
        "images": [
            serializers.normal_image(image, used.get(image.id, 0), by_id.get(image.id)) for image in images[after:end]
        ],
        "next": end if end < len(images) else None,
        "total": len(images),
    }


@router.get(
    "/{bank}/images/{id}/preview.jpg",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def preview(
    request: Request,
    container: ContainerDep,
    person: Operator,
    served_bank: ServedBankDep,
    id: Annotated[int, Path(ge=1, le=MOST_ID)],
) -> Response:
    """A normal image as a JPEG, longer side at most 320 px, also of one that was removed, until it is compacted."""

    def read() -> bytes:
        try:
            return served_bank.bank.preview(id)
        except BankDamagedError:
            raise
        except BankError as error:
            raise NotFoundError(f"bank {served_bank.name} has no image {id}") from error

    content = await on_drawing(container, read)
    return await cached(request, container, (content,), "image/jpeg", lambda: content)


@router.get("/{bank}/versions")
def versions(person: Operator, served_bank: ServedBankDep) -> schemas.Versions:
    """All versions of a bank, oldest first."""
    return {"versions": [serializers.version(change) for change in served_bank.bank.history()]}


@router.get("/{bank}/edits")
def edits(container: ContainerDep, person: Operator, served_bank: ServedBankDep, limit: Limit = 50) -> schemas.Edits:
    """The latest changes that people made, newest first."""
    return {"edits": [serializers.edit(made) for made in container.store.edits.latest(served_bank.name, limit)]}


@router.get("/{bank}/scores")
def scores(
    container: ContainerDep,
    person: Operator,
    served_bank: ServedBankDep,
    limit: Annotated[int, Query(ge=1, le=_RECENT)] = 500,
) -> schemas.Scores:
    """Scores of the normals and of recent inspections, and the threshold that each rate of false alarms gives."""
    detector = served_bank.detector
    records = container.store.latest(served_bank.name, limit)
    return {
        "normal_scores": np.sort(detector.normal_scores).tolist(),
        "threshold": detector.threshold.value,
        "target_fpr": detector.target_fpr,
        "recent": [
            {
                "id": record.id,
                "score": serializers.finite(record.image_score),
                "verdict": record.verdict,
                "current": record.bank_version == detector.bank.version,
            }
            for record in records
        ],
        "rates": [
            {"target_fpr": limit.target_fpr, "threshold": limit.value, "expected_fpr": limit.expected_fpr}
            for limit in statistics.curve(detector)
        ],
    }


@router.get("/{bank}/drift")
async def drift(
    container: ContainerDep,
    person: Operator,
    served_bank: ServedBankDep,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=_MOST_POINTS)] = 1000,
) -> schemas.Drift:
    """Distances to the normals over time, oldest first, and whether the latest differ from the normals' own."""

    def make() -> schemas.Drift:
        found = statistics.drift(served_bank, container.store, utc(since), utc(until), limit)
        return serializers.drift(*found)

    return await on_drawing(container, make)
