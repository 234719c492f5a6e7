"""The web application: its routers, its middleware and its shutdown."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI

from anomalign import __version__
from anomalign.service import errors
from anomalign.service.api import (
    auth,
    banks,
    cameras,
    checks,
    documentation,
    edits,
    evidence,
    inspections,
    normal_pictures,
    operations,
    uploads,
)
from anomalign.service.bootstrap import close_container
from anomalign.service.container import Container
from anomalign.service.pages.router import router as pages
from anomalign.service.security.gate import Gate

_TEXT = "Inspect images, see the evidence of a verdict, correct it, and edit the bank."


def create_app(container: Container) -> FastAPI:
    """Make the application of a service; it closes the service when it ends.

    Parameters
    ----------
    container : Container
        From `bootstrap.open_container`.
    """
    app = FastAPI(
        title="anomalign",
        version=__version__,
        description=_TEXT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.container = container
    errors.install(app)
    routed = (
        uploads,
        inspections,
        evidence,
        banks,
        normal_pictures,
        checks,
        cameras,
        edits,
        operations,
        auth,
        documentation,
    )
    for module in routed:
        app.include_router(module.router)
    app.include_router(pages)
    app.add_middleware(
        Gate,
        names=frozenset(name.lower() for name in container.configuration.host_names),
        only_loopback=container.configuration.only_loopback,
        max_upload_bytes=container.configuration.max_upload_bytes,
        observe=container.metrics.observe,
    )
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await anyio.to_thread.run_sync(close_container, app.state.container)
