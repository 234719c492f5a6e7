"""Routes of the pages. A page is a frame with the person and the banks; its script loads data by REST."""

from functools import cache
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from anomalign.images.heat import scale
from anomalign.service.api.dependencies import RecordDep, ServedBankDep
from anomalign.service.pages.assets import ASSETS, VERSION
from anomalign.service.security.people import Operator, People, Person, SignInNeeded

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.head("/")
@router.get("/")
def queue(request: Request, person: Operator) -> HTMLResponse:
    """Show the inspections."""
    return _page(request, person, "queue.html", here="queue")


@router.get("/inspections/{id}")
def inspection(request: Request, person: Operator, record: RecordDep) -> HTMLResponse:
    """Show one inspection: its evidence and the decisions on it."""
    served_banks = request.app.state.container.served_banks
    name = record.bank if record.bank in served_banks else ""
    return _page(request, person, "inspection.html", here="inspection", name=name, id=record.id, heat=scale())


@router.get("/banks/{bank}")
def bank(request: Request, person: Operator, served_bank: ServedBankDep) -> HTMLResponse:
    """Show the normal images of a bank and its threshold."""
    return _page(request, person, "bank.html", here="bank", name=served_bank.name)


@router.get("/banks/{bank}/drift")
def drift(request: Request, person: Operator, served_bank: ServedBankDep) -> HTMLResponse:
    """Show the drift of a bank."""
    return _page(request, person, "drift.html", here="drift", name=served_bank.name)


@router.get("/cameras")
def cameras(request: Request, person: Operator) -> HTMLResponse:
    """Show all cameras."""
    return _page(request, person, "cameras.html", here="cameras")


@router.get("/audit")
def audit(request: Request, person: Operator) -> HTMLResponse:
    """Show the audit log."""
    if person.role != "admin":
        return _page(request, person, "problem.html", 403, title="For admins", what="The history is for admins to see.")
    return _page(request, person, "audit.html", here="audit")


@router.get("/delivery")
def delivery(request: Request, person: Operator) -> HTMLResponse:
    """Show the receivers of verdicts, and what waits for each."""
    return _page(request, person, "delivery.html", here="delivery")


@router.get("/login", response_model=None)
def login(request: Request) -> Response:
    """Show the sign-in form, which posts to the REST interface."""
    people: People = request.app.state.container.people
    if people.tokens is None:
        return RedirectResponse("/", 303)
    return _page(request, None, "login.html")


@router.get("/favicon.ico")
def icon() -> Response:
    """Return the icon for pages that do not name one, such as errors."""
    return Response(ASSETS["icon.svg"].content, media_type=ASSETS["icon.svg"].media_type)


@router.get("/static/{version}/{name}")
def static(version: str, name: str) -> Response:
    """Return an asset of this version; 404 for other versions."""
    asset = ASSETS.get(name) if version == VERSION else None
    if asset is None:
        return Response("no such file", 404, media_type="text/plain")
    return Response(
        asset.content, headers={"Cache-Control": "public, max-age=31536000, immutable"}, media_type=asset.media_type
    )


def show_problem(request: Request, status: int, what: str) -> HTMLResponse:
    """Show what is wrong in place of a page, also to people who are not signed in."""
    people: People = request.app.state.container.people
    try:
        person = people.of(request)
    except (SignInNeeded, HTTPException):
        person = None
    title = "Not found" if status == 404 else "Not possible now"
    return _page(request, person, "problem.html", status, title=title, what=what)


def _page(request: Request, person: Person | None, template: str, status: int = 200, **content: Any) -> HTMLResponse:
    people: People = request.app.state.container.people
    common = {
        "static": f"/static/{VERSION}",
        "person": person,
        "can_leave": people.tokens is not None,
        "banks": list(request.app.state.container.served_banks) if person else [],
        "delivers": len(request.app.state.container.delivery) > 0,
        "has_cameras": bool(person and request.app.state.container.cameras.by_name),
        "here": "",
        "name": "",
    }
    return HTMLResponse(_templates().get_template(template).render(common | content), status)


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("anomalign.service"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
