"""Signing in and out with a browser: the person enters a token once, then a cookie stands for it."""

from typing import Annotated, Any

from fastapi import APIRouter, Cookie, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from anomalign.service.api.dependencies import ERRORS
from anomalign.service.container import ContainerDep
from anomalign.service.security.people import address
from anomalign.service.security.sessions import COOKIE, LIFETIME_S

router = APIRouter(tags=["signing in"], responses=ERRORS)

_REDIRECT: dict[int | str, dict[str, Any]] = {303: {"description": "redirect to a page"}}


@router.post("/login", status_code=303, response_class=Response, responses=_REDIRECT)
def login(
    request: Request, container: ContainerDep, token: Annotated[str, Form(min_length=1, max_length=200)]
) -> Response:
    """Sign in with a token; sets the session cookie."""
    if container.people.tokens is None:
        raise HTTPException(404, "this service has no tokens: everybody on this machine is signed in")
    entry = container.people.check(token.strip(), address(request))
    container.store.log(entry.name, "login", details={"address": address(request)})
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        COOKIE,
        container.people.sessions.open(entry.name, entry.digest),
        max_age=LIFETIME_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/logout", status_code=303, response_class=Response, responses=_REDIRECT)
def logout(
    container: ContainerDep, session: Annotated[str, Cookie(alias=COOKIE, include_in_schema=False)] = ""
) -> Response:
    """End the session."""
    container.people.sessions.close(session)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE)
    return answer
