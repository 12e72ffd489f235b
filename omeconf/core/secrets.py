"""The files of a configuration with their secrets hidden, for those who may only read.

Hidden is what the engine reads as a secret, and whatever has the name of one where the engine
does not read it: a second element, one below ``ignore="true"``, one in a comment.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from weakref import WeakKeyDictionary

from omeconf.core.check import Checked
from omeconf.core.document import Document, Splice, splice
from omeconf.core.mapping import HIDDEN
from omeconf.core.parse import Element
from omeconf.core.snapshot import Snapshot
from omeconf.errors import NotWellFormed

_UNREAD = re.compile(rb"<!--(.*?)-->|<\?(.*?)\?>|<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
"""Comments and processing instructions; and character data, which may look like them."""
Span = tuple[int, int]
_ATTRIBUTE = re.compile(rb"""([^\s=<>/"']+)\s*=\s*("[^"]*"|'[^']*')""")


_MASKED: WeakKeyDictionary[Checked, Snapshot] = WeakKeyDictionary()
"""What has been hidden already."""


def masked(checked: Checked) -> Snapshot:
    """The snapshot with ``***`` for each secret; made once.

    A file of which nothing is known (it is no XML, or cannot be edited) is empty: better too
    little than a secret.
    """
    known = _MASKED.get(checked)
    if known is None:
        known = _MASKED[checked] = _masked(checked)
    return known


def _masked(checked: Checked) -> Snapshot:
    snapshot = checked.snapshot
    files = dict.fromkeys(snapshot.files, b"")
    if checked.root is not None:
        names = {item.name for item in checked.root.item.root.descendants() if item.is_secret}
        read = {file: dict[Span, bool]() for file in snapshot.files}
        for node in checked.root.descendants():
            # a name that is a secret in one place need not be one in another
            span = node.element.start, node.element.end
            if node.element.name in names:
                read[node.document.file][span] = node.item.is_secret
        for file in snapshot.files:
            try:
                document = snapshot.document(file)
            except NotWellFormed:
                continue
            if document.is_editable:
                files[file] = _hidden(document, read[file], names)
    return snapshot.with_bytes(files)


def _hidden(document: Document, read: Mapping[Span, bool], names: Collection[str]) -> bytes:
    """A file without secrets; read tells which elements with such a name are secrets, and which
    are not; one that the engine does not read is.
    """
    found = [
        each
        for element in document.root.descendants()
        if element.name in names and read.get((element.start, element.end), True)
        for each in _of(document.data, element)
    ]
    found += _unread(document.data, names)
    splices: list[Splice] = []
    for each in sorted(set(found), key=lambda each: (each.start, -each.end)):
        if not splices or each.start >= splices[-1].end:
            splices.append(each)
    return splice(document.data, splices)


def _of(data: bytes, secret: Element) -> Iterator[Splice]:
    """All that an element holds, and its attributes but for those that the engine knows."""
    for attribute in _ATTRIBUTE.finditer(data, secret.start, secret.open_end):
        if attribute[1] not in (b"ignore", b"include"):
            start, end = attribute.span(2)
            yield Splice(start + 1, end - 1, HIDDEN.encode())
    if data[secret.open_end : secret.close_start].strip():
        yield Splice(secret.open_end, secret.close_start, HIDDEN.encode())


def _unread(data: bytes, names: Collection[str]) -> Iterator[Splice]:
    """All behind the name of a secret in what the engine does not read, or to its end tag."""
    name = re.compile(rb"\b(%s)\b(?:\s*>)?" % b"|".join(sorted(n.encode() for n in names)))
    for unread in _UNREAD.finditer(data):
        start, end = next(unread.span(group) for group in (1, 2, 3) if unread[group] is not None)
        at = start
        while tag := name.search(data, at, end):
            close = data.find(b"</" + tag[1], tag.end(), end)
            at = end if close < 0 else close + len(tag[1]) + 2
            yield Splice(tag.end(), end if close < 0 else close, HIDDEN.encode())
