"""The OpenAPI document as a page, which needs no network and no script."""

from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, PackageLoader

from anomalign.service.security.people import Operator

router = APIRouter(include_in_schema=False)

_HOME = "anomalign.service.api"


@router.get("/openapi.json")
def openapi(request: Request, person: Operator) -> JSONResponse:
    """Return the OpenAPI document."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
def docs(request: Request, person: Operator) -> HTMLResponse:
    """Show all routes, their parameters and their responses."""
    document = request.app.openapi()
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            entry = {"method": method.upper(), "path": path, **_describe(operation)}
            groups.setdefault(operation["tags"][0], []).append(entry)
    shapes = document["components"]["schemas"]
    return HTMLResponse(_template().render(title=document["info"]["title"], groups=groups, shapes=shapes, kind=kind))


@router.get("/docs.css")
def style() -> Response:
    """Return the page's style sheet."""
    return Response(files(_HOME).joinpath("docs.css").read_bytes(), media_type="text/css")


def kind(schema: dict[str, Any]) -> str:
    """Describe a schema in a few words: `integer`, `Inspection`, `list of number`, `string or null`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(kind(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(repr, schema["enum"]))
    if "const" in schema:
        return repr(schema["const"])
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    if schema.get("format") == "binary":
        return "file"
    return str(schema.get("type", "anything"))


def _describe(operation: dict[str, Any]) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {})
    answers = {
        status: [kind(content.get("schema", {})) for content in response.get("content", {}).values()]
        for status, response in operation["responses"].items()
        if status.startswith(("2", "3"))
    }
    return {
        "text": operation.get("description", ""),
        "parameters": operation.get("parameters", []),
        "body": [(media_type, content["schema"]) for media_type, content in body.items()],
        "answers": answers,
    }


@cache
def _template() -> Any:
    return Environment(loader=PackageLoader(_HOME, "."), autoescape=True).get_template("docs.html.j2")
