"""/omeconf/v1/openapi.json: both APIs described, by ROUTES; their schemas are in schemas.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from omeconf import __version__
from omeconf.api.runtime import APP_ACTIONS, HOST_ACTIONS
from omeconf.api.schemas import (
    ANY,
    NUMBER,
    REVISION_NUMBER,
    TEXT,
    components,
    envelope,
    record,
    ref,
)
from omeconf.api.writing import service_of
from omeconf.core.json_schema import Doc, array
from omeconf.core.schema import Schema


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
IF_MATCH = {
    **_parameter("If-Match", "header", "412 unless it is the ETag of what is changed."),
    "example": "*",
}
IF_MATCH_OR_428 = {
    **IF_MATCH,
    "description": "412 unless it is the ETag of the file or element; 428 without it and base.",
}
IF_NONE_MATCH = _parameter("If-None-Match", "header", "304 if it is the ETag of the answer.")
FILE = {
    **_parameter("file", "query", "An included file; Server.xml unless told."),
    "example": "Server.xml",
}
PATH = {
    **_parameter(
        "path",
        "query",
        "One element, instead of a whole file.",
        type="string",
        pattern=r"""^/Server(/[A-Za-z0-9_]+(\[([0-9]+|Name="([^"\\]|\\.)*")\])?)*$""",
    ),
    "example": "/Server/Bind",
}
BASE = _parameter("base", "query", "412 unless that revision is the newest.", **REVISION_NUMBER)
STATE = {"type": "string", "pattern": "^(disk|head|running|healthy|[0-9]+)$"}
OF = _parameter("of", "query", "The newest revision, or what lies on disk; head unless told.",
                type="string", enum=["head", "disk"])  # fmt: skip
FORM = _parameter("form", "query", "The XSD, or every element as JSON; xsd unless told.",
                  type="string", enum=["xsd", "model"])  # fmt: skip
LIMIT = _parameter("limit", "query", "How many, 100 unless told, at most 1000.", **REVISION_NUMBER)
BELOW = _parameter("below", "query", "Only what is older than this one.", **REVISION_NUMBER)
AGAINST = _parameter("against", "query", "0 is nothing at all; its parent unless told.",
                     **REVISION_NUMBER)  # fmt: skip
EXAMPLES = {
    "vhost": "default",
    "app": "app",
    "profile": "source",
    "stream": "stream",
    "channel": "channel",
    "action": "sendEvent",
    "rest": "vhosts/default",
    "number": 1,
    "id": "1",
    "node": "edge-1",
}
"""What stands in a path, for instance; they exist in the configuration of `make run`."""
ACTIONS = {
    "/v1/vhosts/{vhost:name}:{action:name}": HOST_ACTIONS,
    "/v1/vhosts/{vhost:name}/apps/{app:name}:{action:name}": APP_ACTIONS,
}
"""What may stand for {action}; of a stream the engine knows."""

WRITES = [MESSAGE, CONFIRM, SKIP, DRY]
EDITS = [*WRITES, IF_MATCH, BASE]
HEADERS: dict[str, Doc] = {
    "ETag": {"description": "What the resource is; for If-Match and If-None-Match.",
             "schema": {"type": "string", "pattern": '^"[0-9]+-[0-9a-f]{16}"$'}},
    "Omeconf-Revision": {"description": "The newest revision then.",
                         "schema": {"type": "string", "pattern": "^[0-9]+$"}},
    "Omeconf-Reload": {"description": "What became of the reload until now.",
                       "schema": {"enum": ["ok", "none", "pending", "failed"]}},
    "Omeconf-Advice": {"description": "What works, but probably not as meant.", "schema": TEXT},
    "Omeconf-Plan": {"description": "Of a dry run: what would restart.", "schema": TEXT},
    "Omeconf-Place": {"description": "Of one element: line and column of its start in its file.",
                      "schema": {"type": "string", "pattern": "^[0-9]+:[0-9]+$"}},
    "Omeconf-File": {"description": "Of one element: its file, percent-encoded.", "schema": TEXT},
    "Omeconf-Path": {"description": "Of one element: its path by Names, percent-encoded.",
                     "schema": TEXT},
    "Omeconf-Request-Id": {"description": "The log has it too.",
                           "required": True, "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "How to log in.", "required": True, "schema": TEXT},
    "Retry-After": {"description": "Seconds.", "schema": {"type": "string"}},
}  # fmt: skip
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
    502: "The reload failed, and the change was taken back; or the engine is away",
    504: "The engine does not answer in time",
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
        for method, handler in methods.items():
            known = OPERATIONS.get((path, method), {})
            if path in RUNTIME:
                known = PASSED_ON
            operation = _operation(path, method, handler.__doc__ or "", known)
            if path in OPEN:
                operation["security"] = []
            paths.setdefault(shown_path(path), {})[method.lower()] = operation
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
            "headers": HEADERS,
            "schemas": components(schema),
        },
    }


def shown_path(path: str) -> str:
    """The path of a route as the document has it: ``/v1/vhosts/{vhost}``."""
    return re.sub(r":(name|int|path)}", "}", path)


def _name(path: str, method: str) -> str:
    words = shown_path(path).replace("{", "by ")
    parts = re.findall(r"[A-Za-z0-9]+", words.replace("omeconf", ""))
    return method.lower() + "".join(part[0].upper() + part[1:] for part in parts if part != "v1")


def _link(operation: str, text: str, **parameters: str) -> Doc:
    return {"operationId": operation, "description": text, "parameters": parameters}


_IN_PATH = "$request.path."
_STORED = ("Omeconf-Revision", "Omeconf-Reload")


def _things(kind: str, path: str, *, is_changed: bool) -> dict[tuple[str, str], Doc]:
    """The operations on all things of a kind, and on one of them; path: of one."""
    names = re.findall(r"{(\w+):", path)
    whole = path.rpartition("/")[0]
    around = {name: _IN_PATH + name for name in names[:-1]}

    def links(where: str) -> dict[str, Doc]:
        methods = ("GET", "DELETE", *(("PATCH",) if is_changed else ()))
        found = [_name(path, method) for method in methods]
        text = "By the name that is in this answer."
        return {each: _link(each, text, **around, **{names[-1]: where}) for each in found}

    one = envelope(ref(kind))
    found: dict[tuple[str, str], Doc] = {
        (whole, "GET"): {
            "answer": envelope(array(TEXT)),
            "parameters": [IF_NONE_MATCH],
            "links": links("$response.body#/response/0"),
        },
        (whole, "POST"): {
            "body": array(ref(kind)),
            "answer": array(one),
            "mixed": array({"anyOf": [one, envelope(None)]}),
            "parameters": [*EDITS, ATOMIC],
            "writes": True,
            "statuses": (207, 424),
            "links": links("$response.body#/0/response/name"),
        },
        (path, "GET"): {"answer": one, "parameters": [IF_NONE_MATCH]},
        (path, "DELETE"): {
            "answer": envelope(None),
            "parameters": EDITS,
            "writes": True,
            "headers": _STORED,
        },
    }
    if is_changed:
        body = {"Application": "ApplicationPatch", "OutputProfile": "OutputProfileBody"}[kind]
        for method in ("PATCH", "PUT"):
            found[path, method] = {
                "answer": one,
                "body": ref(body),
                "parameters": EDITS,
                "writes": True,
                "headers": _STORED,
            }
    return found


_V = "/v1/vhosts/{vhost:name}"
_A = f"{_V}/apps/{{app:name}}"
_P = f"{_A}/outputProfiles/{{profile:name}}"
_O = "/omeconf/v1"
_ONE = f"{_O}/revisions/{{number:int}}"
_RELOAD = f"{_O}/reloads/{{id:name}}"


def _to_revision(where: str) -> dict[str, Doc]:
    """Links to the revision whose number is there."""
    return {
        name: _link(name, "The revision in this answer.", number=where)
        for name in (_name(_ONE, "GET"), _name(f"{_ONE}/diff", "GET"))
    }


_REASON: Doc = {
    **record({"reason": TEXT}, optional=("reason",)),
    "additionalProperties": False,
}
_STEERS: Doc = {"statuses": (409,)}
"""What changes no configuration, but how the group comes to run it."""

OPERATIONS: Mapping[tuple[str, str], Doc] = {
    **_things("VirtualHost", _V, is_changed=False),
    **_things("Application", _A, is_changed=True),
    **_things("OutputProfile", _P, is_changed=True),
    (f"{_O}/status", "GET"): {"answer": ref("Status")},
    (f"{_O}/config", "GET"): {"parameters": [IF_NONE_MATCH], "answer": ref("Server")},
    (f"{_O}/check", "POST"): {
        "bodies": {"application/xml": TEXT},
        "optional": True,
        "parameters": [
            PATH,
            _parameter("against", "query", "What it is compared with; head unless told.", **STATE),
        ],
        "answer": ref("Checked"),
        "places": True,
    },
    (f"{_O}/document", "GET"): {
        "parameters": [FILE, PATH, OF, IF_NONE_MATCH],
        "answer": TEXT,
        "answer_type": "application/xml",
        "places": True,
    },
    (f"{_O}/document", "PUT"): {
        "parameters": [FILE, PATH, *WRITES, IF_MATCH_OR_428, BASE],
        "bodies": {"application/xml": TEXT},
        "answer": ref("Committed"),
        "writes": True,
        "statuses": (428,),
    },
    (f"{_O}/transactions", "POST"): {
        "parameters": EDITS,
        "bodies": {
            "application/json": ref("Transaction"),
            "application/merge-patch+json": ref("ServerPatch"),
            "application/json-patch+json": array(ref("Operation")),
        },
        "answer": ref("Committed"),
        "writes": True,
        "headers": _STORED,
        "statuses": (428,),
        "links": _to_revision("$response.body#/revision"),
    },
    (f"{_O}/diff", "GET"): {
        "parameters": [
            _parameter("from", "query", "running unless told.", **STATE),
            _parameter("to", "query", "head unless told.", **STATE),
        ],
        "answer": ref("Comparison"),
    },
    (f"{_O}/revisions", "GET"): {
        "parameters": [
            LIMIT,
            BELOW,
            _parameter("changes", "query", "With what each changed, in short.", **_SWITCH),
        ],
        "answer": record({"revisions": array(ref("Revision"))}),
        "links": _to_revision("$response.body#/revisions/0/number"),
    },
    (_ONE, "GET"): {"answer": ref("RevisionWithFiles")},
    (f"{_ONE}/diff", "GET"): {"parameters": [AGAINST], "answer": ref("Difference")},
    (f"{_O}/rollback", "POST"): {
        "parameters": [*WRITES, BASE],
        "body": {**record({"revision": REVISION_NUMBER}), "examples": [{"revision": 1}]},
        "answer": ref("RolledBack"),
        "writes": True,
        "headers": _STORED,
        "links": _to_revision("$response.body#/number"),
    },
    (f"{_O}/confirm", "POST"): {
        "answer": record({"confirmed": {"const": True}, "since": NUMBER}),
        "writes": True,
    },
    (f"{_O}/reload", "POST"): {
        "answer": record(
            {
                "changed": array(TEXT),
                "needRestart": array(TEXT),
                "revision": {"type": ["integer", "null"]},
                "drift": {"anyOf": [{"type": "null"}, record({"violations": array(ANY)})]},
                "missing": {"type": ["string", "null"]},
                "reload": {"anyOf": [{"type": "null"}, ref("Reload")]},
            }
        ),
        "writes": True,
    },
    (f"{_O}/hold", "POST"): {
        "body": _REASON,
        "optional": True,
        "answer": record({"held": TEXT}),
        "writes": True,
    },
    (f"{_O}/resume", "POST"): {
        "answer": record({"held": {"type": "null"}, "revision": NUMBER}),
        "writes": True,
    },
    (f"{_O}/reloads", "GET"): {
        "answer": record({"reloads": array(ref("Reload"))}),
        "links": {
            name: _link(name, "The newest.", id="$response.body#/reloads/0/id")
            for name in (_name(_RELOAD, "GET"), _name(f"{_RELOAD}:retry", "POST"))
        },
    },
    (_RELOAD, "GET"): {"answer": ref("Reload")},
    (f"{_RELOAD}:retry", "POST"): {"success": 202, "answer": ref("Reload"), "writes": True},
    (f"{_O}/events", "GET"): {
        "parameters": [
            _parameter("after", "query", "Begin after this event.", **REVISION_NUMBER),
            _parameter("once", "query", "What is kept, and no more.", **_SWITCH),
            _parameter("Last-Event-ID", "header", "The same, as browsers say it."),
        ],
        "answer": TEXT,
        "answer_type": "text/event-stream",
    },
    (f"{_O}/fleet", "GET"): {"answer": ref("Fleet")},
    (f"{_O}/fleet/diff", "GET"): {
        "parameters": [_parameter("node", "query", "Of one member; of all unless told.")],
        "answer": record({"head": NUMBER, "members": array(ref("FleetDifference"))}),
    },
    (f"{_O}/fleet/rollout", "POST"): {**_STEERS, "success": 202, "answer": ref("Rollout")},
    (f"{_O}/fleet/pause", "POST"): {
        **_STEERS,
        "body": _REASON,
        "optional": True,
        "answer": record({"paused": ref("Pause")}),
    },
    (f"{_O}/fleet/resume", "POST"): {**_STEERS, "answer": record({"paused": {"type": "null"}})},
    (f"{_O}/fleet/abort", "POST"): {**_STEERS, "success": 202, "answer": ref("Rollout")},
    (f"{_O}/fleet/members/{{node:name}}", "DELETE"): {
        **_STEERS,
        "answer": record({"forgotten": TEXT}),
    },
    (f"{_O}/schema", "GET"): {
        "parameters": [FORM],
        "answers": {"application/xml": TEXT, "application/json": ref("Model")},
    },
    (f"{_O}/metrics", "GET"): {"answer": TEXT, "answer_type": "text/plain"},
    (f"{_O}/health/live", "GET"): {"answer": record({"status": {"const": "ok"}})},
    (f"{_O}/health/ready", "GET"): {
        "answer": record(
            {"status": {"const": "ok"}, "engine": {"enum": ["none", "current", "replay", "away"]}}
        )
    },
}
"""What the routes take and answer; one that is not here answers with some object.

success: the status of a success; answers: by media type, where there are several;
headers: what a success always has; mixed: what is answered with 207.
"""


PASSED_ON: Doc = {"statuses": (409, 501, 502, 504)}
"""What the engine answers to; it may answer otherwise too, as its own documentation says."""


def _operation(path: str, method: str, text: str, known: Doc) -> Doc:
    parameters = [_path_parameter(path, *each) for each in re.findall(r"{(\w+):(\w+)}", path)]
    operation: Doc = {
        "operationId": _name(path, method),
        "summary": text.partition("\n")[0].rstrip("."),
        "tags": ["omeconf" if path.startswith(_O) else "engine"],
        "parameters": parameters + known.get("parameters", []),
        "responses": {str(status): _answer(path, status, known) for status in _statuses(known)},
    }
    bodies = known.get("bodies", {"application/json": known.get("body")})
    content = {kind: {"schema": body} for kind, body in bodies.items() if body}
    if content:
        operation["requestBody"] = {"required": not known.get("optional"), "content": content}
    return operation


def _statuses(known: Doc) -> list[int]:
    return sorted({
        known.get("success", 200),
        *((304,) if IF_NONE_MATCH in known.get("parameters", ()) else ()),
        *known.get("statuses", ()),
        *(ERRORS_WRITE if known.get("writes") else ERRORS_READ),
    })  # fmt: skip


def _answer(path: str, status: int, known: Doc) -> Doc:
    is_success = status < 300
    names = ["Omeconf-Request-Id"]
    if is_success and known.get("writes"):
        names += [*_STORED, "Omeconf-Advice", "Omeconf-Plan", "ETag"]
    elif status in (200, 304) and IF_NONE_MATCH in known.get("parameters", ()):
        names.append("ETag")
    if is_success and known.get("places"):
        names += ["Omeconf-Place", "Omeconf-File", "Omeconf-Path"]
    names += {401: ["WWW-Authenticate"], 503: ["Retry-After"]}.get(status, [])
    answer: Doc = {
        "description": REASONS[status],
        "headers": {name: _header(name, (is_success and known) or {}) for name in names},
    }
    if is_success:
        kind, shown = known.get("answer_type", "application/json"), known.get("answer", ANY)
        if status == 207:
            shown = known["mixed"]
        answers = known.get("answers", {kind: shown})
        answer["content"] = {kind: {"schema": shown} for kind, shown in answers.items()}
        if "links" in known:
            answer["links"] = known["links"]
    elif status != 304 and path.startswith(_O):
        answer["content"] = {"application/problem+json": {"schema": ref("Problem")}}
    elif status != 304:
        answer["content"] = {"application/json": {"schema": ref("Failure")}}
    return answer


def _header(name: str, known: Doc) -> Doc:
    reads = name == "ETag" and not known.get("writes")
    if name in known.get("headers", ()) or reads:
        return {**HEADERS[name], "required": True}
    return {"$ref": f"#/components/headers/{name}"}


def _path_parameter(path: str, name: str, kind: str) -> Doc:
    schema = REVISION_NUMBER if kind == "int" else {"type": "string", "minLength": 1}
    if path in ACTIONS and name == "action":
        schema = {"enum": list(ACTIONS[path])}
    shown = {"name": name, "in": "path", "required": True, "schema": schema}
    return {**shown, "example": EXAMPLES[name]} if "type" in schema else shown
