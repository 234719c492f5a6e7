"""The OpenAPI document as a page, where requests can be tried. It needs no other host, and no script for reading."""

import json
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

    def example(schema: dict[str, Any]) -> str:
        return json.dumps(_example(schema, shapes))

    content = {"title": document["info"]["title"], "groups": groups, "shapes": shapes, "who": person.name}
    return HTMLResponse(_template().render(content, kind=kind, example=example))


@router.get("/docs.css")
def style() -> Response:
    """Return the page's style sheet."""
    return Response(files(_HOME).joinpath("docs.css").read_bytes(), media_type="text/css")


@router.get("/docs.js")
def script() -> Response:
    """Return the page's script."""
    return Response(files(_HOME).joinpath("docs.js").read_bytes(), media_type="text/javascript")


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


def _example(schema: dict[str, Any], shapes: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a body must have, with the first value that is allowed where there is a list of them."""
    shape = shapes.get(kind(schema), schema)
    fields = shape.get("properties", {})
    return {name: fields[name].get("enum", [""])[0] for name in shape.get("required", [])}


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
        "can_try": _can_try(operation),
    }


def _can_try(operation: dict[str, Any]) -> bool:
    """Whether a form can send it. A stream never ends, and a page signs in and out by itself."""
    media_types = [t for response in operation["responses"].values() for t in response.get("content", {})]
    return "text/event-stream" not in media_types and any(status.startswith("2") for status in operation["responses"])


@cache
def _template() -> Any:
    return Environment(loader=PackageLoader(_HOME, "."), autoescape=True).get_template("docs.html.j2")
