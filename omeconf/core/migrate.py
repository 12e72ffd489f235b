"""Rewrite what older releases named otherwise, so that a newer release of the engine takes it.

Which names those are, and what became of them, the XSD says (``o:former``, ``becomes``). An element
that only has another name is renamed, one that lies elsewhere is moved, and one that is gone is put
into a comment with the reason: nothing is thrown away, and every other byte stays.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from omeconf.core.build import build
from omeconf.core.document import Node, Splice
from omeconf.core.effective import EffectiveElement, is_ignored
from omeconf.core.parse import Element
from omeconf.core.schema import Former, Release, Schema, parse_release
from omeconf.core.snapshot import Snapshot
from omeconf.core.values import to_int

MACROS_SINCE: Release = (0, 13, 0)
_MACROS = {b"${ome.AppHome}": b"${ome:Home}", b"${ome.CurrentPath}": b"${ome:CurrentPath}"}
"""Macros of 0.12 and older, and how they are spelled since."""
_OLD_MACRO = re.compile(b"|".join(re.escape(old) for old in _MACROS))
_OLDEST_VERSION = 8
"""The version attribute that 0.12 to 0.21 all take."""
_PASSES = 10
"""What a renamed element holds is looked at in the next pass."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing rewritten, or left for a person to rewrite."""

    file: str
    path: str
    verb: str
    """renamed, moved, removed, changed; or left, where the file cannot be edited."""
    detail: str
    """What it has become, or why it is gone."""

    def __str__(self) -> str:
        return f"{self.file}: {self.verb} {self.path}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Migrated:
    """A snapshot as a newer release wants it, and what was done for it."""

    snapshot: Snapshot
    steps: tuple[Step, ...]


def migrate(snapshot: Snapshot, schema: Schema) -> Migrated:
    """The snapshot with everything rewritten that the schema's release names otherwise.

    What no release ever knew stays as it is: that is for `check` to tell.
    """
    steps: list[Step] = []
    for _ in range(_PASSES):
        migration = _Pass(snapshot, schema)
        migration.run()
        steps += (step for step in migration.steps if step not in steps)
        if not migration.splices:
            break
        snapshot = snapshot.replace(
            {
                file: snapshot.document(file).splice(splices)
                for file, splices in migration.splices.items()
            }
        )
    return Migrated(snapshot, tuple(steps))


def last_release_for(snapshot: Snapshot, schema: Schema) -> str:
    """The last release that knew every former name in a snapshot; "" if there is none."""
    found = _Pass(snapshot, schema)
    found.run()
    releases = [former.until for former in found.formers if former.until]
    is_known = len(releases) == len(found.formers) and all(f.type for f in found.formers)
    return min(releases, key=parse_release) if releases and is_known else ""


class _Pass:
    """One pass over the effective tree; collects splices by file, and steps."""

    def __init__(self, snapshot: Snapshot, schema: Schema) -> None:
        self.snapshot = snapshot
        self.schema = schema
        self.splices: dict[str, list[Splice]] = defaultdict(list)
        self.steps: list[Step] = []
        self.formers: list[Former] = []
        self._seen: set[tuple[str, int]] = set()
        """Elements that are done: a file may be included twice."""

    def run(self) -> None:
        root = build(self.snapshot, self.schema)
        if root is None:
            return
        self._version(root)
        for node in root.descendants():
            self._macros(node)
            for element, former in self._formers_in(node):
                self.formers.append(former)
                self._rewrite(node, element, former)
            self._superseded(node)

    def _formers_in(self, node: EffectiveElement) -> Iterator[tuple[Element, Former]]:
        known = node.item.children
        for element in node.element.children:
            is_leaf = element.name in known and not known[element.name].is_object
            for former in node.item.formers:
                if former.name != element.name or is_ignored(element, self.snapshot.env):
                    continue
                # Providers/FILE was an object, and is a switch of the same name now
                if element.name not in known or (is_leaf and element.children):
                    yield element, former
                    break

    def _rewrite(self, node: EffectiveElement, element: Element, former: Former) -> None:
        gone = f"removed after {former.until}" if former.until else "never known here"
        *way, name = former.becomes.split("/")
        if not former.becomes or (way or [name])[0] not in node.item.children:
            reason = f"{gone}, use {former.use}" if former.use else gone
            self._remove(node, element, reason)
        elif node.below(former.becomes) is not None and not self._is_list(node, name):
            self._remove(node, element, f"{gone}, and {former.becomes} is there already")
        elif way:
            self._move(node, element, former.becomes)
        else:
            splices = node.document.rename(element, name) if self._may_edit(node) else ()
            self._done(node, element, "renamed", f"<{name}>", splices)

    def _superseded(self, node: EffectiveElement) -> None:
        """A name that is still taken, but deprecated, and means the same as a sibling."""
        name, parent = node.item.becomes, node.parent
        if parent is None or name not in parent.item.children or parent.first(name) is not None:
            return
        splices = node.document.rename(node.element, name) if self._may_edit(node) else ()
        self._done(parent, node.element, "renamed", f"<{name}>", splices)

    def _remove(self, node: EffectiveElement, element: Element, reason: str) -> None:
        splices: tuple[Splice, ...] = ()
        if self._may_edit(node):
            splices = node.document.comment_out(element, f"omeconf: {reason}")
        self._done(node, element, "removed", reason, splices)

    def _move(self, node: EffectiveElement, element: Element, to: str) -> None:
        way = to.split("/")[:-1]
        target: EffectiveElement = node
        while way and (deeper := target.first(way[0])) is not None:
            target, way = deeper, way[1:]
        if not self._may_edit(node) or target.document is not node.document:
            self._done(node, element, "left", f"move it to {to}", ())
            return
        document = node.document
        moving = document.moving(element, deeper=to.count("/"))
        for name in reversed(way):
            moving = Node(name, children=(moving,))
        if target is node:
            splices = document.edit_children(
                node.element, moved=[element], insertions=[(element, moving)]
            )
        else:
            last = target.element.children[-1] if target.element.children else None
            splices = document.edit_children(node.element, moved=[element])
            splices += document.insert(target.element, moving, after=last)
        self._done(node, element, "moved", to, splices)

    def _macros(self, node: EffectiveElement) -> None:
        """``${ome.AppHome}`` and the like, in values and attributes."""
        if self.schema.release < MACROS_SINCE or b"${ome." not in node.document.data:
            return
        document, element = node.document, node.element
        spans = [(element.start, element.open_end)]
        spans += ((text.start, text.end) for text in element.texts)
        for start, end in spans:
            for match in _OLD_MACRO.finditer(document.data, start, end):
                old, new = match[0], _MACROS[match[0]]
                key = (document.file, match.start())
                if key in self._seen or not self._may_edit(node):
                    continue
                self._seen.add(key)
                self.splices[document.file].append(Splice(match.start(), match.end(), new))
                detail = f"{old.decode()} to {new.decode()}"
                self.steps.append(Step(document.file, node.place_path, "changed", detail))

    def _version(self, root: EffectiveElement) -> None:
        written = root.element.attributes.get("version", "")
        if not 0 < to_int(written) < _OLDEST_VERSION or not self._may_edit(root):
            return
        new = str(_OLDEST_VERSION)
        self.splices[root.document.file] += root.document.set_attribute(
            root.element, "version", new
        )
        self.steps.append(Step(root.document.file, "/Server", "changed", f'version="{new}"'))

    def _is_list(self, node: EffectiveElement, name: str) -> bool:
        item = node.item.children.get(name)
        return item is not None and item.is_list

    def _may_edit(self, node: EffectiveElement) -> bool:
        document = node.document
        return document.is_editable and self.snapshot.is_inside(document.file)

    def _done(
        self,
        node: EffectiveElement,
        element: Element,
        verb: str,
        detail: str,
        splices: Sequence[Splice],
    ) -> None:
        file = node.document.file
        if (file, element.start) in self._seen:
            return
        self._seen.add((file, element.start))
        if not splices and verb != "left":
            verb, detail = "left", f"{file} cannot be edited: {detail}"
        self.splices[file] += splices
        if not self.splices[file]:
            del self.splices[file]
        self.steps.append(Step(file, f"{node.place_path}/{element.name}", verb, detail))
