"""One element as the engine sees it, and where it stands in which file.

The effective tree is made of these: what is left of a snapshot after ``ignore="true"``, second
singletons and includes have been carried out (`build.py`). Rules and JSON are read from it, and
edits start from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from omeconf.core.document import Document
from omeconf.core.parse import Element
from omeconf.core.path import Path, Step
from omeconf.core.schema import NEWEST, Item, Release
from omeconf.core.snapshot import Include
from omeconf.core.values import expand
from omeconf.core.violation import Severity, Violation
from omeconf.errors import NotFound

IGNORE_SINCE: Release = (0, 15, 13)
_WILDCARD = re.compile(r"[*?]")


class EffectiveElement:
    """One element as the engine sees it, and where it stands in which file."""

    __slots__ = (
        "_children",
        "document",
        "element",
        "item",
        "parent",
        "place",
        "site",
        "via",
        "written",
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
    ) -> None:
        self.item = item
        self.document = document
        """The file in which its content stands."""
        self.element = element
        """Its content: itself, or the root of the file it includes."""
        self.parent = parent
        self.site = site
        """Where it is written: in the file of its parent's content."""
        self.via = via
        """The include that brought it; None if it is written in place."""
        self.place = 1
        """From 1 among the items of its list."""
        self.written: set[str] = set()
        """Names of the children that are written, also of those whose include finds nothing."""
        self._children: dict[str, list[EffectiveElement]] = {}

    def all(self, name: str) -> Sequence[EffectiveElement]:
        """Its children of that name, in the order of the engine."""
        return self._children.get(name, ())

    def first(self, name: str) -> EffectiveElement | None:
        """Its child of that name, or the first of them."""
        found = self._children.get(name)
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
        for name in self.item.children:
            yield from self._children.get(name, ())

    def descendants(self) -> Iterator[EffectiveElement]:
        """Itself and everything below."""
        yield self
        for child in self.children:
            yield from child.descendants()

    @property
    def key(self) -> str | None:
        """The text of its Name, if it is a list item that has one."""
        if not self.item.is_list:
            return None
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
        twin = next((s for s in self.parent.all(self.item.name) if s.key == key), None)
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
            found = next(
                (
                    child
                    for child in node.all(step.name)
                    if (step.key is None or child.key == step.key)
                    and (step.place is None or child.place == step.place)
                ),
                None,
            )
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
        siblings.append(child)
        child.place = len(siblings)


def is_ignored(
    element: Element, env: Mapping[str, str] | None, release: Release = (0, 21, NEWEST)
) -> bool:
    """Whether the engine counts an element as absent; releases before 0.15.13 never do."""
    if release < IGNORE_SINCE:
        return False
    value = element.attributes.get("ignore")
    return value is not None and expand(value, env) == "true"
