"""One element as text: as it is written in its file, and what may be written in its place.

The text is UTF-8, whatever the file is; its first line begins with the element itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from omeconf.core.document import Document, Splice
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


def fragment(root: EffectiveElement, path: Path) -> Fragment:
    """The element at a path; of one that includes a file, that file's root. Raises NotFound."""
    node = root.find(path)
    document = node.document
    text = document.source(node.element)
    if document.is_editable:
        text = text.decode(document.encoding, "replace").encode()
    return Fragment(text, document.file, *document.place(node.element.start))


def rewriting(node: EffectiveElement, text: Json) -> tuple[Splice, ...]:
    """What puts another text in the place of an element, in its file; nothing if it is the same.

    Raises BadBody unless the text is one element of that name, Refused if it is not well-formed
    (the place is that in the file, as it would be), and Conflict if it includes what the file
    did not.
    """
    if not isinstance(text, str):
        raise BadBody("the value of a rewrite is a string: the element as XML")
    document, element = node.document, node.element
    document.must_be_editable()
    data = text.encode("utf-8", "surrogatepass").strip(BLANKS)
    if b"\r\n" in document.source(element) and b"\r" not in data:
        data = data.replace(b"\n", b"\r\n")  # editors of web pages know one line end only
    written = _parsed(document, element, data)
    if written.name != element.name:
        raise BadBody(f"the text is one <{written.name}>, but one <{element.name}> is wanted")
    _must_show_secrets(written, node.item)
    _must_include_nothing_new(document, written)
    if document.encoding != "utf-8":
        data = data.decode().encode(document.encoding, "xmlcharrefreplace")
    if data == document.source(element):
        return ()
    return (Splice(element.start, element.end, data),)


def _parsed(document: Document, element: Element, data: bytes) -> Element:
    """The root of a text, with the lines and columns that it would have in the file."""
    line, column = document.place(element.start)
    before = b"\n" * (line - 1) + b" " * (column - 1)
    try:
        return Document(before + data, file=document.file, is_folded=False).root
    except NotWellFormed as error:
        place = error.line, error.column
        found = Violation(
            Severity.ERROR, "not-well-formed", error.file, *place, "/", error.reason
        )  # fmt: skip
        raise Refused(error.reason, (found,)) from None


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
