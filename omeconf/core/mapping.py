"""Elements to JSON and back, as the engine's REST API has them; read from the XSD.

Out: only what is written, no defaults. Scalars leave as JSON numbers and booleans; text that is
no clean literal (``4abc``, `` true ``, a macro) stays a string. A list is always an array, and
stands in the place of a wrapper that holds nothing else (``"names": ["*"]``).

In: a number or boolean becomes text where nothing is lost by it, a string is taken as it is (the
check judges it), null means absent, an unknown key or a missing required one is refused in the
engine's words. ``"$"`` is refused: the engine would read files by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from omeconf.core.document import Node
from omeconf.core.effective import EffectiveElement
from omeconf.core.schema import Item, ValueType
from omeconf.core.values import to_bool
from omeconf.errors import BadBody, Conflict

Json = Any
"""What json.loads returns."""


HIDDEN = "***"
"""Stands for a secret that the reader may not see."""


BARE = {"OutputProfiles": "OutputProfile", "CrossDomains": "Url"}
"""Objects that a bare array may stand for, as the API of 0.12 documents it: that child's items."""


Leaf = Callable[[EffectiveElement], Json]


def to_json(
    node: EffectiveElement,
    *,
    hide_secrets: bool = False,
    leaf: Leaf | None = None,
    but: str = "",
) -> Json:
    """An element and all below it as JSON. An object gives a dict, a leaf a scalar. Not to be
    changed by who gets it: it is remembered.

    leaf: how a leaf is shown; as it is written, unless told. but: a child that is not looked at.
    """
    item = node.item
    if item.type is not None:
        if item.is_secret and hide_secrets:
            return HIDDEN
        return typed(node.element.value, item.type) if leaf is None else leaf(node)
    if leaf is None:
        alone = node.alone
        if alone is not node and not hide_secrets:
            return _remembered(node, alone)
        node = alone

    def entry(child: EffectiveElement) -> Json:
        return _entry(to_json(child, hide_secrets=hide_secrets, leaf=leaf))

    flat = item.flat_child
    if flat is not None and node.all(flat.name):
        return [entry(child) for child in node.all(flat.name)]
    result: dict[str, Json] = {}
    for name, child_item in item.children.items():
        found = node.all(name) if name != but else ()
        if child_item.is_list and found:
            result[child_item.json] = [entry(child) for child in found]
        elif found:
            result[child_item.json] = to_json(found[0], hide_secrets=hide_secrets, leaf=leaf)
    return result


def _remembered(node: EffectiveElement, alone: EffectiveElement) -> Json:
    """A folded application as JSON; of what stood in its place before, all that is the same."""
    if alone.shown is None:
        older = node.older
        alone.shown = _like(alone, older, older.shown if older is not None else None)
    return alone.shown


def _like(node: EffectiveElement, older: EffectiveElement | None, known: Json) -> Json:
    """An element as JSON; known is what that of an older one is, or None."""
    item = node.item
    if older is None or known is None or item.flat_child is not None:
        return to_json(node)
    if node.is_written_like(older):
        return known
    if item.type is not None:
        return to_json(node)
    now, result = dict(node.groups()), {}
    for name, child_item in item.children.items():
        found, before = now.get(name), older.all(name)
        if not found:
            continue
        shown = known.get(child_item.json)
        if not child_item.is_list:
            result[child_item.json] = _like(found[0], before[0] if before else None, shown)
        elif shown is not None and _are_written_like(found, before):
            result[child_item.json] = shown
        else:
            result[child_item.json] = [_entry(to_json(child)) for child in found]
    return result


def _entry(value: Json) -> Json:
    """An item of a list: the engine shows one without children as null."""
    return None if value == {} else value


def _are_written_like(now: Sequence[EffectiveElement], before: Sequence[EffectiveElement]) -> bool:
    return len(now) == len(before) and all(map(EffectiveElement.is_written_like, now, before))


def typed(text: str, value_type: ValueType) -> Json:
    """A text as a JSON scalar of its type, if it is a clean literal; else the text itself."""
    if value_type.reads not in ("presence", "bool", "int", "long", "float"):
        return text
    if text != text.strip() or not value_type.is_clean(text):
        return text
    if value_type.reads == "presence":
        return True
    if value_type.reads == "bool":
        return to_bool(text)
    if value_type.reads in ("int", "long"):
        return int(text)
    number = float(text)
    if not math.isfinite(number):
        return text
    return int(number) if text.lstrip("+-").isdigit() else number


@dataclass(slots=True)
class Target:
    """What an element is to become: a value, or children by element name."""

    item: Item
    text: str = ""
    children: dict[str, list[Target]] = field(default_factory=dict)

    @property
    def key(self) -> str | None:
        """The text of its Name, if it has one."""
        names = self.children.get("Name")
        return names[0].text if names and self.item.key is not None else None

    def node(self) -> Node:
        """The element to write; children in the order in which the engine registers them."""
        children = tuple(
            child.node() for name in self.item.children for child in self.children.get(name, ())
        )
        return Node(self.item.name, self.text, children)


def from_json(item: Item, value: Json) -> Target:
    """What a JSON body makes of an item. Raises BadBody in the engine's words."""
    return _target(item, value, item.body_path)


def merged(current: Json, patch: Json) -> Json:
    """A JSON merge patch (RFC 7396): objects are merged, null removes, all else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def patched(current: Json, operations: Json) -> Json:
    """A JSON Patch (RFC 6902) carried out. Raises BadBody, or Conflict if a test does not hold."""
    import jsonpatch  # here: no command line needs it

    if not isinstance(operations, list):
        raise BadBody("a JSON Patch is an array of operations")
    try:
        return jsonpatch.apply_patch(current, operations, in_place=False)
    except jsonpatch.JsonPatchTestFailed as error:
        raise Conflict(f"a test of the JSON Patch does not hold: {error}") from None
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise BadBody(f"the JSON Patch cannot be carried out: {error}") from None
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BadBody(f"this is no JSON Patch: {error}") from None


def _target(item: Item, value: Json, path: str) -> Target:
    if item.type is not None:
        return Target(item, _scalar(item, value, path))
    flat = item.flat_child
    if flat is not None and isinstance(value, list):
        return Target(item, children=_listed(flat, value, path))
    if value is None:
        value = {}
    if isinstance(value, list) and item.name in BARE:
        child = item.children[BARE[item.name]]
        return Target(item, children=_listed(child, value, path))
    if isinstance(value, list):
        inner = next((child.json for child in item.children.values() if child.is_list), None)
        raise BadBody(f"{inner} is not an array" if inner else f"{path} is not an object")
    if not isinstance(value, dict):
        raise BadBody(f"{path} is not an object")
    return Target(item, children=_children(item, value, path))


def _meant(key: str, known: Collection[str]) -> str:
    """What may have been meant by an unknown member."""
    near = get_close_matches(key, known, n=1, cutoff=0.75)
    return f"did you mean {near[0]}?" if near else f"there may be: {', '.join(known)}"


def _children(item: Item, value: dict[str, Json], path: str) -> dict[str, list[Target]]:
    by_json = {child.json: child for child in item.children.values()}
    for key in value:
        if key == "$":
            raise BadBody(f'"$" is not allowed here: {path}.$')
        if key not in by_json:
            raise BadBody(f"Unknown item found: {path}.{key}", hint=_meant(key, by_json))
    children: dict[str, list[Target]] = {}
    for key, child in by_json.items():
        given = value.get(key)
        if given is None:
            if child.is_enforced:
                raise BadBody(f"{path}.{key} is not optional")
        elif child.is_list:
            if not isinstance(given, list):
                raise BadBody(f"Child {key} is not an array")
            children |= _listed(child, given, path)
        else:
            children[child.name] = [_target(child, given, f"{path}.{key}")]
    return children


def _listed(item: Item, values: list[Json], path: str) -> dict[str, list[Target]]:
    if item.type is not None:
        values = [each for each in values if each is not None]
        where = f"{path}.{item.json}"
    else:
        where = item.body_path
    targets = [_target(item, each, where) for each in values]
    return {item.name: targets} if targets else {}


def _scalar(item: Item, value: Json, path: str) -> str:
    """The text of a JSON scalar, if nothing is lost by it."""
    assert item.type is not None
    reads = item.type.reads
    if item.is_secret and value == HIDDEN:
        raise BadBody(f'{path} is "{HIDDEN}", which only stands for a secret: leave it out')
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        if reads in ("bool", "text"):
            return "true" if value else "false"
        if reads == "presence" and value:
            return ""
    elif isinstance(value, int):
        if reads == "bool" and value in (0, 1):
            return "true" if value else "false"
        if reads not in ("bool", "presence"):
            return str(value)
    elif isinstance(value, float):
        if reads in ("int", "long") and value.is_integer():
            return str(int(value))
        if reads in ("float", "text", "bitrate"):
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    kind = {
        "int": "a whole number",
        "long": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "presence": "true (leave it out for no)",
    }.get(reads, "a string")
    raise BadBody(f"{path} must be {kind}")
