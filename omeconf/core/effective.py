"""One element as the engine sees it, and where it stands in which file.

The effective tree is made of these: what is left of a snapshot after ``ignore="true"``, second
singletons and includes have been carried out (`build.py`). Rules and JSON are read from it, and
edits start from it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from weakref import ref

from omeconf.core.document import Document
from omeconf.core.fold import Block, Folded, FoldedChildren, Names
from omeconf.core.once import LOOKING, MadeOnce
from omeconf.core.parse import Element
from omeconf.core.path import Path, Step
from omeconf.core.schema import NEWEST, Item, Release
from omeconf.core.snapshot import Include
from omeconf.core.values import expand
from omeconf.core.violation import Severity, Violation
from omeconf.errors import NotFound

T = TypeVar("T")
_AT_HAND: deque[EffectiveElement] = deque(maxlen=32)
"""Applications by themselves that were looked into last: about 40 KB each."""
IGNORE_SINCE: Release = (0, 15, 13)
_WILDCARD = re.compile(r"[*?]")


class Filler(Protocol):
    """Knows what is below an element: `build.py` has it."""

    def fill(self, node: EffectiveElement) -> None:
        """Add the children of an element, and tell `written`."""

    def alone(self, block: Block) -> EffectiveElement:
        """A folded application by itself."""


class EffectiveElement:
    """One element as the engine sees it, and where it stands in which file.

    What is below it is found out when it is first asked for. Whoever uses elements holds the root:
    nothing in a tree holds what is above a folded application, so that a large file is gone as
    soon as nobody holds its tree.
    """

    __slots__ = (
        "__weakref__",
        "_children",
        "_document",
        "_filler",
        "_is_inside",
        "_parent",
        "_written",
        "element",
        "item",
        "place",
        "shown",
        "site",
        "via",
    )

    def __init__(
        self,
        item: Item,
        document: Document,
        element: Element,
        *,
        parent: EffectiveElement | None,
        site: Element,
        via: Include | None = None,
        filler: Filler | None = None,
        is_alone: bool = False,
    ) -> None:
        """is_alone: it is a folded application by itself, outside of its file."""
        self.item = item
        is_deep = parent is not None and parent._is_inside
        self._is_inside: bool = is_deep or is_alone or isinstance(element, Folded)
        self._document = document if is_alone else ref(document) if self._is_inside else document
        self.element = element
        """Its content: itself, or the root of the file it includes."""
        self._parent = parent if is_deep or parent is None else ref(parent)
        self.site = site
        """Where it is written: in the file of its parent's content."""
        self.via = via
        """The include that brought it; None if it is written in place."""
        self.place = 1
        """From 1 among the items of its list."""
        self._written: set[str] = set()
        self._children: dict[str, Sequence[EffectiveElement]] = {}
        self._filler = filler
        self.shown: Any = None
        """It as JSON, if it was asked for: `mapping.py` keeps it here, of applications alone."""

    def _filled(self) -> dict[str, Sequence[EffectiveElement]]:
        if self._filler is not None:
            with LOOKING:
                if self._filler is not None:
                    self._filler.fill(self)
                    self._filler = None
        return self._children

    def groups(self) -> Iterable[tuple[str, Sequence[EffectiveElement]]]:
        """Its children by their names; in no particular order of these."""
        return self._filled().items()

    @property
    def document(self) -> Document:
        """The file in which its content stands."""
        found = self._document
        return _held(found) if isinstance(found, ref) else found

    @property
    def parent(self) -> EffectiveElement | None:
        """The element around it; None for the root."""
        found = self._parent
        return _held(found) if isinstance(found, ref) else found

    @property
    def written(self) -> set[str]:
        """Names of the children that are written, also of those whose include finds nothing."""
        self._filled()
        return self._written

    def all(self, name: str) -> Sequence[EffectiveElement]:
        """Its children of that name, in the order of the engine."""
        return self._filled().get(name, ())

    def keys(self, name: str) -> Sequence[str | None]:
        """The keys of its children of that name."""
        children = self.all(name)
        if isinstance(children, FoldedItems):
            return children.names
        return [child.key for child in children]

    def mentioning(self, name: str, word: bytes) -> Iterator[EffectiveElement]:
        """Its children of that name; folded ones only if the word stands in them."""
        children = self.all(name)
        if isinstance(children, FoldedItems):
            for place, block in enumerate(children.blocks):
                if word in block.source:
                    yield children[place]
        else:
            yield from children

    def child(self, step: Step) -> EffectiveElement | None:
        """The child that a step of a Path leads to; None if there is none."""
        children = self.all(step.name)
        if step.key is not None and step.place is None:
            return _first_with(children, step.key)
        return next(
            (
                child
                for child in children
                if (step.key is None or child.key == step.key)
                and (step.place is None or child.place == step.place)
            ),
            None,
        )

    def first(self, name: str) -> EffectiveElement | None:
        """Its child of that name, or the first of them."""
        found = self._filled().get(name)
        return found[0] if found else None

    def below(self, path: str) -> EffectiveElement | None:
        """The element at a path of names, ``Publishers/LLHLS``; the first of each list."""
        node: EffectiveElement | None = self
        for name in path.split("/"):
            node = node.first(name) if node else None
        return node

    def every(self, path: str) -> Iterator[EffectiveElement]:
        """All elements at a path of names, through all items of lists."""
        name, _, rest = path.partition("/")
        for child in self.all(name):
            yield from child.every(rest) if rest else (child,)

    def value(self, path: str = "") -> str:
        """The text here or at a path of names below; "" if it is not there."""
        node = self.below(path) if path else self
        return node.element.value if node else ""

    @property
    def children(self) -> Iterator[EffectiveElement]:
        """All children, in registered order."""
        children = self._filled()
        for name in self.item.children:
            yield from children.get(name, ())

    def descendants(self) -> Iterator[EffectiveElement]:
        """Itself and everything below."""
        yield self
        for child in self.children:
            yield from child.descendants()

    def frame(self) -> Iterator[EffectiveElement]:
        """Itself and everything below, but for folded applications."""
        if self.block is not None:
            return
        yield self
        children = self._filled()
        for name in self.item.children:
            found = children.get(name, ())
            if not isinstance(found, FoldedItems):
                for child in found:
                    yield from child.frame()

    @property
    def block(self) -> Block | None:
        """What it is in its file, if it is a folded application."""
        return self.element.block if isinstance(self.element, Folded) else None

    @property
    def alone(self) -> EffectiveElement:
        """A folded application by itself: it has the same content, but stands in no file, and has
        no place there. It stays at hand for a while, whatever becomes of its file; anything else
        is itself.
        """
        items = self.parent.all(self.item.name) if self.block is not None and self.parent else ()
        return items.alone(self.place - 1) if isinstance(items, FoldedItems) else self

    def is_written_like(self, other: EffectiveElement) -> bool:
        """Whether it and another have the same bytes, which say all about them: nothing inside is
        included or ignored. So they are the same to the engine.
        """
        if not (self._is_inside and other._is_inside):
            return False
        one, two = self.element, other.element
        if one.end - one.start != two.end - two.start:
            return False
        return self.document.source(one) == other.document.source(two)

    @property
    def older(self) -> EffectiveElement | None:
        """What stood in the place of a folded application before an edit, alone; if at hand."""
        block = self.block
        before = block.older() if block is not None else None
        tree: EffectiveElement | None = before.tree() if before is not None else None
        return tree

    @property
    def key(self) -> str | None:
        """The text of its Name, if it is a list item that has one."""
        if not self.item.is_list:
            return None
        if isinstance(self.element, Folded):
            return self.element.block.name
        name = self.first("Name")
        return name.element.value if name else None

    @property
    def step(self) -> Step:
        """The step of a Path that leads to it."""
        if not self.item.is_list:
            return Step(self.item.name)
        key = self.key
        if key is None or self.parent is None:
            return Step(self.item.name, None, self.place)
        twin = _first_with(self.parent.all(self.item.name), key)
        return Step(
            self.item.name, key if twin is self else None, None if twin is self else self.place
        )

    @property
    def path(self) -> Path:
        """Its address."""
        return self.parent.path / self.step if self.parent else Path((self.step,))

    @property
    def place_path(self) -> str:
        """Its address with places, as violations show it: ``/Server/IP[2]``."""
        own = f"{self.item.name}[{self.place}]" if self.item.is_list else self.item.name
        return f"{self.parent.place_path if self.parent else ''}/{own}"

    @property
    def is_wildcard(self) -> bool:
        """Whether it came by an include that may match several files."""
        return self.via is not None and _WILDCARD.search(self.via.pattern) is not None

    def find(self, path: Path) -> EffectiveElement:
        """The element at a path. Raises NotFound, which names the nearest that exists."""
        node = self
        for step in path.steps[1:]:
            found = node.child(step)
            if found is None:
                raise NotFound(f"cannot find {step} in {node.path}")
            node = found
        return node

    def violation(
        self,
        severity: Severity,
        code: str,
        message: str,
        *,
        hint: str = "",
        says: str = "",
        at_value: bool = False,
        attribute: str = "",
    ) -> Violation:
        """Something wrong with this element, at its name, its value or one of its attributes."""
        if attribute:
            line, column = self.document.place_of_attribute(self.element, attribute)
        elif at_value:
            line, column = self.document.place_of_value(self.element)
        else:
            line, column = self.document.place(self.element.start + 1)
        return Violation(
            severity, code, self.document.file, line, column, self.place_path, message, hint, says
        )

    def __repr__(self) -> str:
        return f"<EffectiveElement {self.place_path}>"

    def add(self, child: EffectiveElement) -> None:
        """Used while the tree is built: one more child, in the order of the engine."""
        siblings = self._children.setdefault(child.item.name, [])
        assert isinstance(siblings, list), "folded applications have no others beside them"
        siblings.append(child)
        child.place = len(siblings)

    def add_written(self, names: Iterable[str]) -> None:
        """Used while the tree is built: which children are written."""
        self._written.update(names)

    def add_folded(self, item: Item, elements: FoldedChildren, filler: Filler) -> None:
        """Used while the tree is built: all children of that kind, folded."""
        self._children[item.name] = FoldedItems(self, item, elements, filler)


def keep_at_hand(block: Block, tree: EffectiveElement) -> None:
    """Keep what an application is by itself, as long as it is one of those looked at last."""
    block.tree = ref(tree)
    _AT_HAND.append(tree)


class FoldedItems(MadeOnce[EffectiveElement]):
    """Folded applications as the engine sees them, each made when it is asked for."""

    def __init__(
        self, parent: EffectiveElement, item: Item, elements: FoldedChildren, filler: Filler
    ) -> None:
        super().__init__()
        self._parent = ref(parent)
        self._item = item
        self._elements = elements
        self._filler = filler

    @property
    def _around(self) -> EffectiveElement:
        return _held(self._parent)

    @property
    def path(self) -> Path:
        """The address of the element around them."""
        return self._around.path

    @property
    def names(self) -> Names:
        """Their names, in order."""
        return self._elements.run.names

    @property
    def blocks(self) -> Sequence[Block]:
        """What they are in the file, in order."""
        return self._elements.run.blocks

    def __len__(self) -> int:
        return len(self._elements)

    def _make(self, number: int) -> EffectiveElement:
        parent, element = self._around, self._elements[number]
        found = EffectiveElement(
            self._item, parent.document, element, parent=parent, site=element,
            filler=self._filler,
        )  # fmt: skip
        found.place = number + 1
        return found

    def alone(self, number: int) -> EffectiveElement:
        """One of them by itself (`EffectiveElement.alone`)."""
        block = self.blocks[number]
        with LOOKING:
            tree: EffectiveElement | None = block.tree()
            if tree is None:
                tree = self._filler.alone(block)
                keep_at_hand(block, tree)
        return tree

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """The number of an element."""
        number: int = value.place - 1
        if start <= number < (len(self) if stop is None else stop) and self[number] is value:
            return number
        raise ValueError(f"{value!r} is not among them")


def _held(found: ref[T]) -> T:
    """What something refers to that does not hold it."""
    held = found()
    assert held is not None, "hold the root of a tree while its elements are used"
    return held


def _first_with(children: Sequence[EffectiveElement], key: str) -> EffectiveElement | None:
    """The first child with that key."""
    if isinstance(children, FoldedItems):
        try:
            return children[children.names.index(key)]
        except ValueError:
            return None
    return next((child for child in children if child.key == key), None)


def is_ignored(
    element: Element, env: Mapping[str, str] | None, release: Release = (0, 21, NEWEST)
) -> bool:
    """Whether the engine counts an element as absent; releases before 0.15.13 never do."""
    if release < IGNORE_SINCE:
        return False
    value = element.attributes.get("ignore")
    return value is not None and expand(value, env) == "true"
