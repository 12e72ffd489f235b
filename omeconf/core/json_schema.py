"""The configuration's elements as JSON Schema (2020-12), as the API shows and takes them.

What is null in a body is absent, so every value that may be left out may be null too. Numbers and
booleans may always be strings: macros, and what the engine reads so.
"""

from __future__ import annotations

from typing import Any

from omeconf.core.mapping import BARE, typed
from omeconf.core.schema import Item, Schema, ValueType

Doc = dict[str, Any]

NULL: Doc = {"type": "null"}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(schema: Schema) -> Doc:
    """Of a whole configuration, from Server down, with all that it needs in ``$defs``."""
    model = Model(schema, "#/$defs")
    title = f"Configuration of OvenMediaEngine {schema.name}"
    named = {name: model.object(item) for item, name in model.named.items()}
    return {"$schema": DIALECT, "title": title, **model.object(schema.root), "$defs": named}


def array(items: Doc) -> Doc:
    """An array of these."""
    return {"type": "array", "items": items}


class Model:
    """The configuration's elements as schemas; those with a name of their own by reference."""

    def __init__(self, schema: Schema, place: str) -> None:
        """place: where those with a name lie, such as ``#/$defs``."""
        self.place = place
        self.named = {
            schema.virtual_host: "VirtualHost",
            schema.application: "Application",
            schema.output_profile: "OutputProfile",
        }

    def object(self, item: Item, *, is_patch: bool = False) -> Doc:
        """An element with elements; is_patch: what is missing in it stays as it is."""
        children = item.children.values()
        properties = {child.json: self.member(child, is_patch=is_patch) for child in children}
        shown: Doc = {"type": "object", "properties": properties, "additionalProperties": False}
        shown |= _annotations(item)
        required = [child.json for child in children if child.is_enforced]
        if required and not is_patch:
            shown["required"] = required
        return shown

    def member(self, item: Item, *, is_patch: bool) -> Doc:
        """What stands under the element's key."""
        if item.is_list:
            return self._or_null(item, array(self.one(item)))
        flat = item.flat_child
        if flat is not None:
            shown = self._or_null(item, array(self.one(flat)))
            return {**shown, "description": item.documentation}
        whole = self.one(item, is_patch=is_patch)
        if item.name in BARE:
            return {"anyOf": [whole, array(self.one(item.children[BARE[item.name]]))]}
        return whole if item.type is None else self._or_null(item, whole)

    def one(self, item: Item, *, is_patch: bool = False) -> Doc:
        """An element by itself."""
        if item in self.named:
            return {"$ref": f"{self.place}/{self.named[item]}"}
        if item.type is None:
            return {"anyOf": [self.object(item, is_patch=is_patch), NULL]}
        return {**_scalar(item.type), **_annotations(item)}

    @staticmethod
    def _or_null(item: Item, shown: Doc) -> Doc:
        if item.is_enforced:
            return shown
        kinds = shown["type"]
        return {**shown, "type": [*([kinds] if isinstance(kinds, str) else kinds), "null"]}


def _scalar(value_type: ValueType) -> Doc:
    """A scalar: typed, or a string that the engine reads so."""
    if value_type.reads == "bool":
        return {"type": ["boolean", "string", "integer"], "minimum": 0, "maximum": 1}
    if value_type.reads == "presence":
        return {"type": ["boolean", "string"], "not": {"const": False}}
    if value_type.words and value_type.otherwise == "refused":
        return {"type": "string", "examples": list(value_type.words)}
    kinds = {"int": ["integer", "string"], "long": ["integer", "string"],
             "text": ["string", "number", "boolean"]}  # fmt: skip
    return {"type": kinds.get(value_type.reads, ["number", "string"])}


def _annotations(item: Item) -> Doc:
    """What it means, what it is when it is not written, and whether it should not be."""
    shown: Doc = {}
    if item.type is not None:
        shown["description"] = item.documentation or item.type.documentation
        if item.default is not None:
            shown["default"] = typed(item.default, item.type)
    elif item.documentation:
        shown["description"] = item.documentation
    return {**shown, "deprecated": True} if item.deprecated else shown
