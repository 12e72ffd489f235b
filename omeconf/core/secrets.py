"""The files of a configuration with their secrets hidden, for those who may only read.

Hidden is what the engine reads as a secret, and whatever has the name of one where the engine
does not read it: a second element, one below ``ignore="true"``, one in a comment.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from omeconf.core.check import Checked
from omeconf.core.document import Document, Splice
from omeconf.core.mapping import HIDDEN
from omeconf.core.parse import Element
from omeconf.core.snapshot import Snapshot
from omeconf.errors import NotWellFormed

_UNREAD = re.compile(rb"<!--(.*?)-->|<\?(.*?)\?>", re.DOTALL)
"""Comments and processing instructions."""


def masked(checked: Checked) -> Snapshot:
    """The snapshot with ``***`` for each secret.

    A file of which nothing is known (it is no XML, or cannot be edited) is empty: better too
    little than a secret.
    """
    snapshot = checked.snapshot
    files = dict.fromkeys(snapshot.files, b"")
    if checked.root is not None:
        names = {item.name for item in checked.root.item.root.descendants() if item.is_secret}
        is_secret = {
            id(node.element): node.item.is_secret for node in checked.root.descendants()
        }  # a name that is a secret in one place need not be one in another
        for file in snapshot.files:
            try:
                document = snapshot.document(file)
            except NotWellFormed:
                continue
            if document.is_editable:
                secrets = (
                    element
                    for element in document.root.descendants()
                    if is_secret.get(id(element), element.name in names)
                )
                files[file] = _hidden(document, secrets, names)
    return Snapshot(files, main=snapshot.main, folder=snapshot.folder, env=snapshot.env)


def _hidden(document: Document, secrets: Iterable[Element], names: Collection[str]) -> bytes:
    found = [
        Splice(text.start, text.end, HIDDEN.encode())
        for secret in secrets
        for element in secret.descendants()
        for text in element.texts
    ]
    found += _unread(document.data, names)
    splices: list[Splice] = []
    for splice in sorted(set(found), key=lambda each: (each.start, -each.end)):
        if not splices or splice.start >= splices[-1].end:
            splices.append(splice)
    return document.splice(splices).data


def _unread(data: bytes, names: Collection[str]) -> Iterator[Splice]:
    """What stands behind the name of a secret in a comment, up to the next tag if there is one."""
    name = re.compile(rb"<\s*(?:%s)\b(?:\s*>)?" % b"|".join(sorted(n.encode() for n in names)))
    for unread in _UNREAD.finditer(data):
        start, end = unread.span(1 if unread[1] is not None else 2)
        for tag in name.finditer(data, start, end):
            close = data.find(b"</", tag.end(), end)
            yield Splice(tag.end(), end if close < 0 else close, HIDDEN.encode())
