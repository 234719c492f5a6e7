"""Edits of banks: propose, confirm and undo them."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from pydantic import BaseModel, ConfigDict, Field

from anomalign.bank.groups import MAX_LENGTH
from anomalign.service.api import schemas, serializers
from anomalign.service.api.dependencies import ERRORS, MAX_ID, Id, ServedBankDep
from anomalign.service.api.inspections import check_owner
from anomalign.service.container import ContainerDep
from anomalign.service.security.people import Operator, Person
from anomalign.service.store import EditKind

router = APIRouter(tags=["edits"], responses=ERRORS)

ProposalId = Annotated[str, Path(max_length=64)]
ImageId = Annotated[int, Field(ge=1, le=MAX_ID)]


class ProposalBody(BaseModel):
    """One edit: an inspected image to add, normal images to remove, or a new target false-positive rate."""

    model_config = ConfigDict(extra="forbid")

    add: ImageId | None = Field(None, description="id of the inspection whose image is added")
    group: str = Field("", max_length=MAX_LENGTH, description="group of the added image; empty: none")
    remove: list[ImageId] | None = Field(None, min_length=1, max_length=10_000)
    target_fpr: float | None = Field(None, gt=0, lt=1, allow_inf_nan=False)
    replayed: int = Field(100, ge=1, le=1000, description="number of latest inspections to test the edit on")

    def kind(self) -> EditKind:
        """Return the kind of this edit; 422 unless it is exactly one, and a group is given only for an addition."""
        if self.group and self.add is None:
            raise HTTPException(422, "a group is given to an image that is added; give add, too")
        names = [name for name in ("add", "remove", "target_fpr") if getattr(self, name) is not None]
        match names:
            case ["add"]:
                return "add"
            case ["remove"]:
                return "remove"
            case ["target_fpr"]:
                return "rate"
            case _:
                raise HTTPException(422, "give exactly one of add, remove and target_fpr")


class Confirmation(BaseModel):
    """A note on an edit, for readers of the history."""

    model_config = ConfigDict(extra="forbid")

    note: str = Field("", max_length=2000)


@router.post("/api/banks/{bank}/proposals", status_code=201)
def propose(
    container: ContainerDep, person: Operator, served_bank: ServedBankDep, body: ProposalBody
) -> schemas.Proposal:
    """Test an edit on a copy of the bank: which of the latest verdicts would change? The bank itself stays the same."""
    kind = body.kind()
    _check_role(person, kind)
    proposal = container.proposals.propose(
        served_bank,
        add=body.add,
        group=body.group,
        remove=body.remove or (),
        target_fpr=body.target_fpr,
        replayed=body.replayed,
    )
    return serializers.proposal(proposal)


@router.post("/api/proposals/{id}/confirm", status_code=201)
def confirm(
    container: ContainerDep, person: Operator, id: ProposalId, confirmation: Confirmation | None = None
) -> schemas.Edit:
    """Make the proposed edit; refused if the bank has changed since the test."""
    _check_role(person, container.proposals.get(id).kind)
    return serializers.edit(container.proposals.confirm(id, person.name, confirmation.note if confirmation else ""))


@router.delete("/api/proposals/{id}", status_code=204)
def drop(container: ContainerDep, person: Operator, id: ProposalId) -> None:
    """Delete a proposal; also succeeds if there is none with this id."""
    container.proposals.drop(id)


@router.post("/api/edits/{id}/undo")
def undo(container: ContainerDep, person: Operator, id: Id) -> schemas.Edit:
    """Undo an edit. Operators may undo only the additions that they made themselves."""
    edit = container.store.edits.get(id)
    if edit is not None:
        check_owner(person, edit.who, "edit")
        _check_role(person, edit.kind)
    return serializers.edit(container.proposals.undo(id, person.name))


def _check_role(person: Person, kind: EditKind) -> None:
    """Refuse with 403 unless an admin asks, or an operator adds a normal image."""
    if person.role != "admin" and kind != "add":
        raise HTTPException(403, f"{person.name} is an operator; an admin is needed to remove images or set the rate")
