"""Finds the person who made a request."""

import logging
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from starlette.requests import HTTPConnection

from anomalign.errors import InputError
from anomalign.service.security.attempts import Attempts
from anomalign.service.security.sessions import COOKIE, Sessions
from anomalign.service.security.tokens import Entry, Role, TokenFile, find

_log = logging.getLogger("anomalign.service")


@dataclass(frozen=True)
class Person:
    """A person, or a machine, that is signed in."""

    name: str
    role: Role


LOCAL = Person("local", "admin")
"""Everybody, if there are no tokens. Only this machine can reach such a service."""


class SignInNeeded(Exception):  # noqa: N818 -- not an error: a browser is sent to the sign-in page
    """Nobody is signed in for this request; `text` says what to do."""

    def __init__(self, text: str = "sign in, or send a token as `Authorization: Bearer TOKEN`") -> None:
        super().__init__(text)
        self.text = text


class People:
    """Finds people by their tokens and sessions. Without a token file everybody is `LOCAL`."""

    def __init__(self, tokens: TokenFile | None) -> None:
        self.tokens = tokens
        self.sessions = Sessions()
        self.attempts = Attempts()

    def of(self, request: HTTPConnection) -> Person:
        """Return the person who made a request.

        Raises
        ------
        SignInNeeded
            Nobody is signed in.
        HTTPException
            429: too many wrong tokens from this address. 503: the token file cannot be read any more.
        """
        if self.tokens is None:
            return LOCAL
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            entry = self.check(token.strip(), address(request))
            return Person(entry.name, entry.role)
        session = self.sessions.find(request.cookies.get(COOKIE, ""))
        for entry in self._entries():
            if session == (entry.name, entry.digest):
                return Person(entry.name, entry.role)
        raise SignInNeeded

    def check(self, token: str, address: str) -> Entry:
        """Return the entry of a token; raises as `of`.

        A correct token is accepted even after many wrong ones: people behind a proxy share an address. This is safe,
        because nobody can guess 256 random bits.
        """
        entry = find(self._entries(), token)
        if entry is not None:
            return entry
        wait = self.attempts.wait_s(address)
        if wait:
            raise HTTPException(
                429, f"too many wrong tokens from your address; wait {wait} s", {"Retry-After": str(wait)}
            )
        self.attempts.count_failure(address)
        raise SignInNeeded("this token is not valid; ask an admin for a new one")

    def _entries(self) -> list[Entry]:
        try:
            return [] if self.tokens is None else self.tokens.entries()
        except InputError as error:
            _log.error("%s; nobody can sign in", error)
            raise HTTPException(503, "nobody can sign in just now; see the service's log") from None


def address(request: HTTPConnection) -> str:
    """Return the address that a request came from."""
    return request.client.host if request.client else "unknown"


async def current_person(request: Request) -> Person:
    """Return the person who made the request; raises `SignInNeeded` if nobody is signed in."""
    people: People = request.app.state.container.people
    person = people.of(request)
    request.state.who = person.name  # for the log
    return person


async def current_admin(person: Annotated[Person, Depends(current_person)]) -> Person:
    """Return the person as `current_person` does; refuse with 403 unless it is an admin."""
    if person.role != "admin":
        raise HTTPException(403, f"{person.name} is an operator; an admin is needed for this")
    return person


Operator = Annotated[Person, Depends(current_person)]
"""Type of a handler's argument: a person who is signed in."""

Admin = Annotated[Person, Depends(current_admin)]
"""Type of a handler's argument: an admin."""
