"""Uploads: one or several images as multipart, through the inspection queue, answered when they are recorded."""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import PureWindowsPath
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from anomalign.errors import AnomalignError
from anomalign.images.formats import further_formats
from anomalign.images.kinds import kind_of
from anomalign.service import errors
from anomalign.service.api import schemas, serializers
from anomalign.service.api.dependencies import ERRORS, BankName, served_bank_of
from anomalign.service.container import Container, ContainerDep
from anomalign.service.refusals import Busy, Closed
from anomalign.service.security.people import Operator
from anomalign.service.store import Record

router = APIRouter(tags=["inspecting"], responses=ERRORS)

FILES = 256
"""Maximum number of files in one request."""

_PATIENCE_S = 60.0  # how long a batch waits for space in the queue before the rest of it is refused
_RETRY_S = 0.1
_MAX_NAME_LENGTH = 255

_log = logging.getLogger("anomalign.service")

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": FILES,
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            }
        },
    }
}


class _InMemory(MultiPartParser):
    spool_max_size = 2**62  # requests stay in memory: their size is limited


@router.post(
    "/api/banks/{bank}/inspections",
    response_model=schemas.Results,
    responses={415: {"model": schemas.Error, "description": "not multipart, or none of the files is an image"}},
    openapi_extra=_BODY,
)
async def inspect(bank: BankName, request: Request, container: ContainerDep, person: Operator) -> Any:
    """Inspect image files: PNG, JPEG, BMP, TIFF, WebP, JPEG 2000. The content decides, not the file name.

    The response holds one result per file: its recorded inspection, or the reason why it could not be inspected. If no
    file could be inspected, the status is that of the first failure.
    """
    served_bank_of(container, bank)
    if container.closing:
        raise Closed
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(415, "send the images as multipart/form-data, in fields named `files`")
    size = int(request.headers.get("content-length", container.configuration.max_upload_bytes))
    if not container.budget.take(size):
        container.metrics.refused.inc()
        raise HTTPException(429, "too much is being uploaded already; try again in 2 s", {"Retry-After": "2"})
    try:
        files = await _read_files(request)
        outcomes = await _inspect_files(container, bank, files)
    finally:
        container.budget.give(size)
    return _answer(container, request, [name for name, _ in files], outcomes)


async def _read_files(request: Request) -> list[tuple[str, bytes]]:
    try:
        form = await _InMemory(request.headers, request.stream(), max_files=FILES, max_fields=16).parse()
    except MultiPartException as error:
        raise HTTPException(400, f"the body is not valid multipart: {error.message}") from error
    except (ValueError, KeyError, UnicodeError) as error:  # an invalid boundary or charset
        raise HTTPException(400, "the body is not valid multipart") from error
    try:
        uploads = [value for key, value in form.multi_items() if key == "files" and isinstance(value, UploadFile)]
        if not uploads:
            raise HTTPException(422, "no image: send one or more files in fields named `files`")
        return [(_display_name(upload.filename), await upload.read()) for upload in uploads]
    finally:
        await form.close()


def _display_name(filename: str | None) -> str:
    """Return a name to display: relative, with its folders, without characters that cannot be printed."""
    path = PureWindowsPath(filename or "")
    parts = [part for part in path.relative_to(path.anchor).parts if part != ".."]
    printable = "".join(letter if letter.isprintable() else "�" for letter in "/".join(parts))
    return printable[-_MAX_NAME_LENGTH:].strip("/ ") or "image"


def _refusal(name: str, content: bytes) -> str | None:
    """Why a file is not taken for a picture that can be read, by its first bytes; None if it is one."""
    if kind_of(content, name) is None:
        return f"{name}: not a PNG, JPEG, BMP, TIFF or WebP file"
    try:
        further_formats(content, name)
    except ValueError as error:
        return f"{name}: {error}"
    return None


async def _inspect_files(
    container: Container, bank: str, files: Sequence[tuple[str, bytes]]
) -> list[Record | BaseException]:
    """Return the record of each file, or the error. Raises `Busy` if the queue has no space for a single file."""
    answers: list[Future[Record]] = []
    outcomes: list[Future[Record] | Exception] = []
    deadline = time.monotonic() + _PATIENCE_S
    for name, content in files:
        if refusal := _refusal(name, content):
            outcomes.append(HTTPException(415, refusal))
            continue
        while True:
            try:
                answers.append(container.queue.submit(bank, name, content))
                outcomes.append(answers[-1])
            except Busy as busy:
                if not answers:
                    container.metrics.refused.inc()
                    raise
                if time.monotonic() < deadline:  # a batch may be larger than the queue: wait for its first answers
                    await asyncio.sleep(_RETRY_S)
                    continue
                outcomes.append(busy)
            except AnomalignError as error:
                outcomes.append(error)
            break
    futures = [asyncio.wrap_future(answer) for answer in answers]
    records = iter(await asyncio.gather(*futures, return_exceptions=True))
    return [outcome if isinstance(outcome, Exception) else next(records) for outcome in outcomes]


def _answer(
    container: Container, request: Request, names: Sequence[str], outcomes: Sequence[Record | BaseException]
) -> schemas.Results | JSONResponse:
    results: list[schemas.Inspection | schemas.Failure] = []
    statuses: list[tuple[int, dict[str, str]]] = []
    for name, outcome in zip(names, outcomes, strict=True):
        if isinstance(outcome, Record):
            results.append(
                serializers.inspection(outcome, container.served_banks.get(outcome.bank), container.image_files)
            )
            continue
        status, text, headers = _describe_failure(request, name, outcome)
        container.metrics.failed.inc()
        statuses.append((status, headers))
        results.append({"name": name, "error": text})
    if len(statuses) < len(results):
        return {"results": results}
    status, headers = statuses[0]
    first = results[0]
    return JSONResponse({"error": first.get("error"), "results": results}, status, headers)


def _describe_failure(request: Request, name: str, error: BaseException) -> tuple[int, str, dict[str, str]]:
    if isinstance(error, HTTPException):
        return error.status_code, error.detail, {}
    if isinstance(error, AnomalignError):
        status, headers = errors.status_of(error)
        if status >= 500:
            _log.error("%s: %s: %s", request.state.request_id, name, error)
        return status, errors.text_of(error), headers
    _log.error("%s: %s failed", request.state.request_id, name, exc_info=error)
    return 500, f"{name}: internal error; see request {request.state.request_id} in the service's log", {}
