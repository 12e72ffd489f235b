"""The schemas of the OpenAPI document: the configuration's from the XSD, and those of our answers.

Those of the configuration are made by core/json_schema.py.
"""

from __future__ import annotations

from omeconf.api.auth import ROLES
from omeconf.core.json_schema import NULL, Doc, Model, array
from omeconf.core.rollout import Phase, Says
from omeconf.core.schema import Schema

PLACE = "#/components/schemas"
"""Where the schemas lie in the OpenAPI document."""

TEXT: Doc = {"type": "string"}
NUMBER: Doc = {"type": "integer", "minimum": 0}
ANY: Doc = {"type": "object", "additionalProperties": True}
SWITCH: Doc = {"type": "boolean"}
SECONDS: Doc = {"type": "number"}
REVISION_NUMBER: Doc = {**NUMBER, "maximum": 2**53}


_PROFILE: Doc = {
    "outputStreamName": "${OriginStreamName}_copy",
    "encodes": {"videos": [{"name": "video", "bypass": True}]},
}
EXAMPLES: dict[str, Doc] = {
    "VirtualHost": {"name": "shop", "host": {"names": ["shop.example.com"]}},
    "Application": {
        "name": "fair",
        "type": "live",
        "providers": {"rtmp": {}},
        "publishers": {"llhls": {"segmentDuration": 4}},
        "outputProfiles": {"outputProfile": [{"name": "copy", **_PROFILE}]},
    },
    "ApplicationPatch": {"publishers": {"llhls": {"segmentDuration": 4}}, "providers": {"srt": {}}},
    "OutputProfile": {"name": "copy", **_PROFILE},
    "OutputProfileBody": _PROFILE,
    "ServerPatch": {"modules": {"p2p": {"enable": True}}},
}
"""A body of each kind, to begin with."""


def ref(name: str) -> Doc:
    """A schema by its name."""
    return {"$ref": f"{PLACE}/{name}"}


def record(properties: dict[str, Doc], *, optional: tuple[str, ...] = ()) -> Doc:
    """An object that has all these members but the optional ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def envelope(response: Doc | None) -> Doc:
    """The engine's envelope around a response."""
    shown: Doc = {"statusCode": {"type": "integer"}, "message": TEXT}
    return record(shown if response is None else {**shown, "response": response})


def components(schema: Schema) -> dict[str, Doc]:
    """All schemas by name."""
    model = Model(schema, PLACE)
    application = model.object(schema.application)
    patch = model.object(schema.application, is_patch=True)
    profile = model.object(schema.output_profile)
    shown = {
        "Server": model.object(schema.items["Server"]),
        "ServerPatch": model.object(schema.items["Server"], is_patch=True),
        "VirtualHost": model.object(schema.virtual_host),
        "Application": _with(application, dynamic={"type": "boolean", "readOnly": True}),
        "ApplicationPatch": _without(patch, "name", "outputProfiles"),
        "OutputProfile": profile,
        "OutputProfileBody": _without(profile, "name"),
        **OURS,
    }
    for name, example in EXAMPLES.items():
        shown[name] = {**shown[name], "examples": [example]}
    return shown


def _with(shown: Doc, **more: Doc) -> Doc:
    return {**shown, "properties": {**shown["properties"], **more}}


def _without(shown: Doc, *names: str) -> Doc:
    kept = {key: value for key, value in shown["properties"].items() if key not in names}
    required = [name for name in shown.get("required", []) if name not in names]
    result = {**shown, "properties": kept, "required": required}
    return result if required else {k: v for k, v in result.items() if k != "required"}


# -- our own answers and bodies --------------------------------------------------------------------

_MAYBE_TEXT: Doc = {"type": ["string", "null"]}
_MAYBE_NUMBER: Doc = {"type": ["integer", "null"]}
_MAYBE_RELOAD: Doc = {"anyOf": [ref("Reload"), NULL]}
_EFFECT = {"changes": array(ref("Change")), "plan": array(ref("PlanItem")), "diff": TEXT}
_VIOLATIONS = {"violations": array(ref("Violation"))}
_REVISION = {
    "number": NUMBER,
    "parent": NUMBER,
    "author": TEXT,
    "time": {"type": "string", "format": "date-time"},
    "message": TEXT,
    "origin": {"enum": ["api", "cli", "file", "rollback"]},
    "digest": TEXT,
    "reload": _MAYBE_TEXT,
    "reverts": array(NUMBER),
}
_VALUE = {
    "kind": {"enum": ["object", "string", "integer", "number", "boolean", "choice"]},
    "reads": _MAYBE_TEXT,
    "words": array(TEXT),
    "least": _MAYBE_NUMBER,
    "most": _MAYBE_NUMBER,
    "pattern": _MAYBE_TEXT,
}
_ELEMENT = record(
    {
        **dict.fromkeys(("path", "name", "json"), TEXT),
        **_VALUE,
        **dict.fromkeys(("list", "flat", "required", "enforced", "secret", "unread"), SWITCH),
        "default": _MAYBE_TEXT,
        **dict.fromkeys(("documentation", "scope", "since", "deprecated", "use"), TEXT),
        "attributes": {"type": "object", "additionalProperties": record(_VALUE)},
        "children": array(TEXT),
    }
)
_OPERATION = {"op": TEXT, "path": {"type": "string", "pattern": "^(/.*)?$"}}

_PHASES = [each.value for each in Phase]
_FLEET = {
    **dict.fromkeys(("group", "node"), TEXT),
    "state": {"enum": ["ok", "slow", "away", "trouble"]},
    "trouble": _MAYBE_TEXT,
    **dict.fromkeys(("head", "confirmed"), _MAYBE_NUMBER),
    "driver": _MAYBE_TEXT,
    "rollouts": {"enum": ["auto", "manual"]},
}
_MEMBER = {
    **dict.fromkeys(("omeconf", "engine"), TEXT),
    "labels": array(TEXT),
    **dict.fromkeys(("disk", "running", "healthy"), _MAYBE_NUMBER),
    "confirmed": SWITCH,
    **dict.fromkeys(("drift", "trouble"), _MAYBE_TEXT),
}
"""What a member puts on record; of one that has just come there may be nothing yet."""
_ROLLOUT = {
    **dict.fromkeys(("id", "target", "base"), NUMBER),
    "phase": {"enum": _PHASES},
    "policy": record(
        {
            **dict.fromkeys(("canary", "maxUnavailable"), NUMBER),
            "order": array(TEXT),
            **dict.fromkeys(("voteSeconds", "applySeconds", "soakSeconds"), SECONDS),
            "confirmSeconds": SECONDS,
        }
    ),
    "batches": array(array(TEXT)),
    "step": NUMBER,
    "skipped": {"type": "object", "additionalProperties": TEXT},
    **dict.fromkeys(("reason", "settled"), TEXT),
}

OURS: dict[str, Doc] = {
    "Transaction": {
        **record({"edits": {"type": "array", "minItems": 1, "items": ref("Edit")}}),
        "examples": [
            {"edits": [{"verb": "merge", "path": "/Server/Modules/P2P", "value": {"enable": True}}]}
        ],
    },
    "Edit": {
        **record(
            {
                "verb": {
                    "enum": ["create", "merge", "replace", "set", "patch", "rewrite", "delete"]
                },
                "path": {
                    "type": "string",
                    "pattern": "^/Server",
                    "examples": ["/Server/Bind/Providers/RTMP"],
                },
                "value": {},
            },
            optional=("value",),
        ),
        "additionalProperties": False,
    },
    "Operation": {
        "description": "One operation of a JSON Patch, RFC 6902.",
        "oneOf": [
            record({**_OPERATION, "op": {"enum": ["add", "replace", "test"]}, "value": {}}),
            record({**_OPERATION, "op": {"enum": ["move", "copy"]}, "from": _OPERATION["path"]}),
            record({**_OPERATION, "op": {"enum": ["remove"]}}),
        ],
    },
    "Committed": record(
        {
            "revision": NUMBER,
            "reload": {"enum": ["ok", "none", "pending", "failed"]},
            **_VIOLATIONS,
            **_EFFECT,
        }
    ),
    "Checked": record(
        {"good": SWITCH, **_VIOLATIONS, **_EFFECT},
        optional=("changes", "plan", "diff"),
    ),
    "Revision": record(
        {
            **_REVISION,
            "changes": {"anyOf": [array(ref("Change")), NULL]},
            "changesMore": NUMBER,
        },
        optional=("changes", "changesMore"),
    ),
    "RolledBack": record({**_REVISION, **_EFFECT}, optional=("changes", "plan", "diff")),
    "RevisionWithFiles": record(
        {**_REVISION, "files": {"type": "object", "additionalProperties": TEXT}}
    ),
    "Comparison": record(
        {
            **dict.fromkeys(("from", "to"), record({"name": TEXT, "revision": _MAYBE_NUMBER})),
            "good": SWITCH,
            **_VIOLATIONS,
            **_EFFECT,
        },
        optional=("changes", "plan"),
    ),
    "Difference": record(
        {
            "revision": NUMBER,
            "against": NUMBER,
            "changes": array(ref("Change")),
            "plan": array(ref("PlanItem")),
            "text": TEXT,
        }
    ),
    "Change": record(
        {
            "kind": {"enum": ["added", "removed", "changed", "moved"]},
            "path": TEXT,
            "old": TEXT,
            "new": TEXT,
        },
        optional=("old", "new"),
    ),
    "PlanItem": record(
        {
            "scope": {"enum": ["server", "virtualHost", "application"]},
            "action": {"enum": ["create", "restart", "delete"]},
            "virtualHost": TEXT,
            "application": TEXT,
        },
        optional=("virtualHost", "application"),
    ),
    "Reload": record(
        {
            "id": TEXT,
            "revisions": array(NUMBER),
            "state": {
                "enum": [
                    *("pending", "running", "waiting"),
                    *("healthy", "failed", "reverted", "superseded"),
                ]
            },
            **dict.fromkeys(("made", "began", "ended"), _MAYBE_TEXT),
            "tries": NUMBER,
            "plan": array(ref("PlanItem")),
            "calls": array(
                record({"command": {}, "code": {"type": ["integer", "null"]}, "output": TEXT})
            ),
        }
    ),
    "Status": record(
        {
            "version": TEXT,
            "caller": record({"name": TEXT, "role": {"enum": list(ROLES)}}),
            "serverXml": TEXT,
            "revision": record(
                dict.fromkeys(("head", "disk", "running", "healthy"), _MAYBE_NUMBER)
            ),
            **dict.fromkeys(("ownEdits", "runningIsAssumed"), SWITCH),
            **dict.fromkeys(("missing", "unrecorded", "held", "readOnly", "history"), _MAYBE_TEXT),
            "confirm": {
                "anyOf": [
                    record({"backTo": NUMBER, "deadline": TEXT, "seconds": {"type": "number"}}),
                    NULL,
                ]
            },
            "drift": {"anyOf": [record({"violations": array(ref("Violation"))}), NULL]},
            "reload": record(dict.fromkeys(("pending", "current", "last"), _MAYBE_RELOAD)),
            "restartNeeded": SWITCH,
            "engine": {
                "anyOf": [
                    record(
                        {
                            **dict.fromkeys(("url", "folder"), _MAYBE_TEXT),
                            "reachable": {"type": ["boolean", "null"]},
                            "drift": array(TEXT),
                        }
                    ),
                    NULL,
                ]
            },
            "watching": {
                "anyOf": [
                    record(
                        {
                            "folders": array(TEXT),
                            "lookEverySeconds": {"type": "number"},
                            "trouble": _MAYBE_TEXT,
                        }
                    ),
                    NULL,
                ]
            },
            "fleet": {
                "anyOf": [
                    record({**_FLEET, "rollout": {"enum": [*_PHASES, None]}, "paused": SWITCH}),
                    NULL,
                ]
            },
        }
    ),
    "Fleet": record(
        {
            **_FLEET,
            "endpoint": TEXT,
            "members": array(ref("Member")),
            "rollout": {"anyOf": [ref("RolloutProgress"), NULL]},
            "paused": {"anyOf": [ref("Pause"), NULL]},
            "goesBackInSeconds": {"type": ["number", "null"]},
        }
    ),
    "Member": record(
        {
            "node": TEXT,
            "present": SWITCH,
            **_MEMBER,
            "says": {
                "anyOf": [
                    record(
                        {
                            "rollout": NUMBER,
                            "says": {"enum": [each.value for each in Says]},
                            "reason": TEXT,
                        }
                    ),
                    NULL,
                ]
            },
            "skipped": _MAYBE_TEXT,
        },
        optional=tuple(_MEMBER),
    ),
    "Rollout": record(_ROLLOUT),
    "RolloutProgress": record({**_ROLLOUT, "healthy": array(TEXT), "members": NUMBER}),
    "Pause": record({"by": TEXT, "reason": TEXT}),
    "FleetDifference": record(
        {
            "node": TEXT,
            "present": SWITCH,
            "disk": _MAYBE_NUMBER,
            "changes": {"anyOf": [array(ref("Change")), NULL]},
            "plan": {"anyOf": [array(ref("PlanItem")), NULL]},
            "diff": _MAYBE_TEXT,
            "unknown": _MAYBE_TEXT,
            "drift": {
                "description": "Of the member that is asked: its files beside its revision.",
                "anyOf": [
                    record(
                        {
                            "revision": NUMBER,
                            "good": SWITCH,
                            **dict.fromkeys(("diff", "unknown"), _MAYBE_TEXT),
                        }
                    ),
                    NULL,
                ],
            },
        },
        optional=("drift",),
    ),
    "Model": record({"series": TEXT, "elements": array(_ELEMENT)}),
    "Failure": {
        "description": "One envelope; of a batch whose items all failed, an array of them.",
        "anyOf": [envelope(None), array(envelope(None))],
    },
    "Problem": record(
        {
            "status": {"type": "integer"},
            "title": TEXT,
            "violations": array(ref("Violation")),
            "reload": ref("Reload"),
            "diff": TEXT,
        },
        optional=("violations", "reload", "diff"),
    ),
    "Violation": record(
        {
            "severity": {"enum": ["error", "warning", "advice"]},
            **dict.fromkeys(("code", "file", "path", "message", "hint"), TEXT),
            "line": NUMBER,
            "column": NUMBER,
        }
    ),
}
"""What no XSD describes."""
