"""Banks: their images, versions and edits, their threshold, and drift."""

from datetime import datetime
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query

from anomalign.service.api import schemas, serializers
from anomalign.service.api.dependencies import ERRORS, MAX_ID, Limit, ServedBankDep
from anomalign.service.api.evidence import on_drawing
from anomalign.service.api.times import utc
from anomalign.service.banks import statistics
from anomalign.service.container import ContainerDep
from anomalign.service.security.people import Operator

router = APIRouter(prefix="/api/banks", tags=["banks"], responses=ERRORS)

_MAX_POINTS = 5000
_MAX_RECENT = 1000


@router.get("")
def list_banks(container: ContainerDep, person: Operator) -> schemas.Banks:
    """List the banks that are served."""
    return {"banks": [serializers.bank(served_bank) for served_bank in container.served_banks.values()]}


@router.get("/{bank}")
def get_bank(person: Operator, served_bank: ServedBankDep) -> schemas.BankSummary:
    """Return one bank."""
    return serializers.bank(served_bank)


@router.get("/{bank}/images")
def list_images(
    container: ContainerDep,
    person: Operator,
    served_bank: ServedBankDep,
    order: Literal["suspicious", "id"] = "suspicious",
    after: Annotated[int, Query(ge=0, le=MAX_ID, description="`next` of the previous page")] = 0,
    limit: Limit = 100,
) -> schemas.NormalImages:
    """List normal images, the least likely to be normal first; images without a calibration score come last."""
    detector, suspects = container.suspects.of(served_bank)
    by_id = {suspect.image.id: suspect for suspect in suspects}
    images = list(detector.bank.images)
    if order == "suspicious":
        place = {suspect.image.id: number for number, suspect in enumerate(suspects)}
        images.sort(key=lambda image: place.get(image.id, len(place)))
    usage = container.store.usage(served_bank.name)
    end = min(after + limit, len(images))
    return {
        "images": [
            serializers.normal_image(image, usage.get(image.id, 0), by_id.get(image.id)) for image in images[after:end]
        ],
        "next": end if end < len(images) else None,
        "total": len(images),
    }


@router.get("/{bank}/versions")
def versions(person: Operator, served_bank: ServedBankDep) -> schemas.Versions:
    """History of a bank, oldest first: for each edit the version that it led to."""
    return {"versions": [serializers.version(change) for change in served_bank.bank.history()]}


@router.get("/{bank}/edits")
def edits(container: ContainerDep, person: Operator, served_bank: ServedBankDep, limit: Limit = 50) -> schemas.Edits:
    """List the latest edits that people made, newest first."""
    return {"edits": [serializers.edit(edit) for edit in container.store.edits.latest(served_bank.name, limit)]}


@router.get("/{bank}/scores")
def scores(
    container: ContainerDep,
    person: Operator,
    served_bank: ServedBankDep,
    limit: Annotated[int, Query(ge=1, le=_MAX_RECENT)] = 500,
) -> schemas.Scores:
    """Return scores of the normal images and of recent inspections, and the threshold for each false-positive rate."""
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
            {"target_fpr": point.target_fpr, "threshold": point.value, "expected_fpr": point.expected_fpr}
            for point in statistics.curve(detector)
        ],
    }


@router.get("/{bank}/drift")
async def drift(
    container: ContainerDep,
    person: Operator,
    served_bank: ServedBankDep,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=_MAX_POINTS)] = 1000,
) -> schemas.DriftOverTime:
    """Return distances to the normal images over time, oldest first, and a test of the latest for drift."""

    def compute() -> schemas.DriftOverTime:
        return serializers.drift(*statistics.drift(served_bank, container.store, utc(since), utc(until), limit))

    return await on_drawing(container, compute)
