"""One element as text: as it is written in its file, and what may be written there instead.

The text is UTF-8, whatever the file is; its first line begins with the element itself.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

from omeconf.core.document import Document, Node, Splice
from omeconf.core.effective import EffectiveElement
from omeconf.core.mapping import HIDDEN, Json
from omeconf.core.parse import BLANKS, Element
from omeconf.core.path import Path
from omeconf.core.schema import Item
from omeconf.core.violation import Severity, Violation
from omeconf.errors import BadBody, Conflict, NotWellFormed, Refused


@dataclass(frozen=True, slots=True)
class Fragment:
    """An element as it is written, and where."""

    text: bytes
    """From its start tag to its end tag, comments and all."""
    file: str
    line: int
    """From 1, of its start tag."""
    column: int
    """From 1, in characters."""
    path: Path
    """With the Names of list items that have one."""


def fragment(root: EffectiveElement, path: Path) -> Fragment:
    """The element at a path; of one that includes a file, that file's root. Raises NotFound."""
    node = root.find(path)
    document = node.document
    text = document.source(node.element)
    if document.is_editable:
        text = text.decode(document.encoding, "replace").encode()
    return Fragment(text, document.file, *document.place(node.element.start), node.path)


def new(document: Document, item: Item, text: str) -> tuple[Node, str | None]:
    """An element to be written into a file, as given; and its name, if it has one.

    Raises as `rewriting` does; places are those in the text.
    """
    data = _encoded(document, text, document.newline)
    written = _parsed(document, data, (1, 1))
    _must_fit(document, written, item)
    key = item.key.name if item.key is not None else None
    is_read = [each for each in written.children if "ignore" not in each.attributes]
    names = (each.value for each in is_read if each.name == key)
    return Node(item.name, verbatim=_in_encoding(document, data)), next(names, None)


def rewriting(node: EffectiveElement, text: Json) -> tuple[Splice, ...]:
    """What puts another text in the place of an element, in its file; nothing if it is the same.

    Raises BadBody unless the text is one element of that name, Refused if it is not well-formed
    (the place is that in the file, as it would be), and Conflict if it includes what the file
    did not.
    """
    if not isinstance(text, str):
        raise BadBody("the value of a rewrite is a string: the element as XML")
    document, element = node.document, node.element
    source = document.source(element)
    data = _encoded(document, text, b"\r\n" if b"\r\n" in source else b"\n")
    _must_fit(document, _parsed(document, data, document.place(element.start)), node.item)
    data = _in_encoding(document, data)
    return () if data == source else (Splice(element.start, element.end, data),)


def _encoded(document: Document, text: str, newline: bytes) -> bytes:
    """A text in UTF-8, with the line ends of where it goes if it has only plain ones."""
    document.must_be_editable()
    data = text.encode("utf-8", "surrogatepass").strip(BLANKS)
    if data.startswith((b"<?", codecs.BOM_UTF8)):
        raise BadBody("the text is one element: leave out what stands before it")
    return data if b"\r" in data else data.replace(b"\n", newline)


def _in_encoding(document: Document, data: bytes) -> bytes:
    if document.encoding == "utf-8":
        return data
    try:
        return data.decode().encode(document.encoding)
    except UnicodeEncodeError as error:
        bad = error.object[error.start]
        raise BadBody(
            f"{document.file} is {document.encoding}, which has no {bad!r}: write &#{ord(bad)}; "
            "or save the file as UTF-8"
        ) from None


def _must_fit(document: Document, written: Element, item: Item) -> None:
    if written.name != item.name:
        raise BadBody(f"the text is one <{written.name}>, but one <{item.name}> is wanted")
    _must_show_secrets(written, item)
    _must_include_nothing_new(document, written)


def _parsed(document: Document, data: bytes, place: tuple[int, int]) -> Element:
    """The root of a text, with the lines and columns that it has if it begins at a place."""
    line, column = place
    before = b"\n" * (line - 1) + b" " * (column - 1)
    try:
        return Document(before + data, file=document.file, is_folded=False).root
    except NotWellFormed as error:
        raise refusal(error) from None


def refusal(error: NotWellFormed) -> Refused:
    """Why a text is no element, as a check has it."""
    at = error.line, error.column
    found = Violation(Severity.ERROR, "not-well-formed", error.file, *at, "/", error.reason)
    return Refused(error.reason, (found,))


def _must_show_secrets(element: Element, item: Item) -> None:
    for each, of in _known(element, item):
        if of.is_secret and each.value == HIDDEN:
            raise BadBody(f'<{each.name}> is "{HIDDEN}", which only stands for a secret')


def _known(element: Element, item: Item) -> Iterator[tuple[Element, Item]]:
    """An element and all below it that the schema knows."""
    yield element, item
    for child in element.children:
        if child.name in item.children:
            yield from _known(child, item.children[child.name])


def _must_include_nothing_new(document: Document, written: Element) -> None:
    """What is included is found out when the files are read, not when one of them is edited."""
    known = set(document.attribute_values("include"))
    for each in written.descendants():
        pattern = each.attributes.get("include")
        if pattern is not None and pattern not in known:
            raise Conflict(
                f'it includes "{pattern}", which {document.file} did not: add that include by '
                "hand, and both files become one revision"
            )
