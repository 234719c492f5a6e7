"""Recorded inspections: filter them, page through them, export them, and decide on them."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from anomalign.detection.summary import Verdict
from anomalign.service.api import schemas, serializers
from anomalign.service.api.dependencies import ERRORS, Id, Limit, RecordDep
from anomalign.service.api.times import utc
from anomalign.service.container import Container, ContainerDep
from anomalign.service.security.people import Operator, Person
from anomalign.service.store import DecisionKind, Filters, Order

router = APIRouter(tags=["inspections"], responses=ERRORS)

Cursor = Annotated[str | None, Query(max_length=500, description="`next` of the previous page")]


class NewDecision(BaseModel):
    """A person's decision on an inspection."""

    model_config = ConfigDict(extra="forbid")

    kind: DecisionKind
    note: str = Field("", max_length=2000)


def _filters(
    bank: Annotated[str | None, Query(max_length=255)] = None,
    verdict: Verdict | None = None,
    since: Annotated[datetime | None, Query(description="at this time or later")] = None,
    until: Annotated[datetime | None, Query(description="before this time")] = None,
    reviewed: bool | None = None,
    kind: DecisionKind | None = None,
    name: Annotated[str | None, Query(max_length=255, description="part of the file name, in any case")] = None,
) -> Filters:
    return Filters(
        bank=bank,
        verdict=verdict,
        since=utc(since),
        until=utc(until),
        reviewed=reviewed,
        kind=kind,
        name=name,
    )


FiltersDep = Annotated[Filters, Depends(_filters)]
"""Type of a handler's argument: the filters in its query."""


@router.get("/api/inspections")
def list_inspections(
    container: ContainerDep,
    person: Operator,
    filters: FiltersDep,
    order: Order = "newest",
    after: Cursor = None,
    limit: Limit = 50,
) -> schemas.Inspections:
    """List inspections that satisfy all filters. Times without an offset are UTC."""
    page = container.store.page(filters, order, after, limit)
    return {
        "records": [
            serializers.inspection(r, container.served_banks.get(r.bank), container.image_files) for r in page.records
        ],
        "next": page.next,
    }


@router.get("/api/inspections/{id}")
def get_inspection(container: ContainerDep, person: Operator, record: RecordDep) -> schemas.Inspection:
    """Return one inspection."""
    return serializers.inspection(record, container.served_banks.get(record.bank), container.image_files)


@router.get("/api/inspections/{id}/record.json", response_model=dict[str, Any])
def get_record(container: ContainerDep, person: Operator, record: RecordDep) -> Any:
    """Return the record from which `anomalign replay RECORD --bank BANK --image FILE` computes the verdict again."""
    return container.store.entry(record.id)


@router.get(
    "/api/records.jsonl",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
def export(container: ContainerDep, person: Operator, filters: FiltersDep) -> StreamingResponse:
    """Export records that satisfy all filters, newest first, one per line; `anomalign replay` and `drift` read them.

    `image` is the path of the image file on the machine of the service, `name` its original name.
    """
    return StreamingResponse(_lines(container, filters), media_type="application/x-ndjson")


@router.post("/api/inspections/{id}/decisions", status_code=201)
def decide(container: ContainerDep, person: Operator, record: RecordDep, decision: NewDecision) -> schemas.Decision:
    """Decide on an inspection. Earlier decisions stay in the history but do not count any more."""
    result = serializers.decision(container.store.decisions.add(record.id, decision.kind, decision.note, person.name))
    container.metrics.decisions.labels(record.bank, decision.kind).inc()
    container.events.publish("decision", {"record": record.id, "decision": result})
    return result


@router.delete("/api/decisions/{id}", status_code=204)
def undo_decision(container: ContainerDep, person: Operator, id: Id) -> None:
    """Undo a decision; the one before it counts again. Operators may undo only their own decisions."""
    decision = container.store.decisions.get(id)
    if decision is not None:
        check_owner(person, decision.who, "decision")
    container.store.decisions.undo(id, person.name)
    record = container.store.get(decision.record) if decision else None
    if record is not None:
        current = None if record.decision is None else serializers.decision(record.decision)
        container.events.publish("decision", {"record": record.id, "decision": current})


def check_owner(person: Person, who: str, what: str) -> None:
    """Refuse with 403 where an operator wants to undo what another person did."""
    if person.role != "admin" and person.name != who:
        raise HTTPException(403, f"this {what} was made by {who}; only they or an admin can undo it")


def _lines(container: Container, filters: Filters) -> Iterator[str]:
    after: str | None = None
    while True:
        page = container.store.page(filters, "newest", after, 200)
        entries = container.store.entries([record.id for record in page.records])
        for record in page.records:
            if record.id not in entries:  # deleted meanwhile
                continue
            path = container.image_files.path(record.sha256)
            entry = {**entries[record.id], "name": record.name, "image": str(path.resolve()) if path else record.name}
            yield json.dumps(entry) + "\n"
        after = page.next
        if after is None:
            return
