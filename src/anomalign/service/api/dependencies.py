"""Dependencies that handlers share: ids, banks and records that a request names."""

from typing import Annotated, Any

from fastapi import Depends, Path, Query

from anomalign.errors import NotFoundError
from anomalign.service.api import schemas
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.container import Container, ContainerDep
from anomalign.service.store import Record

MAX_ID = 2**63 - 1

Id = Annotated[int, Path(ge=1, le=MAX_ID)]
Limit = Annotated[int, Query(ge=1, le=200)]
BankName = Annotated[str, Path(max_length=255)]

# Errors that every handler may answer with, for the OpenAPI document.
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": schemas.Error, "description": "the request cannot be understood"},
    401: {"model": schemas.Error, "description": "not signed in"},
    403: {"model": schemas.Error, "description": "not allowed for this role, or sent by the page of another site"},
    404: {"model": schemas.Error, "description": "there is nothing with this id or name"},
    409: {"model": schemas.Error, "description": "another person or process changed it first"},
    413: {"model": schemas.Error, "description": "the request is too large"},
    421: {"model": schemas.Error, "description": "the service does not have this host name"},
    422: {"model": schemas.Error, "description": "a value is not valid"},
    429: {"model": schemas.Error, "description": "too many requests at once; Retry-After says when to try again"},
    503: {"model": schemas.Error, "description": "not possible at the moment; Retry-After says when to try again"},
}


def served_bank_of(container: Container, bank: str) -> ServedBank:
    """Return the bank with this name.

    Raises
    ------
    NotFoundError
    """
    served_bank = container.served_banks.get(bank)
    if served_bank is None:
        raise NotFoundError(f"no bank {bank!r} here; there are {', '.join(container.served_banks)}")
    return served_bank


def record_of(container: Container, id: int) -> Record:
    """Return the record with this id.

    Raises
    ------
    NotFoundError
    """
    record = container.store.get(id)
    if record is None:
        raise NotFoundError(f"no inspection {id}")
    return record


def _served_bank(container: ContainerDep, bank: BankName) -> ServedBank:
    return served_bank_of(container, bank)


def _record(container: ContainerDep, id: Id) -> Record:
    return record_of(container, id)


ServedBankDep = Annotated[ServedBank, Depends(_served_bank)]
"""Type of a handler's argument: the bank in its path."""

RecordDep = Annotated[Record, Depends(_record)]
"""Type of a handler's argument: the record in its path."""
