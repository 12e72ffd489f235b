"""An element of the configuration in words and JSON: what the XSD says of it, for people's tools.

The one source of `omeconf schema PATH` and of the console's forms.
"""

from __future__ import annotations

from omeconf.core.mapping import Json
from omeconf.core.schema import Item, ValueType

KINDS = {
    "bool": "boolean",
    "presence": "boolean",
    "int": "integer",
    "long": "integer",
    "float": "number",
}
"""By how the engine reads it; all else is a string, or a choice if it has words."""


def describe(item: Item) -> dict[str, Json]:
    """What is known of an element, under names that never change; null or empty: nothing.

    kind is object, string, integer, number, boolean or choice. reads is presence for a boolean
    that is written as an empty element, or not at all. use is the sibling to write instead of a
    deprecated one, attributes are kinds and words by name, children are names, in the order in
    which the engine registers them.
    """
    return {
        "path": f"/{item.path}",
        "name": item.name,
        "json": item.json,
        **_value(item.type),
        "list": item.is_list,
        "flat": item.is_flat,
        "required": item.is_required,
        "enforced": item.is_enforced,
        "default": item.default,
        "documentation": item.documentation or (item.type.documentation if item.type else ""),
        "scope": item.scope,
        "since": item.since,
        "deprecated": item.deprecated,
        "use": item.becomes,
        "secret": item.is_secret,
        "unread": item.is_unread,
        "attributes": {name: _value(each) for name, each in item.attributes.items()},
        "children": list(item.children),
    }


def describe_all(item: Item) -> list[dict[str, Json]]:
    """An element and everything below it, in the order in which the engine registers them."""
    return [describe(each) for each in item.descendants()]


def _value(value_type: ValueType | None) -> dict[str, Json]:
    """How it is written. Of a union the words and patterns of all ways, the first's bounds."""
    if value_type is None:
        return {"kind": "object", "reads": None, "words": [], "least": None, "most": None,
                "pattern": None}  # fmt: skip
    least, most = value_type.bounds
    return {
        "kind": _kind(value_type),
        "reads": value_type.reads,
        "words": list(value_type.words),
        "least": least,
        "most": most,
        "pattern": _pattern(value_type),
    }


def _kind(value_type: ValueType) -> str:
    kind = KINDS.get(value_type.reads)
    return kind or ("choice" if value_type.words else "string")


def _pattern(value_type: ValueType) -> str | None:
    """A regular expression that the whole text must match; None if any way needs none."""
    patterns = [way.pattern.pattern for way in value_type.ways if way.pattern is not None]
    plain = any(way.pattern is None and not way.words for way in value_type.ways)
    return None if plain or not patterns else "|".join(patterns)
