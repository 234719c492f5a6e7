"""From a request to the person who made it."""

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
    """Somebody, or some machine, who is signed in."""

    name: str
    role: Role


LOCAL = Person("local", "admin")
"""Everybody, where there are no tokens: the service is then reached from this machine alone."""


class SignInNeeded(Exception):  # noqa: N818 -- not an error: browsers are sent to the page where one signs in
    """The request came from nobody who is known; `text` says what to do."""

    def __init__(self, text: str = "sign in, or send a token as `Authorization: Bearer TOKEN`") -> None:
        super().__init__(text)
        self.text = text


class People:
    """Knows people by their tokens and sessions; without a token file everybody is `LOCAL`."""

    def __init__(self, tokens: TokenFile | None) -> None:
        self.tokens = tokens
        self.sessions = Sessions()
        self.attempts = Attempts()

    def of(self, request: HTTPConnection) -> Person:
        """Who made a request.

        Raises
        ------
        SignInNeeded
            Nobody who is known.
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
        """The token's line in the file; raises as `of`.

        A right token is never refused for wrong ones: others may come from the same address, as all behind a proxy do.
        Nothing is lost by it, since nobody guesses 256 random bits.
        """
        entry = find(self._entries(), token)
        if entry is not None:
            return entry
        wait = self.attempts.wait_s(address)
        if wait:
            raise HTTPException(
                429, f"too many wrong tokens from your address; wait {wait} s", {"Retry-After": str(wait)}
            )
        self.attempts.failed(address)
        raise SignInNeeded("this token is not known; ask for a new one")

    def _entries(self) -> list[Entry]:
        try:
            return [] if self.tokens is None else self.tokens.entries()
        except InputError as error:
            _log.error("%s; nobody can sign in", error)
            raise HTTPException(503, "nobody can sign in just now; the service's log tells more") from None


def address(request: HTTPConnection) -> str:
    """Where a request came from."""
    return request.client.host if request.client else "unknown"


async def signed_in(request: Request) -> Person:
    """Who made the request; whoever is not known is asked to sign in."""
    people: People = request.app.state.container.people
    person = people.of(request)
    request.state.who = person.name  # for the log
    return person


async def admin(person: Annotated[Person, Depends(signed_in)]) -> Person:
    """As `signed_in`; refuses all who are no admin."""
    if person.role != "admin":
        raise HTTPException(403, f"{person.name} is an operator; an admin is needed for this")
    return person


Operator = Annotated[Person, Depends(signed_in)]
"""Type of a handler's argument: anybody who is signed in."""

Admin = Annotated[Person, Depends(admin)]
"""Type of a handler's argument: an admin."""
