"""Edits of banks: proposed, looked at, confirmed, undone."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from pydantic import BaseModel, ConfigDict, Field

from anomalign.service.api import schemas, serializers
from anomalign.service.api.dependencies import ERRORS, MOST_ID, Id, ServedBankDep
from anomalign.service.api.inspections import only_own
from anomalign.service.container import ContainerDep
from anomalign.service.security.people import Operator, Person
from anomalign.service.store import EditKind

router = APIRouter(tags=["edits"], responses=ERRORS)

ProposalId = Annotated[str, Path(max_length=64)]
ImageId = Annotated[int, Field(ge=1, le=MOST_ID)]


class ProposalBody(BaseModel):
    """One edit: the image of an inspection to add, normal images to remove, or a rate of false alarms to aim at."""

    model_config = ConfigDict(extra="forbid")

    add: ImageId | None = Field(None, description="an inspection whose image is to be a normal one")
    remove: list[ImageId] | None = Field(None, min_length=1, max_length=10_000)
    target_fpr: float | None = Field(None, gt=0, lt=1, allow_inf_nan=False)
    replayed: int = Field(100, ge=1, le=1000, description="on how many of the latest inspections it is tried")

    def kind(self) -> EditKind:
        """Which edit this is; refuses none, and several at once."""
        given = [name for name in ("add", "remove", "target_fpr") if getattr(self, name) is not None]
        match given:
            case ["add"]:
                return "add"
            case ["remove"]:
                return "remove"
            case ["target_fpr"]:
                return "rate"
            case _:
                raise HTTPException(422, "give exactly one of add, remove and target_fpr")


class Confirmation(BaseModel):
    """A word about an edit, for those who read the history."""

    model_config = ConfigDict(extra="forbid")

    note: str = Field("", max_length=2000)


@router.post("/api/banks/{bank}/proposals", status_code=201)
def propose(
    container: ContainerDep, person: Operator, served_bank: ServedBankDep, body: ProposalBody
) -> schemas.Proposal:
    """Try an edit on a copy of the bank: which of the latest verdicts would change? Nothing is edited yet."""
    kind = body.kind()
    _allow(person, kind)
    proposed = container.proposals.propose(
        served_bank,
        add=body.add,
        remove=body.remove or (),
        target_fpr=body.target_fpr,
        replayed=body.replayed,
    )
    return serializers.proposal(proposed)


@router.post("/api/proposals/{id}/confirm", status_code=201)
def confirm(
    container: ContainerDep, person: Operator, id: ProposalId, confirmation: Confirmation | None = None
) -> schemas.Edit:
    """Make the proposed edit; refused if the bank has changed since it was tried."""
    _allow(person, container.proposals.get(id).kind)
    return serializers.edit(container.proposals.confirm(id, person.name, confirmation.note if confirmation else ""))


@router.delete("/api/proposals/{id}", status_code=204)
def drop(container: ContainerDep, person: Operator, id: ProposalId) -> None:
    """Forget a proposal; one that is gone already is no error."""
    container.proposals.drop(id)


@router.post("/api/edits/{id}/undo")
def undo(container: ContainerDep, person: Operator, id: Id) -> schemas.Edit:
    """Take an edit back: an admin any, an operator the images that they added."""
    edit = container.store.edits.get(id)
    if edit is not None:
        only_own(person, edit.who, "edit")
        _allow(person, edit.kind)
    return serializers.edit(container.proposals.undo(id, person.name))


def _allow(person: Person, kind: EditKind) -> None:
    """Operators add normal images; to remove some, or to set the rate, is for admins."""
    if person.role != "admin" and kind != "add":
        raise HTTPException(403, f"{person.name} is an operator; an admin is needed to remove images or set the rate")
