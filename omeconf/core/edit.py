"""Edits: create, merge, replace or delete at a Path; carried out as splices of the files.

A change is the smallest element-wise difference between what is there and what is wanted: list
items are matched by their Name (else by content, then by place), so comments inside what stays
are untouched, and a value that is equal as its type reads it changes no byte.
"""

from __future__ import annotations

import enum
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher

from omeconf.core.document import Document, Node, Part, Splice, splice
from omeconf.core.effective import EffectiveElement, is_ignored
from omeconf.core.fold import APPLICATION
from omeconf.core.fragment import new, refusal, rewriting
from omeconf.core.mapping import Json, Target, from_json, merged, patched, to_json, typed
from omeconf.core.parse import Element
from omeconf.core.path import Path, Step
from omeconf.core.schema import Item
from omeconf.core.snapshot import Snapshot
from omeconf.errors import AlreadyExists, BadBody, Conflict, NotFound, NotWellFormed, ReadOnly

_TO_APPLICATION = 5
"""Steps from Server to an application."""


class Verb(enum.StrEnum):
    """What an edit does at its path."""

    CREATE = "create"
    MERGE = "merge"
    REPLACE = "replace"
    PATCH = "patch"
    SET = "set"
    REWRITE = "rewrite"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Edit:
    """One change: a value in a request, not a session on the server."""

    verb: Verb
    path: Path
    value: Json = None
    """The JSON of the element (create, replace, set), a merge patch (merge, RFC 7396), a JSON Patch
    (patch, RFC 6902), or the element as XML (rewrite, create); nothing for delete. set is create,
    or replace if it is there."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A base revision and the edits to make on it, with who wants them and why."""

    base: int
    """Revision number the caller has seen; 0: whatever is newest."""
    edits: tuple[Edit, ...]
    author: str = ""
    message: str = ""


def apply(snapshot: Snapshot, root: EffectiveElement, edit: Edit) -> Snapshot:
    """The snapshot with one edit carried out; root is its effective tree.

    Raises NotFound, AlreadyExists, BadBody, Conflict, ReadOnly, or of a rewrite Refused (no XML);
    then nothing has changed.
    """
    editor = _Editor(snapshot, root)
    _must_be_one(root, edit.path.parent if edit.verb is Verb.CREATE else edit.path)
    if edit.verb is Verb.CREATE or (edit.verb is Verb.SET and not editor.has(edit.path)):
        editor.create(root, edit.path, edit.value)
    elif edit.verb is Verb.DELETE:
        editor.delete(editor.find(edit.path, as_whole=True))
    elif edit.verb is Verb.REWRITE:
        node = root.find(edit.path)
        editor.add(node.document, rewriting(node, edit.value))
    else:
        node = editor.find(edit.path)
        if edit.verb in (Verb.REPLACE, Verb.SET):
            editor.reconcile(node, from_json(node.item, edit.value))
        elif edit.verb is Verb.PATCH:
            whole = patched(to_json(node), edit.value)
            editor.reconcile(node, from_json(node.item, whole))
        else:
            editor.merge(node, edit.value)
    return editor.result()


class _Editor:
    """Collects splices by file, and writes them all at once."""

    def __init__(self, snapshot: Snapshot, root: EffectiveElement) -> None:
        self.snapshot = snapshot
        self.root = root
        self.splices: defaultdict[str, list[Splice]] = defaultdict(list)
        self.parts: dict[Document, Part] = {}
        """Folded applications that are edited, by their own documents."""

    def find(self, path: Path, *, as_whole: bool = False) -> EffectiveElement:
        """The element at a path; inside a folded application, it is one of the tree that this has
        by itself. Raises NotFound. as_whole: of an application, the one in its file.
        """
        above = Path(path.steps[:_TO_APPLICATION])
        if len(path.steps) >= _TO_APPLICATION + as_whole and above.last.name == APPLICATION:
            node = self.root.find(above)
            alone = self.alone(node)
            with suppress(NotFound):
                return alone.find(Path(path.steps[_TO_APPLICATION - 1 :]))
        return self.root.find(path)

    def has(self, path: Path) -> bool:
        """Whether there is something at a path."""
        try:
            self.find(path)
        except NotFound:
            return False
        return True

    def alone(self, node: EffectiveElement) -> EffectiveElement:
        """An element, or if it is a folded application, that by itself."""
        alone = node.alone
        if alone is not node:
            piece = alone.document
            self.parts[piece] = Part(piece, node.document, node.site.start)
        return alone

    def document(self, node: EffectiveElement) -> Document:
        """Where an element is edited."""
        return self.parts.get(node.document, node.document)

    def result(self) -> Snapshot:
        documents: dict[str, Document] = {}
        for file, splices in self.splices.items():
            if not self.snapshot.is_inside(file):
                raise ReadOnly(f"{file} lies outside the configuration folder: edit it there")
            self._must_be_included_once(file)
            try:
                documents[file] = self.snapshot.document(file).splice(splices)
            except NotWellFormed as error:  # what was given as text is nested too deep there
                raise refusal(error) from None
        return self.snapshot.replace(documents) if documents else self.snapshot

    def _must_be_included_once(self, file: str) -> None:
        """An edit of a file that stands for several elements would change them all."""
        if not self.snapshot.includes:
            return
        places = [
            node.place_path
            for node in self.root.frame()
            if node.document.file == file and (node.parent is None or node.via is not None)
        ]
        if len(places) > 1:
            raise Conflict(
                f"{file} is included in {len(places)} places ({', '.join(places)}), which would "
                "all change: edit it by hand"
            )

    def add(self, document: Document, splices: Sequence[Splice]) -> None:
        if not splices:
            return
        start = document.start if isinstance(document, Part) else 0
        shifted = (Splice(s.start + start, s.end + start, s.text) for s in splices)
        self.splices[document.file] += shifted

    # -- create and delete -----------------------------------------------------------------

    def create(self, root: EffectiveElement, path: Path, value: Json) -> None:
        """Insert an element, and the wrappers around it that are not there yet."""
        item, last = _item_at(root, path), path.last
        if last != Step(last.name) or not item.is_list:
            self._must_be_new(root, path)
        parent, rest = _nearest(root, path)
        document = self.document(parent)
        if isinstance(value, str) and item.is_object and value.lstrip().startswith("<"):
            node, key = new(document, item, value)
        else:
            target = from_json(item, value)
            node, key = target.node(), target.key
        if last.key is not None and key != last.key:
            raise BadBody(f'the name is "{key}", but the path says "{last.key}"')
        if last.key is None and key is not None:
            self._must_be_new(root, path.parent / Step(last.name, key))
        if any(step.key is not None or step.place is not None for step in rest[:-1]):
            root.find(path.parent)  # raises NotFound, naming the nearest that exists
        for step in reversed(rest[:-1]):
            node = Node(step.name, children=(node,))
        child_item = parent.item.children[rest[0].name]
        siblings = parent.all(child_item.name)
        anchor = siblings[-1].site if siblings else self._anchor(parent, child_item, set())
        self.add(document, document.insert(parent.element, node, after=anchor))

    def _must_be_new(self, root: EffectiveElement, path: Path) -> None:
        with suppress(NotFound):
            root.find(path)
            raise AlreadyExists(f"{path} already exists")

    def delete(self, node: EffectiveElement) -> None:
        """Take an element away, with every later one that the engine would read instead."""
        parent = node.parent
        if parent is None:
            raise Conflict("the root element cannot be deleted")
        document = self.document(parent)
        gone = self._deletable(node)
        self.add(document, document.edit_children(parent.element, deletions=gone))

    def _deletable(self, node: EffectiveElement) -> list[Element]:
        if node.is_wildcard:
            raise Conflict(
                f"{node.item.name} {node.key or ''} comes from {node.document.file}, found by "
                f'include="{node.via.pattern if node.via else ""}": delete that file by hand'
            )
        assert node.parent is not None
        if node.item.is_list:
            return [node.site]
        return [
            element
            for element in node.parent.element.children
            if element.name == node.item.name and not is_ignored(element, self.snapshot.env)
        ]

    # -- reconcile -------------------------------------------------------------------------

    def merge(self, node: EffectiveElement, patch: Json) -> None:
        """Carry out a merge patch. If it only gives values that are there others, no more than
        those is looked at.
        """
        leaves = _leaves(node, patch)
        if leaves is None:
            self.reconcile(node, from_json(node.item, merged(to_json(node), patch)))
        else:
            for leaf, value in leaves:
                self.reconcile(leaf, from_json(leaf.item, value))

    def reconcile(self, node: EffectiveElement, target: Target) -> None:
        """Make an element what target says, with the fewest splices."""
        item = node.item
        if item.type is not None:
            if typed(node.element.value, item.type) != typed(target.text, item.type):
                document = self.document(node)
                self.add(document, document.set_text(node.element, target.text))
            return
        plan = _Children()
        for name, child_item in item.children.items():
            current, wanted = node.all(name), target.children.get(name, [])
            if child_item.is_list:
                self._reconcile_list(node, child_item, current, wanted, plan)
            elif current and wanted:
                self.reconcile(current[0], wanted[0])
            elif current:
                plan.deletions += self._deletable(current[0])
            elif wanted:
                anchor = self._anchor(node, child_item, set(plan.deletions))
                plan.insertions.append((anchor, wanted[0].node()))
        document = self.document(node)
        self.add(
            document,
            document.edit_children(
                node.element,
                deletions=plan.deletions,
                insertions=plan.insertions,
                moved=plan.moved,
            ),
        )

    def _reconcile_list(
        self,
        node: EffectiveElement,
        item: Item,
        current: Sequence[EffectiveElement],
        wanted: Sequence[Target],
        plan: _Children,
    ) -> None:
        old = [_identity(child) for child in current]
        new = [_target_identity(target) for target in wanted]
        steps = list(_pair(old, new, current, wanted))
        gone = {old[i]: current[i] for i, j in steps if i is not None and j is None}
        if current:
            anchor = _previous(node.element, current[0].site)
        else:
            anchor = self._anchor(node, item, set(plan.deletions))
        back = {new[j] for i, j in steps if i is None and j is not None and new[j] in gone}
        for i, j in steps:
            if i is not None and j is not None:
                self.reconcile(current[i], wanted[j])
            elif i is not None and old[i] in back:
                self._deletable(current[i])
                plan.moved.append(current[i].site)
            elif i is not None:
                plan.deletions += self._deletable(current[i])
            elif j is not None:
                moved = gone.get(new[j])
                written = wanted[j].node() if moved is None else self._moved(moved, wanted[j])
                _must_be_a_place(current, anchor)
                plan.insertions.append((anchor, written))
            if i is not None:
                anchor = current[i].site

    def _moved(self, node: EffectiveElement, target: Target) -> Node:
        """An element that changes its place in a list: its own bytes, with its comments."""
        assert node.parent is not None, "an item of a list has a parent"
        document = self.document(node.parent)
        start, end = document.belongings(node.site)
        source = document.data[start:end]
        if isinstance(document, Part):
            start += document.start
        if node.via is not None:
            self.reconcile(node, target)
            return Node(node.item.name, verbatim=source)
        inner = _Editor(self.snapshot, self.root)
        inner.parts = self.parts
        inner.reconcile(node, target)
        own = inner.splices.pop(document.file, [])
        for file, splices in inner.splices.items():
            self.splices[file] += splices
        shifted = [Splice(s.start - start, s.end - start, s.text) for s in own]
        return Node(node.item.name, verbatim=splice(source, shifted))

    def _anchor(self, node: EffectiveElement, item: Item, leaving: set[Element]) -> Element | None:
        """Behind which child a new one goes: the last that the engine registers before it."""
        order = list(node.item.children)
        rank = order.index(item.name)
        before = [
            element
            for element in node.element.children
            if element.name in order[: rank + 1] and element not in leaving
        ]
        return before[-1] if before else None


class _Children:
    """What is to happen to the children of one element."""

    def __init__(self) -> None:
        self.deletions: list[Element] = []
        self.insertions: list[tuple[Element | None, Node]] = []
        self.moved: list[Element] = []


def _leaves(node: EffectiveElement, patch: Json) -> list[tuple[EffectiveElement, Json]] | None:
    """The values that a merge patch gives to leaves below an element; None if it does more."""
    if not isinstance(patch, dict) or not patch or node.item.flat_child is not None:
        return None
    found: list[tuple[EffectiveElement, Json]] = []
    for key, value in patch.items():
        item = node.item.by_json(key)
        child = None if item is None or item.is_list else node.first(item.name)
        if item is None or child is None or value is None:
            return None
        if item.type is None:
            deeper = _leaves(child, value)
            if deeper is None:
                return None
            found += deeper
        elif isinstance(value, dict | list):
            return None
        else:
            found.append((child, value))
    return found


def _must_be_one(root: EffectiveElement, path: Path) -> None:
    """Raise Conflict for a path that does not say which of several it means."""
    above: EffectiveElement | None = root
    for number, step in enumerate(path.steps[1:], 2):
        if above is None:
            return
        if step.key is None and step.place is None and len(above.all(step.name)) > 1:
            item = above.item.children.get(step.name)
            if item is not None and item.is_list:
                names = ", ".join(str(each.path.last) for each in above.all(step.name)[:3])
                where = Path(path.steps[:number])
                raise Conflict(f"there are several {where}: say which, for instance {names}")
        above = above.child(step)


def _nearest(root: EffectiveElement, path: Path) -> tuple[EffectiveElement, list[Step]]:
    """The innermost element around a path that is there, and the steps from it."""
    parent, rest = root, list(path.steps[1:])
    while len(rest) > 1:
        child = parent.child(rest[0])
        if child is None:
            break
        parent = child
        rest.pop(0)
    return parent, rest


def _item_at(root: EffectiveElement, path: Path) -> Item:
    """What may stand at a path. Raises BadBody if nothing may."""
    item = root.item
    for step in path.steps[1:]:
        if step.name not in item.children:
            raise BadBody(f"there can be no {step.name} in {item.path}")
        item = item.children[step.name]
    return item


def _pair(
    old: Sequence[str],
    new: Sequence[str],
    current: Sequence[EffectiveElement],
    wanted: Sequence[Target],
) -> Iterator[tuple[int | None, int | None]]:
    """Which items stay, go (i, None) or come (None, j), in the order of both lists.

    Equal ones stay. Where some were replaced by others, those without a Name are taken by their
    place; and so are as many named ones as before, if neither name is elsewhere: a new name.
    """
    for verb, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        is_same_count = i2 - i1 == j2 - j1
        for offset in range(max(i2 - i1, j2 - j1)):
            i = i1 + offset if offset < i2 - i1 else None
            j = j1 + offset if offset < j2 - j1 else None
            stays = (
                verb == "equal"
                or (i is None or j is None)
                or (current[i].key is None and wanted[j].key is None)
                or (is_same_count and old[i] not in new and new[j] not in old)
            )
            if stays:
                yield i, j
            else:
                yield i, None
                yield None, j


def _must_be_a_place(current: Sequence[EffectiveElement], anchor: Element | None) -> None:
    """Between two items of one include there is no place to write anything."""
    sites = [node.site for node in current]
    if anchor is not None and sites.count(anchor) > 1:
        raise Conflict(
            "nothing can be put among the items that one include brings: change its files by hand"
        )


def _previous(parent: Element, child: Element) -> Element | None:
    place = parent.children.index(child)
    return parent.children[place - 1] if place else None


def _identity(node: EffectiveElement) -> str:
    """What tells a list item apart: its Name, else its content."""
    if node.item.type is not None:
        return node.element.value
    return node.key if node.key is not None else _canonical(to_json(node))


def _target_identity(target: Target) -> str:
    if target.item.type is not None:
        return target.text
    return target.key if target.key is not None else _canonical(_target_json(target))


def _target_json(target: Target) -> Json:
    if target.item.type is not None:
        return typed(target.text, target.item.type)
    flat = target.item.flat_child
    if flat is not None and target.children.get(flat.name):
        return [_target_json(child) or None for child in target.children[flat.name]]
    result: dict[str, Json] = {}
    for name, item in target.item.children.items():
        found = target.children.get(name)
        if found and item.is_list:
            result[item.json] = [_target_json(child) for child in found]
        elif found:
            result[item.json] = _target_json(found[0])
    return result


def _canonical(value: Json) -> str:
    return json.dumps(value, sort_keys=True)
