"""http.md: the paths for operators, as their OpenAPI description has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from docs.reference import markdown
from server.web.api.endpoints import ENDPOINTS
from server.web.api.openapi import description

_HEAD = """
# HTTP

<!-- Made from server/web/api/ by `make reference`: what is wrong here is wrong there. -->

At `HTTP_ADDRESS`. What is answered has `success`, `message` and `data`; what is refused has the shape
[Refusal](#refusal). Moments are milliseconds since 1970. For programs the same is served as OpenAPI, at
`/api/openapi.json`.
"""

Schema = Mapping[str, Any]


def page() -> str:
    """The same endpoints give the same text."""
    return markdown.page(_HEAD, *_Parts(description(ENDPOINTS)).all())


class _Parts:
    """Of the page: each method of a path, then the shapes that they name."""

    def __init__(self, described: Schema) -> None:
        self._operations: dict[str, Schema] = {
            f"{method.upper()} {path}": about
            for path, methods in described["paths"].items()
            for method, about in methods.items()
        }
        schemas = described["components"]["schemas"]
        self._shapes = {name: schemas[name] for name in sorted(schemas) if _tells(schemas[name])}

    def all(self) -> Iterator[str]:
        contents = [(markdown.link(f"`{name}`", name), about["summary"]) for name, about in self._operations.items()]
        yield markdown.table(("path", "what it does"), contents)
        for name, about in self._operations.items():
            yield from self._operation(name, about)
        yield "## Shapes"
        for name, schema in self._shapes.items():
            yield from self._shape(name, schema)

    def _operation(self, name: str, about: Schema) -> Iterator[str]:
        yield f"## {name}"
        yield about["summary"]
        if about["description"] != about["summary"]:
            yield about["description"]
        yield markdown.bullets([*self._body(about), f"Answers: {self._answer(about)}", f"Refused: {_refused(about)}"])
        if about["parameters"]:
            yield markdown.table(("parameter", "in", "type", "what"), map(self._parameter, about["parameters"]))

    def _body(self, about: Schema) -> Iterator[str]:
        body = _content(about["requestBody"])["$ref"].rpartition("/")[2] if "requestBody" in about else ""
        if body in self._shapes:
            yield f"Body, which may be left out: {markdown.link(body, body)}"

    def _answer(self, about: Schema) -> str:
        fields = _content(about["responses"]["200"])["properties"]
        beside = [f"`{name}`" for name in fields if name not in ("success", "message", "data")]
        return self._type(fields["data"]) + (f"; beside `data` also {', '.join(beside)}" if beside else "")

    def _parameter(self, about: Schema) -> tuple[str, ...]:
        required = " Required." if about["required"] and about["in"] == "query" else ""
        return f"`{about['name']}`", about["in"], self._type(about["schema"]), _says(about, about["schema"]) + required

    def _shape(self, name: str, schema: Schema) -> Iterator[str]:
        yield f"### {name}"
        yield schema.get("description", "")
        if "enum" in schema:
            yield f"One of {self._type(schema)}."
            return
        fields = schema["properties"].items()
        rows = [(f"`{field}`", self._type(about), _says(about, about)) for field, about in fields]
        yield markdown.table(("field", "type", "what"), rows)

    def _type(self, schema: Schema) -> str:
        """In words, with links to the shapes that it names."""
        match schema:
            case {"$ref": reference}:
                name = reference.rpartition("/")[2]
                return markdown.link(name, name)
            case {"anyOf": either}:
                return " or ".join(map(self._type, either))
            case {"enum": values}:
                return ", ".join(f"`{value}`" for value in values)
            case {"items": item}:
                return f"list of {self._type(item)}"
            case {"additionalProperties": item}:
                return f"map of {self._type(item)}"
        return str(schema.get("format") or schema.get("type", "any JSON"))


def _tells(schema: Schema) -> bool:
    """Whether there is anything to tell of a shape: a body without fields has nothing."""
    return bool(schema.get("enum") or schema.get("properties"))


def _says(about: Schema, schema: Schema) -> str:
    """A default of zero, empty or false goes without saying."""
    default = schema.get("default")
    return f"{about['description']} Default: `{default}`." if default else str(about["description"])


def _refused(about: Schema) -> str:
    """By status: `404 QUEUE_NOT_FOUND; …`."""
    refusals = {code: each["description"] for code, each in about["responses"].items() if code != "200"}
    return "; ".join(f"{code} {told.partition(': ')[2].rstrip('.')}" for code, told in refusals.items())


def _content(about: Schema) -> Schema:
    found: Schema = about["content"]["application/json"]["schema"]
    return found
