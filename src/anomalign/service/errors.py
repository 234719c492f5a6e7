"""Turns errors into responses: a status, and one sentence that is safe to send."""

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from anomalign.errors import (
    AnomalignError,
    BankLockedError,
    CalibrationError,
    ConflictError,
    ImageError,
    InputError,
    NotFoundError,
    StoreError,
)
from anomalign.service.banks.dry_run import ProposalError
from anomalign.service.events import TooManyListenersError
from anomalign.service.pages import router as pages
from anomalign.service.refusals import Busy, CameraLost, Closed
from anomalign.service.security.people import SignInNeeded

_log = logging.getLogger("anomalign.service")

_RETRY_S = 5  # for a database that cannot be reached, or a bank that another process writes to


def install(app: FastAPI) -> None:
    """Register the error handlers of an app."""
    app.add_exception_handler(AnomalignError, _answer_error)
    app.add_exception_handler(SignInNeeded, _answer_sign_in)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(RequestValidationError, _answer_invalid)


def status_of(error: AnomalignError) -> tuple[int, dict[str, str]]:
    """Return the status and the headers for an error."""
    match error:
        case NotFoundError():
            return 404, {}
        case ConflictError() | ProposalError():
            return 409, {}
        case Busy():
            return 429, {"Retry-After": str(error.retry_after_s)}
        case CameraLost() | Closed() | TooManyListenersError() | StoreError() | BankLockedError():
            return 503, {"Retry-After": str(_RETRY_S)}
        case InputError() | ImageError() | CalibrationError():
            return 422, {}
        case _:
            return 500, {}


def text_of(error: AnomalignError) -> str:
    """Return the text to send. The state of the database and of the disk is only for the log."""
    if isinstance(error, StoreError) and not isinstance(error, NotFoundError | ConflictError):
        return "records cannot be read or written just now; see the service's log"
    return str(error)


def answer(status: int, error: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error as a JSON response."""
    return JSONResponse({"error": error}, status, dict(headers or {}))


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnomalignError)
    status, headers = status_of(error)
    if status >= 500:
        _log.error("%s: %s", request.state.request_id, error)
    text = text_of(error)
    if _wants_page(request):
        page = pages.show_problem(request, status, f"{text[0].upper()}{text[1:]}.")
        page.headers.update(headers)
        return page
    return answer(status, text, headers)


async def _answer_sign_in(request: Request, error: Exception) -> Response:
    """Send a browser to the sign-in page, and others a 401."""
    assert isinstance(error, SignInNeeded)
    if _wants_page(request):
        return RedirectResponse("/login", 303)
    return answer(401, error.text, {"WWW-Authenticate": "Bearer"})


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and _wants_page(request):
        return pages.show_problem(request, 404, "There is no such page.")
    return answer(error.status_code, str(error.detail), error.headers)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    """Name the wrong fields, without their values."""
    assert isinstance(error, RequestValidationError)
    if _wants_page(request):  # /inspections/x
        return pages.show_problem(request, 404, "There is no such page.")
    parts = [f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors()[:5]]
    return answer(422, "; ".join(parts)[:1000])


def _wants_page(request: Request) -> bool:
    """Return whether a browser will show the response as a page."""
    api = request.url.path.startswith("/api/")
    return request.method == "GET" and not api and "text/html" in request.headers.get("accept", "")
