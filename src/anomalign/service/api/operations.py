"""Operation of the service: health, readiness, metrics, delivery of verdicts, the audit log, live events."""

import asyncio
import shutil
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse

from anomalign.errors import StoreError
from anomalign.service.api import schemas, serializers
from anomalign.service.api.dependencies import ERRORS, Limit
from anomalign.service.api.inspections import Cursor
from anomalign.service.container import ContainerDep
from anomalign.service.security.people import Admin, Operator, SignInNeeded

router = APIRouter(tags=["operations"], responses=ERRORS)

_PING_S = 5.0
_MIN_FREE_BYTES = 50_000_000  # on the disk of image files and records


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answer while the process is alive. Needs no sign-in."""
    return {"status": "alive"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz")
async def readyz(container: ContainerDep) -> dict[str, str]:
    """Answer 200 if images can be inspected and recorded, else 503, also during shutdown. Needs no sign-in."""
    if container.closing:
        raise HTTPException(503, "shutting down")
    try:
        await asyncio.wait_for(asyncio.to_thread(container.store.ping), _PING_S)
    except (StoreError, asyncio.TimeoutError):
        raise HTTPException(503, "records cannot be read just now") from None
    if shutil.disk_usage(container.configuration.data).free < _MIN_FREE_BYTES:
        raise HTTPException(503, "the disk is full: no space for image files and records")
    return {"status": "ready"}


@router.get(
    "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
)
def metrics(container: ContainerDep, person: Operator) -> Response:
    """Return metrics for Prometheus, which must send a token."""
    return Response(container.metrics.text(), media_type="text/plain; version=0.0.4")


@router.get("/api/audit")
def audit(
    container: ContainerDep,
    person: Admin,
    action: Annotated[str | None, Query(max_length=64)] = None,
    after: Cursor = None,
    limit: Limit = 50,
) -> schemas.AuditLog:
    """List who did what, newest first."""
    page = container.store.audit(after, limit, action)
    return {"entries": [serializers.audit_entry(event) for event in page.events], "next": page.next}


@router.get("/api/delivery")
def delivery(container: ContainerDep, person: Operator) -> schemas.Delivery:
    """List the receivers of verdicts: what waits for each, and how the latest attempts went."""
    return {"receivers": [serializers.receiver(state) for state in container.delivery.states()]}


@router.get(
    "/api/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(request: Request, container: ContainerDep, person: Operator) -> StreamingResponse:
    """Stream server-sent events: `inspection` (the inspection), `decision` (`record`, `decision` or null) and `bank`
    (`bank`, `version`, `edit`). A regular comment shows that the connection is alive.
    """

    def still_signed_in() -> bool:
        try:
            return container.people.of(request) == person
        except (SignInNeeded, HTTPException):
            return False

    return StreamingResponse(
        container.events.listen(still_signed_in), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )
