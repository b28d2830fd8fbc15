"""The declarations, described for programs: OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from importlib import metadata
from typing import Any

import msgspec

from server.catalog import QueueNotFound
from server.engine.errors import BackendUnavailable
from server.web.api.answers import Refusal
from server.web.api.endpoint import Endpoint
from server.web.api.errors import BodyTooLarge, CrossSite, InvalidFields, NotJson
from server.web.api.status import ROWS

Schema = dict[str, Any]

_ABOUT = """See and steer queues, as AdminService does over gRPC: the same code behind the paths that the BullMQ guide \
has. Moments are milliseconds since 1970. Every refusal has the same shape; programs decide by `error.reason`."""
_RETRY_AFTER = {
    "Retry-After": {"description": "In how many seconds to ask again.", "schema": {"type": "integer", "minimum": 1}}
}


def description(endpoints: Sequence[Endpoint]) -> Schema:
    return _Document(endpoints).whole()


class _Document:
    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = endpoints
        kinds = [kind for each in endpoints for kind in (each.at, each.asked, each.answer)]
        references, self._schemas = msgspec.json.schema_components(
            [*kinds, Refusal], ref_template="#/components/schemas/{name}"
        )
        self._names = {
            kind: reference["$ref"].rpartition("/")[2]
            for kind, reference in zip([*kinds, Refusal], references, strict=True)
        }
        for envelope in (Refusal, *(each.answer for each in endpoints)):
            schema = self._schemas[self._names[envelope]]
            # Also `success`, which only those who make one may leave out.
            schema["required"] = list(schema["properties"])
        for answer in {each.answer for each in endpoints}:
            # It names a class of ours; the envelope stands where it is answered, and needs no name.
            del self._schemas[self._names[answer]]["title"]

    def whole(self) -> Schema:
        paths: dict[str, Schema] = {}
        for endpoint in self._endpoints:
            paths.setdefault(endpoint.full_path, {})[endpoint.method.lower()] = self._operation(endpoint)
        return {
            "openapi": "3.1.0",
            "info": {"title": "cabrank", "version": metadata.version("cabrank"), "description": _ABOUT},
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {"schemas": {name: self._schemas[name] for name in self._named_elsewhere()}},
        }

    def _operation(self, endpoint: Endpoint) -> Schema:
        operation: Schema = {
            "operationId": endpoint.name,
            "summary": endpoint.summary,
            "description": endpoint.description or endpoint.summary,
            "parameters": [*self._parameters(endpoint.at, "path")],
            "responses": self._responses(endpoint),
        }
        if endpoint.has_body:
            operation["requestBody"] = {"required": False, "content": _json(self._reference(endpoint.asked))}
        else:
            operation["parameters"] += self._parameters(endpoint.asked, "query")
        return operation

    def _parameters(self, kind: type[msgspec.Struct], place: str) -> Iterator[Schema]:
        schema = self._schemas[self._names[kind]]
        for name, field in schema["properties"].items():
            rest = {key: value for key, value in field.items() if key != "description"}
            yield {
                "name": name,
                "in": place,
                "description": field["description"],
                "required": name in schema.get("required", ()),
                "schema": rest,
            }

    def _responses(self, endpoint: Endpoint) -> Schema:
        done = self._schemas[self._names[endpoint.answer]]
        return {
            "200": {"description": done["description"], "content": _json(done)},
            **{str(code): self._refusal(code, reasons) for code, reasons in sorted(_reasons(endpoint).items())},
        }

    def _refusal(self, code: int, reasons: Sequence[str]) -> Schema:
        response = {
            "description": f"{HTTPStatus(code).phrase}: {', '.join(reasons)}.",
            "content": _json(self._reference(Refusal)),
        }
        return response | ({"headers": _RETRY_AFTER} if code == HTTPStatus.SERVICE_UNAVAILABLE else {})

    def _reference(self, kind: type[msgspec.Struct]) -> Schema:
        return {"$ref": f"#/components/schemas/{self._names[kind]}"}

    def _named_elsewhere(self) -> list[str]:
        """Envelopes and parameters stand where they are used; only what is referred to needs a name."""
        bodies = {each.asked for each in self._endpoints if each.has_body}
        kinds = {kind for each in self._endpoints for kind in (each.at, each.asked, each.answer)}
        placed = {self._names[kind] for kind in kinds - bodies}
        return [name for name in self._schemas if name not in placed]


def _reasons(endpoint: Endpoint) -> dict[int, list[str]]:
    """Those that it may refuse with, by status."""
    refused: list[type[Exception]] = [InvalidFields, BackendUnavailable, *endpoint.refuses]
    if endpoint.at.__struct_fields__:
        refused.append(QueueNotFound)
    if endpoint.writes:
        refused.append(CrossSite)
    if endpoint.has_body:
        refused += [BodyTooLarge, NotJson]
    found = {500: ["INTERNAL"]}
    for row in (ROWS[error] for error in refused):
        found.setdefault(row.status, []).append(row.reason)
    return found


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}
