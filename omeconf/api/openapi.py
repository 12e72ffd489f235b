"""/omeconf/v1/openapi.json: both APIs described; schemas from the XSD, routes from ROUTES."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from omeconf import __version__
from omeconf.api.writing import service_of
from omeconf.core.mapping import BARE
from omeconf.core.schema import Item, Schema, ValueType

Doc = dict[str, Any]

TEXT: Doc = {"type": "string"}
NUMBER: Doc = {"type": "integer", "minimum": 0}
ANY: Doc = {"type": "object", "additionalProperties": True}


def _parameter(name: str, where: str, description: str, **schema: Any) -> Doc:
    shown = schema or TEXT
    return {"name": name, "in": where, "description": description, "schema": shown}


_SWITCH: Doc = {"type": "string", "enum": ["true", "false"]}
DRY = _parameter("dryRun", "query", "Change nothing, and answer as if it had.", **_SWITCH)
ATOMIC = _parameter("atomic", "query", "Create all items of the batch, or none.", **_SWITCH)
CONFIRM = _parameter(
    "confirm",
    "query",
    "Take it back unless it is confirmed within so many seconds.",
    type="number",
    exclusiveMinimum=0,
    maximum=2592000,
)
SKIP = _parameter("reload", "query", "Do not reload now.", type="string", enum=["skip"])
MESSAGE = _parameter("Omeconf-Message", "header", "Kept with the revision.")
IF_MATCH = _parameter("If-Match", "header", "412 unless it is the ETag of what is changed.")
IF_NONE_MATCH = _parameter("If-None-Match", "header", "304 if it is the ETag of the answer.")
FILE = _parameter("file", "query", "An included file; Server.xml unless told.")

WRITES = [MESSAGE, CONFIRM, SKIP, DRY]
EDITS = [*WRITES, IF_MATCH]
ERRORS_READ = (400, 401, 403, 404, 408, 413, 503)
ERRORS_WRITE = (*ERRORS_READ, 409, 412, 422, 502)
REASONS = {
    200: "Done",
    202: "Taken up",
    207: "The items have different outcomes, each with its own status",
    304: "The caller has it already",
    400: "What the engine would refuse too, or no valid request",
    401: "No valid token",
    403: "Not allowed for this token, this origin, or here",
    404: "No such thing",
    405: "No such method here; Allow says which there are",
    408: "The body did not come in time",
    409: "The state of things forbids it: it exists, is broken by hand, or waits for something",
    412: "It is not what the caller has seen any more",
    413: "Too large",
    422: "It would have a mistake that the engine takes silently",
    424: "Not done, since another item was refused",
    428: "A condition is needed",
    501: "For the engine itself, and omeconf is not connected to one",
    502: "The reload failed, and the change was taken back",
    503: "Not now: nothing good is known yet, the disk refuses, or too many wait",
}


async def document(request: Request) -> Response:
    """Both APIs as an OpenAPI 3.1 document."""
    return JSONResponse(describe(service_of(request).repository.schema))


def describe(schema: Schema) -> Doc:
    """The whole document."""
    from omeconf.api.app import OPEN, ROUTES, RUNTIME  # they name `document`

    paths: dict[str, Doc] = {}
    for path, methods in {**ROUTES, **RUNTIME}.items():
        shown = re.sub(r":(name|int|path)}", "}", path)
        for method, handler in methods.items():
            known = OPERATIONS.get((path, method), {})
            if path in RUNTIME:
                known = {"statuses": (404,) if method == "GET" else (501, 404)}
            operation = _operation(path, method, handler.__doc__ or "", known)
            if path in OPEN:
                operation["security"] = []
            paths.setdefault(shown, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "omeconf",
            "version": __version__,
            "description": "/v1 is OvenMediaEngine's own configuration API, whose edits are "
            "written into Server.xml; /omeconf/v1 is what that API never had.",
        },
        "security": [{"basic": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "basic": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "Basic base64(AccessToken): the whole token is encoded, "
                    "without a user name. /omeconf/v1 takes Bearer too.",
                }
            },
            "schemas": _schemas(schema),
        },
    }


def _ref(name: str) -> Doc:
    return {"$ref": f"#/components/schemas/{name}"}


def _envelope(response: Doc | None) -> Doc:
    shown: Doc = {"statusCode": {"type": "integer"}, "message": TEXT}
    if response is not None:
        shown["response"] = response
    return {"type": "object", "required": ["statusCode", "message"], "properties": shown}


def _array(items: Doc) -> Doc:
    return {"type": "array", "items": items}


def _of(kind: str) -> dict[str, Doc]:
    """The operations on a kind of thing, by method."""
    return {
        "GET": {"answer": _envelope(_ref(kind)), "parameters": [IF_NONE_MATCH]},
        "DELETE": {"answer": _envelope(None), "parameters": EDITS, "writes": True},
    }


def _all_of(kind: str) -> dict[str, Doc]:
    return {
        "GET": {"answer": _envelope(_array(TEXT)), "parameters": [IF_NONE_MATCH]},
        "POST": {
            "body": _array(_ref(kind)),
            "answer": _array(_envelope(_ref(kind))),
            "parameters": [*EDITS, ATOMIC],
            "writes": True,
            "statuses": (207, 424),
        },
    }


_V = "/v1/vhosts/{vhost:name}"
_A = f"{_V}/apps/{{app:name}}"
_P = f"{_A}/outputProfiles/{{profile:name}}"
_O = "/omeconf/v1"
_CHANGE = {"answer": _envelope(_ref("Application")), "body": _ref("ApplicationPatch"),
           "parameters": EDITS, "writes": True}  # fmt: skip
_REPLACE = {"answer": _envelope(_ref("OutputProfile")), "body": _ref("OutputProfileBody"),
            "parameters": EDITS, "writes": True}  # fmt: skip
OPERATIONS: Mapping[tuple[str, str], Doc] = {
    **{("/v1/vhosts", m): d for m, d in _all_of("VirtualHost").items()},
    **{(_V, m): d for m, d in _of("VirtualHost").items()},
    **{(f"{_V}/apps", m): d for m, d in _all_of("Application").items()},
    **{(_A, m): d for m, d in _of("Application").items()},
    **{(f"{_A}/outputProfiles", m): d for m, d in _all_of("OutputProfile").items()},
    **{(_P, m): d for m, d in _of("OutputProfile").items()},
    (_A, "PATCH"): _CHANGE,
    (_A, "PUT"): _CHANGE,
    (_P, "PATCH"): _REPLACE,
    (_P, "PUT"): _REPLACE,
    (f"{_O}/config", "GET"): {"parameters": [IF_NONE_MATCH]},
    (f"{_O}/check", "POST"): {"body": TEXT, "body_type": "application/xml"},
    (f"{_O}/document", "GET"): {
        "parameters": [FILE, IF_NONE_MATCH],
        "answer": TEXT,
        "answer_type": "application/xml",
    },
    (f"{_O}/document", "PUT"): {
        "parameters": [FILE, MESSAGE, CONFIRM, DRY, IF_MATCH],
        "body": TEXT,
        "body_type": "application/xml",
        "writes": True,
        "statuses": (428,),
    },
    (f"{_O}/transactions", "POST"): {
        "parameters": EDITS,
        "body": _ref("Transaction"),
        "body_types": {
            "application/merge-patch+json": ANY,
            "application/json-patch+json": _array(ANY),
        },
        "writes": True,
        "statuses": (428,),
    },
    (f"{_O}/revisions", "GET"): {
        "parameters": [
            {"name": "limit", "in": "query", "schema": {**NUMBER, "maximum": 1000}},
            {"name": "below", "in": "query", "schema": {**NUMBER, "maximum": 2**53}},
        ],
    },
    (f"{_O}/revisions/{{number:int}}/diff", "GET"): {
        "parameters": [{"name": "against", "in": "query", "schema": {**NUMBER, "maximum": 2**53}}],
    },
    (f"{_O}/rollback", "POST"): {
        "parameters": [MESSAGE, CONFIRM, DRY],
        "body": {
            "type": "object",
            "required": ["revision"],
            "properties": {"revision": {**NUMBER, "maximum": 2**53}},
        },
        "answer": _ref("Revision"),
        "writes": True,
    },
    (f"{_O}/confirm", "POST"): {"writes": True},
    (f"{_O}/hold", "POST"): {
        "body": {"type": "object", "properties": {"reason": TEXT}},
        "optional": True,
        "writes": True,
    },
    (f"{_O}/resume", "POST"): {"writes": True},
    (f"{_O}/reloads/{{id:name}}:retry", "POST"): {"writes": True, "statuses": (202,)},
    (f"{_O}/events", "GET"): {
        "parameters": [
            {"name": "after", "in": "query", "schema": {**NUMBER, "maximum": 2**60}},
            {"name": "Last-Event-ID", "in": "header", "schema": TEXT},
        ],
        "answer": TEXT,
        "answer_type": "text/event-stream",
    },
    (f"{_O}/schema", "GET"): {"answer": TEXT, "answer_type": "application/xml"},
    (f"{_O}/metrics", "GET"): {"answer": TEXT, "answer_type": "text/plain"},
}
"""What the routes take and answer; one that is not here answers with some object."""


def _operation(path: str, method: str, text: str, known: Doc) -> Doc:
    is_own = path.startswith(_O)
    parameters = [_path_parameter(each) for each in re.findall(r"{(\w+):(\w+)}", path)]
    parameters += known.get("parameters", [])
    statuses: Sequence[int] = known.get("statuses", ())
    good = () if any(status in (202, 404) for status in statuses) else (200,)
    if path.startswith("/v1") and 501 in statuses:
        good = ()
    if any(each is IF_NONE_MATCH for each in parameters):
        good = (*good, 304)
    errors = ERRORS_WRITE if known.get("writes") else ERRORS_READ
    answers: dict[str, Doc] = {}
    for status in sorted({*good, *statuses, *errors}):
        answer: Doc = {"description": REASONS[status]}
        if status in (200, 202, 207):
            kind = known.get("answer_type", "application/json")
            answer["content"] = {kind: {"schema": known.get("answer", ANY)}}
        elif status >= 400:
            kind = "application/problem+json" if is_own else "application/json"
            name = "Problem" if is_own else "Failure"
            answer["content"] = {kind: {"schema": _ref(name)}}
        answers[str(status)] = answer
    operation: Doc = {
        "operationId": _name(path, method),
        "summary": text.partition("\n")[0].rstrip("."),
        "tags": ["omeconf" if is_own else "engine"],
        "responses": answers,
    }
    if parameters:
        operation["parameters"] = parameters
    if "body" in known:
        content = {known.get("body_type", "application/json"): {"schema": known["body"]}}
        for kind, body in known.get("body_types", {}).items():
            content[kind] = {"schema": body}
        operation["requestBody"] = {"required": not known.get("optional"), "content": content}
    return operation


def _path_parameter(found: tuple[str, str]) -> Doc:
    name, kind = found
    schema = {**NUMBER, "maximum": 2**53} if kind == "int" else {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _name(path: str, method: str) -> str:
    words = re.sub(r":(name|int|path)}", "", path).replace("{", "by ")
    parts = re.findall(r"[A-Za-z0-9]+", words.replace("omeconf", ""))
    return method.lower() + "".join(part[0].upper() + part[1:] for part in parts if part != "v1")


# -- schemas ---------------------------------------------------------------------------------------


def _schemas(schema: Schema) -> dict[str, Doc]:
    application = _object(schema.application)
    profile = _object(schema.output_profile)
    body = {
        **profile,
        "properties": {k: v for k, v in profile["properties"].items() if k != "name"},
    }
    body["required"] = [name for name in profile.get("required", []) if name != "name"]
    forbidden = ("name", "dynamic", "outputProfiles")
    patch = {k: v for k, v in application["properties"].items() if k not in forbidden}
    shown = dict(application["properties"])
    shown["dynamic"] = {"type": "boolean", "readOnly": True}
    return {
        "VirtualHost": _object(schema.virtual_host),
        "Application": {**application, "properties": shown},
        "ApplicationPatch": {"type": "object", "properties": patch,
                             "description": "Merged into what is there; null removes."},
        "OutputProfile": profile,
        "OutputProfileBody": body,
        "Transaction": {
            "type": "object",
            "required": ["edits"],
            "properties": {
                "edits": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["verb", "path"],
                        "additionalProperties": False,
                        "properties": {
                            "verb": {"enum": ["create", "merge", "replace", "patch", "delete"]},
                            "path": {"type": "string", "pattern": "^/Server",
                                     "examples": ["/Server/Bind/Providers/RTMP"]},
                            "value": {},
                        },
                    },
                }
            },
        },
        "Revision": {
            "type": "object",
            "required": ["number", "parent", "author", "time", "message", "origin", "digest"],
            "properties": {"number": NUMBER, "parent": NUMBER, "message": TEXT},
        },
        "Failure": {
            "description": "One envelope; of a batch whose items all failed, an array of them.",
            "anyOf": [_envelope(None), _array(_envelope(None))],
        },
        "Problem": {
            "type": "object",
            "required": ["status", "title"],
            "properties": {"status": {"type": "integer"}, "title": TEXT,
                           "violations": _array(_ref("Violation"))},
        },
        "Violation": {
            "type": "object",
            "properties": {
                "severity": {"enum": ["error", "warning", "advice"]},
                **dict.fromkeys(("code", "file", "path", "message", "hint"), TEXT),
                "line": NUMBER,
                "column": NUMBER,
            },
        },
    }  # fmt: skip


def _object(item: Item) -> Doc:
    properties = {child.json: _member(child) for child in item.children.values()}
    shown: Doc = {"type": "object", "properties": properties, "additionalProperties": False}
    if item.documentation:
        shown["description"] = item.documentation
    required = [child.json for child in item.children.values() if child.is_enforced]
    if required:
        shown["required"] = required
    return shown


def _member(item: Item) -> Doc:
    if item.is_list:
        return _array(_one(item))
    flat = item.flat_child
    if flat is not None:
        return {**_array(_one(flat)), "description": item.documentation}
    if item.name in BARE:
        whole = _one(item)
        return {"anyOf": [whole, _array(_one(item.children[BARE[item.name]]))]}
    return _one(item)


def _one(item: Item) -> Doc:
    if item.type is None:
        return {"anyOf": [_object(item), {"type": "null"}]}
    shown = _scalar(item.type)
    shown["description"] = item.documentation or item.type.documentation
    if item.is_secret:
        shown["writeOnly"] = False
    return shown


def _scalar(value_type: ValueType) -> Doc:
    """A scalar: typed, or a string that the engine reads so."""
    kinds = {"int": "integer", "long": "integer", "float": "number", "bool": "boolean",
             "presence": "boolean"}  # fmt: skip
    kind = kinds.get(value_type.reads)
    if kind is not None:
        return {"type": [kind, "string"]}
    if value_type.words and value_type.otherwise == "refused":
        return {"type": "string", "examples": list(value_type.words)}
    return {"type": ["string", "number"]}
