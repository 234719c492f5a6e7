"""Checks of banks: which synthetic defects a bank finds."""

from fastapi import APIRouter

from anomalign.service.api import schemas, serializers
from anomalign.service.api.dependencies import ERRORS, ServedBankDep
from anomalign.service.container import ContainerDep
from anomalign.service.security.people import Operator

router = APIRouter(prefix="/api/banks/{bank}/check", tags=["banks"], responses=ERRORS)


@router.get("")
def get_check(container: ContainerDep, person: Operator, served_bank: ServedBankDep) -> schemas.Check:
    """Return the check of a bank. Its result is kept until the bank or its target rate changes."""
    return serializers.check(container.checks.of(served_bank))


@router.post("", status_code=202)
def start_check(container: ContainerDep, person: Operator, served_bank: ServedBankDep) -> schemas.Check:
    """Begin to measure which synthetic defects a bank finds, unless that is running or done. The bank stays the same.

    It takes a minute or longer; inspections come first.
    """
    return serializers.check(container.checks.start(served_bank))
