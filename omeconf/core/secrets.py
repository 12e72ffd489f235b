"""The files of a configuration with their secrets hidden, for those who may only read."""

from __future__ import annotations

from collections import defaultdict

from omeconf.core.check import Checked
from omeconf.core.document import Document, Splice
from omeconf.core.mapping import HIDDEN
from omeconf.core.snapshot import Snapshot


def masked(checked: Checked) -> Snapshot:
    """The snapshot with ``***`` for each secret that the engine reads.

    A file of which nothing is known (it is no XML, or holds what the engine does not see) is
    empty: better too little than a secret.
    """
    splices: defaultdict[str, list[Splice]] = defaultdict(list)
    known: set[str] = set()
    if checked.root is not None:
        for node in checked.root.descendants():
            known.add(node.document.file)
            if node.item.is_secret:
                for text in node.element.texts:
                    splices[node.document.file].append(
                        Splice(text.start, text.end, HIDDEN.encode())
                    )
    snapshot = checked.snapshot
    hidden: dict[str, Document] = {}
    for file, found in splices.items():
        unique = sorted(set(found), key=lambda each: each.start)
        hidden[file] = snapshot.document(file).splice(unique)
    shown = snapshot.replace(hidden)
    files = {file: data if file in known else b"" for file, data in shown.files.items()}
    return Snapshot(files, main=snapshot.main, folder=snapshot.folder, env=snapshot.env)
