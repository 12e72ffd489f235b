"""The model of the configuration, read from the annotated XSD; and lxml's validator, the gate.

The XSD is the one source: names, JSON names, types, scopes, secrets, what replaced what. Nothing
here or elsewhere repeats them. The annotations are explained at the head of the XSD.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from lxml import etree

_XS = "{http://www.w3.org/2001/XMLSchema}"
_O = "{urn:omeconf:schema:1}"

SERVER, VIRTUAL_HOST, APPLICATION, NONE = "server", "virtualHost", "application", "none"
"""Scopes: what has to restart when an element changes."""


Release = tuple[int, int, int]
NEWEST = 999
"""Stands for the newest release of a series."""


@dataclass(frozen=True, slots=True)
class Facets:
    """One way to write a value: a restriction of an XSD base type."""

    base: str
    words: tuple[str, ...]
    pattern: re.Pattern[str] | None
    least: int | None
    most: int | None

    def accepts(self, text: str) -> bool:
        """Whether the text is written this way."""
        if self.base == "xs:int":
            text = text.strip(" \t\r\n")
            if not re.fullmatch(r"[+-]?[0-9]{1,30}", text):
                return False
            return self.has(int(text)) and -(2**31) <= int(text) < 2**31
        if self.base == "xs:double":
            text = text.strip(" \t\r\n")
        if self.words and text not in self.words:
            return False
        return self.pattern is None or self.pattern.fullmatch(text) is not None

    def has(self, number: int) -> bool:
        """Whether a number lies between least and most."""
        return (self.least is None or number >= self.least) and (
            self.most is None or number <= self.most
        )


@dataclass(frozen=True, slots=True)
class ValueType:
    """The type of a leaf: how it is written, and what the engine does with anything else."""

    name: str
    documentation: str
    ways: tuple[Facets, ...]
    reads: str
    """How the engine reads it: a key of `values.READINGS`."""
    otherwise: str
    """What becomes of a value not written so: refused, warning or advice."""
    says: str
    """The engine's words when it refuses; {value} and {name} stand for what was written."""

    def is_clean(self, text: str) -> bool:
        """Whether a text without macros is written as the type wants it."""
        return any(way.accepts(text) for way in self.ways)

    @property
    def words(self) -> tuple[str, ...]:
        """The words to choose from, if the type has such."""
        return tuple(word for way in self.ways for word in way.words)

    @property
    def example(self) -> str:
        """A value to show: the first word, the least number, or dots."""
        least, _ = self.bounds
        return next(iter(self.words), "..." if least is None else str(least))

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """The least and the greatest number, where the type has such."""
        return (self.ways[0].least, self.ways[0].most) if self.ways else (None, None)


@dataclass(frozen=True, slots=True)
class Former:
    """A name that older releases had, or that manuals had wrong."""

    name: str
    since: str
    """The first release with it; "" for 0.11.0 or older."""
    until: str
    """The last release with it; "" if none ever had it."""
    becomes: str
    """Its path now, from the element around it, if only name or place are other; else ""."""
    use: str
    """What to write instead; "" if nothing took its place."""
    type: str
    """The XSD type it had in those releases; "" if that is not known."""


@dataclass(eq=False, slots=True)
class Item:
    """One registered element of the configuration, at one path."""

    name: str
    parent: Item | None
    json: str
    type: ValueType | None
    """None for an object, an element that holds elements."""
    scope: str
    documentation: str = ""
    is_list: bool = False
    """It may be written several times, and is an array in JSON."""
    is_flat: bool = False
    """Its array stands in the place of the wrapper around it."""
    is_required: bool = False
    is_secret: bool = False
    is_unread: bool = False
    default: str | None = None
    resolved: str = ""
    deprecated: str = ""
    becomes: str = ""
    """The sibling that means the same now; "" if there is none."""
    since: str = ""
    formers: tuple[Former, ...] = ()
    newer: dict[str, str] = field(default_factory=dict)
    """Children that only later releases have, with the first that has them."""
    release: Release = (0, 21, NEWEST)
    is_strict: bool = False
    """Whether the release insists on every required child (0.12 and older)."""
    children: dict[str, Item] = field(default_factory=dict)
    """By element name, in the order in which the engine registers (and writes) them."""
    attributes: dict[str, ValueType] = field(default_factory=dict)
    _required: Sequence[Item] | None = None

    def __repr__(self) -> str:
        return f"<Item {self.path}>"

    @property
    def required(self) -> Sequence[Item]:
        """The children that must be there, or should be."""
        if self._required is None:
            self._required = tuple(each for each in self.children.values() if each.is_required)
        return self._required

    @property
    def path(self) -> str:
        """``Server/VirtualHosts/VirtualHost/Name``."""
        return f"{self.parent.path}/{self.name}" if self.parent else self.name

    @property
    def root(self) -> Item:
        """The outermost item."""
        return self.parent.root if self.parent else self

    @property
    def is_object(self) -> bool:
        """It holds elements, not a value."""
        return self.type is None

    @property
    def opens_scope(self) -> bool:
        """Whether it is itself the thing that restarts: an application, a virtual host."""
        return self.parent is not None and self.scope not in (NONE, self.parent.scope)

    @property
    def flat_child(self) -> Item | None:
        """The list whose array takes this wrapper's place in JSON."""
        if len(self.children) == 1:
            child = next(iter(self.children.values()))
            return child if child.is_flat else None
        return None

    @property
    def is_enforced(self) -> bool:
        """Whether the engine really insists on it.

        It does only along an unbroken chain of required parents, up to the root or the
        nearest list item (tried on all 119 required elements).
        """
        if not self.is_required or self.parent is None:
            return False
        return self.is_strict or self.parent._arms_children

    @property
    def _arms_children(self) -> bool:
        return self.is_list or self.parent is None or self.is_enforced

    @property
    def key(self) -> Item | None:
        """The child that tells the items of a list apart: their Name, if they have one."""
        return self.children.get("Name") if self.is_list else None

    def by_json(self, key: str) -> Item | None:
        """The child with that JSON name."""
        return next((child for child in self.children.values() if child.json == key), None)

    def descendants(self) -> Iterator[Item]:
        """The item and everything below it, in registered order."""
        yield self
        for child in self.children.values():
            yield from child.descendants()

    def find(self, path: str) -> Item:
        """The item at a path below this one, ``Publishers/LLHLS``. KeyError: no such item."""
        item = self
        for name in path.split("/"):
            item = item.children[name]
        return item

    @property
    def error_path(self) -> str:
        """How the engine names it: from the nearest list item (or the root) in JSON names."""
        if self.is_list or self.parent is None:
            return self.name
        return f"{self.parent.error_path}.{self.json}"

    @property
    def error_path_as_child(self) -> str:
        """As `error_path`, seen from the element around it: a list item by its JSON name."""
        return f"{self.parent.error_path}.{self.json}" if self.parent else self.name

    @property
    def body_path(self) -> str:
        """As `error_path`, for the bodies of the API: list items by their JSON name too."""
        if self.is_list or self.parent is None:
            return self.name[0].lower() + self.name[1:]
        return f"{self.parent.body_path}.{self.json}"


class Schema:
    """One release series' XSD: the model, and the gate."""

    def __init__(self, xsd: bytes, release: str = "") -> None:
        """Read an annotated XSD; ValueError if it is not one.

        The model has what a release of the series knows, the newest unless told.
        """
        tree = etree.fromstring(xsd, _parser())
        self.series = tree.get("version", "")
        self.release = parse_release(release or self.series)
        strict = tree.find(f"{_XS}annotation/{_XS}appinfo/{_O}release")
        self.is_strict = strict is not None and strict.get("strict") == "true"
        self._gate = etree.XMLSchema(tree)
        self._complex = {e.get("name", ""): e for e in tree.iterchildren(f"{_XS}complexType")}
        self._simple = {e.get("name", ""): e for e in tree.iterchildren(f"{_XS}simpleType")}
        self._types: dict[str, ValueType] = {}
        declared = next(tree.iterchildren(f"{_XS}element"))
        self.root = self._item(declared, None)
        self._forget_what_is_not_yet_deprecated()
        is_whole = self.release >= max(
            parse_release(found.get(name, ""))
            for found in tree.iter(f"{_O}item", f"{_O}former")
            for name in ("since", "until")
        )
        roots = {element.get("name", "") for element in tree.iterchildren(f"{_XS}element")}
        self.gated = roots if is_whole else set()
        """Names of root elements that the gate knows; none for an older release."""

    def gate(self, data: bytes) -> bool:
        """Whether lxml finds nothing wrong: then structure and values are clean.

        False means only that someone has to look: lxml's own messages skip the rest of a
        parent behind the first unknown child, so they are not used.
        """
        try:
            return self._gate.validate(etree.fromstring(data, _parser("utf-8")))
        except etree.XMLSyntaxError:
            return False

    @cached_property
    def items(self) -> dict[str, Item]:
        """Every item by its path."""
        return {item.path: item for item in self.root.descendants()}

    @property
    def name(self) -> str:
        """The release, as people write it: ``0.16.8``; without a patch where it is the newest."""
        return ".".join(str(part) for part in self.release if part != NEWEST)

    @property
    def virtual_host(self) -> Item:
        """The declaration of a virtual host."""
        return self.root.find("VirtualHosts/VirtualHost")

    @property
    def application(self) -> Item:
        """The declaration of an application."""
        return self.virtual_host.find("Applications/Application")

    @property
    def output_profile(self) -> Item:
        """The declaration of an output profile."""
        return self.application.find("OutputProfiles/OutputProfile")

    def _forget_what_is_not_yet_deprecated(self) -> None:
        """An older release may not know what took an element's place: then it is still the way."""
        ends = {"nothing"} | {
            "/".join(parts[at:])
            for parts in (path.split("/") for path in self.items)
            for at in range(len(parts))
        }
        for item in self.items.values():
            if item.deprecated not in ends:
                item.deprecated = ""

    # -- reading the XSD -------------------------------------------------------------------

    def _item(self, element: etree._Element, parent: Item | None) -> Item:
        """The item of an element declaration, or of a former element, with all below it."""
        name = element.get("name", "")
        facts = _facts(element)
        complex_type = self._complex[element.get("type", "")]
        item = Item(
            name=name,
            parent=parent,
            json=facts.get("json", name[0].lower() + name[1:]),
            type=self._leaf_type(complex_type),
            scope=facts.get("scope", parent.scope if parent else SERVER),
            documentation=_documentation(element),
            is_list=facts.get("list") == "true",
            is_flat=facts.get("flat") == "true",
            is_required=facts.get("required") == "true",
            is_secret=facts.get("secret") == "true",
            is_unread=facts.get("unread") == "true",
            default=facts.get("default"),
            resolved=facts.get("resolved", ""),
            deprecated=facts.get("deprecated", ""),
            becomes=facts.get("becomes", ""),
            since=facts.get("since", ""),
            formers=tuple(
                _former(f) for f in element.iterfind(f"{_XS}annotation/{_XS}appinfo/{_O}former")
            ),
            release=self.release,
            is_strict=self.is_strict,
        )
        for attribute in complex_type.iterchildren(f"{_XS}attribute"):
            item.attributes[attribute.get("name", "")] = self._type(attribute.get("type", ""))
        for group in complex_type.iterchildren(f"{_XS}all", f"{_XS}choice"):
            for child in group.iterchildren(f"{_XS}element"):
                since = _facts(child).get("since", "")
                if parse_release(since) > self.release:
                    item.newer[child.get("name", "")] = since
                else:
                    item.children[child.get("name", "")] = self._item(child, item)
        for former in element.iterfind(f"{_XS}annotation/{_XS}appinfo/{_O}former[@type]"):
            first, last = (parse_release(former.get(end, "")) for end in ("since", "until"))
            if first <= self.release <= last:
                item.children[former.get("name", "")] = self._item(former, item)
        return item

    def _leaf_type(self, complex_type: etree._Element) -> ValueType | None:
        extension = complex_type.find(f"{_XS}simpleContent/{_XS}extension")
        return None if extension is None else self._type(extension.get("base", ""))

    def _type(self, name: str) -> ValueType:
        if name not in self._types:
            element = self._simple[name]
            facts = element.find(f"{_XS}annotation/{_XS}appinfo/{_O}type")
            if facts is None:
                raise ValueError(f"simple type {name} has no o:type annotation")
            self._types[name] = ValueType(
                name=name,
                documentation=_documentation(element),
                ways=tuple(_facets(r) for r in element.iter(f"{_XS}restriction")),
                reads=facts.get("reads", ""),
                otherwise=facts.get("otherwise", ""),
                says=facts.get("says", ""),
            )
        return self._types[name]


def parse_release(text: str) -> Release:
    """``0.16.8`` as numbers; of ``0.16`` the newest is meant; "" is before all others.

    Raises ValueError.
    """
    if not text:
        return (0, 0, 0)
    major, minor, *patch = (int(part) for part in text.removeprefix("v").split("."))
    return (major, minor, patch[0] if patch else NEWEST)


def _parser(encoding: str | None = None) -> etree.XMLParser:
    return etree.XMLParser(
        encoding=encoding, resolve_entities=False, no_network=True, load_dtd=False
    )


def _facts(element: etree._Element) -> dict[str, str]:
    found = element.find(f"{_XS}annotation/{_XS}appinfo/{_O}item")
    return {} if found is None else cast("dict[str, Any]", dict(found.attrib))


def _former(element: etree._Element) -> Former:
    name, since, until, becomes, use, type_name = (
        element.get(fact, "") for fact in ("name", "since", "until", "becomes", "use", "type")
    )
    return Former(name, since, until, becomes, use or becomes, type_name)


def _documentation(element: etree._Element) -> str:
    return element.findtext(f"{_XS}annotation/{_XS}documentation", "")


def _facets(restriction: etree._Element) -> Facets:
    def values(facet: str) -> list[str]:
        return [f.get("value", "") for f in restriction.iterchildren(f"{_XS}{facet}")]

    def number(facet: str) -> int | None:
        found = values(facet)
        return int(found[0]) if found else None

    patterns = values("pattern")
    return Facets(
        base=restriction.get("base", ""),
        words=tuple(values("enumeration")),
        pattern=re.compile("|".join(f"(?:{p})" for p in patterns), re.ASCII) if patterns else None,
        least=number("minInclusive"),
        most=number("maxInclusive"),
    )
