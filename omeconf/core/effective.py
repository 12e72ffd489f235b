"""The effective tree: what the engine sees of a snapshot, and what is wrong with its structure.

Rules (all tried on the engine):
* ``ignore="true"`` makes an element count as absent.
* Of an element that may be written once, the first counts; the others are not even looked at.
* An include takes the place of the element: one file for an object, any number for list items.
* A leaf's value is its first text; elements inside a leaf are not looked at.
* An unknown element, or text between elements, keeps the engine from starting.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from omeconf.core.document import Document, Element
from omeconf.core.path import Path, Step
from omeconf.core.schema import Item, Schema
from omeconf.core.snapshot import Include, Snapshot
from omeconf.core.values import expand
from omeconf.core.violation import Severity, Violation
from omeconf.errors import NotFound, NotWellFormed

_WILDCARD = re.compile(r"[*?]")


class EffectiveElement:
    """One element as the engine sees it, and where it stands in which file."""

    __slots__ = ("_children", "document", "element", "item", "parent", "place", "site", "via")

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
    ) -> Violation:
        """Something wrong with this element, at its name or its value."""
        place = self.document.place_of_value if at_value else self._place_of_name
        line, column = place(self.element)
        return Violation(
            severity, code, self.document.file, line, column, self.place_path, message, hint, says
        )

    def _place_of_name(self, element: Element) -> tuple[int, int]:
        return self.document.place(element.start + 1)

    def __repr__(self) -> str:
        return f"<EffectiveElement {self.place_path}>"


@dataclass(frozen=True, slots=True)
class Effective:
    """The effective tree of a snapshot, and what was found wrong while building it."""

    root: EffectiveElement | None
    """None if there is no tree: the main file cannot be read at all."""
    violations: tuple[Violation, ...]


def effective(snapshot: Snapshot, schema: Schema) -> Effective:
    """What the engine sees of a snapshot."""
    builder = _Builder(snapshot, schema)
    root = builder.build()
    return Effective(root, tuple(builder.violations))


class _Builder:
    def __init__(self, snapshot: Snapshot, schema: Schema) -> None:
        self.snapshot = snapshot
        self.schema = schema
        self.violations: list[Violation] = []
        self.open_files: list[tuple[str, str]] = []
        """The files we are inside of, with their current folders."""
        self.root: EffectiveElement | None = None

    def build(self) -> EffectiveElement | None:
        main = self.snapshot.main
        if self.snapshot.legacy:
            self.report_file(
                main,
                "legacy-file",
                f"{self.snapshot.legacy} lies in the folder: the engine refuses to start",
                hint=f"move or delete {self.snapshot.legacy}",
                says="Legacy config file found.",
            )
        document = self.document(main)
        if document is None:
            return None
        root = document.root
        if not self.is_root(document, self.schema.root, "/"):
            return None
        if self.is_ignored(root):
            self.report(
                document,
                root,
                "/Server",
                Severity.ERROR,
                "ignored-root",
                'the engine cannot read the attributes of a root with ignore="true"',
                hint="remove the ignore attribute",
                says="Server.version is not optional",
            )
        self.open_files.append((main, ""))
        self.add(None, self.schema.root, document, root, "", site=root)
        return self.root

    # -- one element -----------------------------------------------------------------------

    def add(
        self,
        parent: EffectiveElement | None,
        item: Item,
        document: Document,
        element: Element,
        current: str,
        *,
        site: Element,
        via: Include | None = None,
        lenient: bool = False,
    ) -> None:
        """Add to parent what an element stands for: itself, or the roots of what it includes.

        site is where it is written, via the include that led here. lenient: the engine does
        not refuse unknown children at this place.
        """
        node = EffectiveElement(item, document, element, parent=parent, site=site, via=via)
        include = element.attributes.get("include")
        if include is None or not (item.is_object or item.is_list):
            self.attach(parent, node)
            self.fill(node, current, lenient=lenient)
            return
        is_many = item.is_list and element is site
        if is_many:
            self.check_unread_content(node)
        else:
            self.check_names(node, lenient=False)
        asked = self.snapshot.include(current, include)
        files = self.matched(node, asked)
        if files is None or asked is None:
            return
        if not is_many and len(files) != 1:
            self.report_not_one(node, asked, files)
            return
        for file in files:
            inside = self.snapshot.current_inside(asked, file)
            if (file, inside) in self.open_files:
                self.report(
                    document,
                    element,
                    node.place_path,
                    Severity.ERROR,
                    "include-cycle",
                    f"{file} includes itself: the engine dies of it",
                    hint="change the pattern so that it does not match the file it stands in",
                )
                continue
            included = self.document(file)
            if included is None or not self.is_root(included, item, node.place_path):
                continue
            self.open_files.append((file, inside))
            self.add(
                parent,
                item,
                included,
                included.root,
                inside,
                site=site,
                via=via or asked,
                lenient=not item.is_list,
            )
            self.open_files.pop()

    def attach(self, parent: EffectiveElement | None, node: EffectiveElement) -> None:
        if parent is None:
            self.root = node
            return
        siblings = parent._children.setdefault(node.item.name, [])
        siblings.append(node)
        node.place = len(siblings)

    def fill(self, node: EffectiveElement, current: str, *, lenient: bool) -> None:
        """Look at an element's content."""
        item = node.item
        self.check_attributes(node)
        if item.type is not None:
            self.check_leaf(node)
            return
        self.check_names(node, lenient=lenient)
        written: dict[str, list[Element]] = {}
        for child in node.element.children:
            if child.name in item.children and not self.is_ignored(child):
                written.setdefault(child.name, []).append(child)
        for name, child_item in item.children.items():
            found = written.get(name, [])
            if not child_item.is_list and len(found) > 1:
                self.report_duplicates(node, child_item, found)
                found = found[:1]
            for child in found:
                self.add(node, child_item, node.document, child, current, site=child)

    def matched(self, node: EffectiveElement, include: Include | None) -> tuple[str, ...] | None:
        """The files of an include; None, and a violation, if they cannot be known."""
        if include is None:
            self.violations.append(
                node.violation(
                    Severity.ADVICE,
                    "unknown-include",
                    f"what <{node.item.name}> includes depends on the engine's environment",
                    hint="give that environment with --env FILE or [engine] env_file",
                )
            )
            return None
        files = self.snapshot.includes.get(include, ())
        if files is None:
            self.violations.append(
                node.violation(
                    Severity.ERROR,
                    "include-folder",
                    f'the folder of include="{include.pattern}" cannot be read',
                    says="Could not obtain file list",
                )
            )
        return files

    # -- checks ----------------------------------------------------------------------------

    def check_leaf(self, node: EffectiveElement) -> None:
        element, name = node.element, node.item.name
        if element.children:
            self.violations.append(
                node.violation(
                    Severity.WARNING,
                    "ignored-content",
                    f"<{name}> is a plain value: elements inside it are not read",
                    hint=f"remove <{element.children[0].name}>",
                )
            )
        shown = "cut short" if node.item.is_secret else repr(element.value)
        if len(element.texts) > 1:
            self.violations.append(
                node.violation(
                    Severity.WARNING,
                    "cut-value",
                    f"only the first piece of text counts: <{name}> is {shown}",
                    hint="write the value in one piece, with comments beside it",
                    at_value=True,
                )
            )

    def check_attributes(self, node: EffectiveElement) -> None:
        for name, value in node.element.attributes.items():
            if name in node.item.attributes or name == "xmlns" or ":" in name:
                continue
            if name == "include" and (node.item.is_object or node.item.is_list):
                continue
            if name == "ignore":
                if expand(value, self.snapshot.env) not in ("true", None):
                    self.violations.append(
                        node.violation(
                            Severity.ADVICE,
                            "ignore-without-effect",
                            f'ignore="{value}" has no effect: only "true" has',
                        )
                    )
                continue
            self.violations.append(
                node.violation(
                    Severity.WARNING,
                    "unknown-attribute",
                    f'<{node.item.name}> has no attribute "{name}": it is not read',
                    hint="remove it",
                )
            )

    def is_root(self, document: Document, item: Item, path: str) -> bool:
        name = document.root.name
        if name == item.name:
            return True
        wanted = f"<{item.name}> is wanted here"
        self.report(
            document,
            document.root,
            path,
            Severity.ERROR,
            "wrong-root",
            f"the root element of {document.file} is <{name}>, but {wanted}",
            says=f"Could not find the root element: <{item.name}>",
        )
        return False

    def check_unread_content(self, node: EffectiveElement) -> None:
        if node.element.children or node.element.texts:
            self.violations.append(
                node.violation(
                    Severity.WARNING,
                    "include-with-content",
                    f"what is written inside <{node.item.name} include=...> is not read",
                    hint="move it to the included file, or remove the include attribute",
                )
            )

    def report_not_one(
        self, node: EffectiveElement, include: Include, files: Sequence[str]
    ) -> None:
        name = node.item.name
        count = "no file" if not files else f"{len(files)} files"
        words = (
            "There is no file to include for path"
            if not files
            else "Too many files found for an Item"
        )
        self.violations.append(
            node.violation(
                Severity.ERROR,
                "include-not-one",
                f'include="{include.pattern}" matches {count}, and <{name}> needs exactly one',
                says=f"{words}: {node.item.error_path}",
            )
        )

    def report_duplicates(self, node: EffectiveElement, item: Item, written: list[Element]) -> None:
        line, _ = node.document.place(written[0].start)
        for place, other in enumerate(written[1:], 2):
            self.report(
                node.document,
                other,
                f"{node.place_path}/{item.name}[{place}]",
                Severity.WARNING,
                "duplicate-element",
                f"a second <{item.name}> is not read: the one of line {line} counts",
                hint="merge the two, or delete one",
            )

    def check_names(self, node: EffectiveElement, *, lenient: bool) -> None:
        """Unknown children and stray text of an object."""
        item, document, element = node.item, node.document, node.element
        severity = Severity.WARNING if lenient else Severity.ERROR
        for text in element.texts:
            line, column = document.place(text.start + len(text.value) - len(text.value.lstrip()))
            self.violations.append(
                Violation(
                    severity,
                    "stray-text",
                    document.file,
                    line,
                    column,
                    node.place_path,
                    f"text between the elements of <{item.name}>: {_short(text.value)}",
                    _stray_hint(text.value, item),
                    f"Unknown item found: {item.error_path}.",
                )
            )
        for child in element.children:
            if child.name in item.children:
                continue
            path = f"{node.place_path}/{child.name}"
            if self.is_ignored(child):
                self.report(
                    document,
                    child,
                    path,
                    Severity.ADVICE,
                    "unknown-element",
                    f'<{child.name}> is not known here; ignore="true" hides it from the engine',
                )
            elif child.name in item.attributes:
                self.report(
                    document,
                    child,
                    path,
                    Severity.WARNING,
                    "unread-element",
                    f"<{child.name}> is an attribute of <{item.name}>: the element is not read",
                    hint=f'write <{item.name} {child.name}="...">',
                )
            else:
                self.report(
                    document,
                    child,
                    path,
                    severity,
                    "unknown-element",
                    f"<{child.name}> is not known in <{item.name}>",
                    hint=self.unknown_hint(item, child.name),
                    says=f"Unknown item found: {item.error_path}.{child.name}",
                )

    def unknown_hint(self, item: Item, name: str) -> str:
        for former in item.formers:
            if former.name == name:
                gone = f"it was removed after {former.until}" if former.until else ""
                use = f"use {former.use}" if former.use else "remove it"
                return f"{gone}: {use}" if gone else use
        same = next((known for known in item.children if known.lower() == name.lower()), None)
        if same:
            return f"write <{same}>: letter case matters"
        near = difflib.get_close_matches(name, item.children, n=1, cutoff=0.75)
        if near:
            return f"did you mean <{near[0]}>?"
        homes = [i.parent for i in self.schema.items.values() if i.name == name and i.parent]
        if homes:
            home = min(homes, key=lambda other: _distance(item.path, other.path))
            return f"<{name}> belongs in {home.path}"
        return f"<{item.name}> may hold: {', '.join(item.children)}"

    def is_ignored(self, element: Element) -> bool:
        return is_ignored(element, self.snapshot.env)

    # -- files and reports -----------------------------------------------------------------

    def document(self, file: str) -> Document | None:
        """A parsed file; None, and a violation, if it cannot be had."""
        if file in self.snapshot.unreadable:
            self.report_file(file, "unreadable", self.snapshot.unreadable[file])
            return None
        try:
            return self.snapshot.document(file)
        except NotWellFormed as error:
            found = Violation(
                Severity.ERROR,
                "not-well-formed",
                file,
                error.line,
                error.column,
                "/",
                error.reason,
                "",
                f"Could not read the file: {file}",
            )
            if found not in self.violations:
                self.violations.append(found)
            return None

    def report_file(
        self, file: str, code: str, message: str, *, hint: str = "", says: str = ""
    ) -> None:
        self.violations.append(
            Violation(Severity.ERROR, code, file, 1, 1, "/", message, hint, says)
        )

    def report(
        self,
        document: Document,
        element: Element,
        path: str,
        severity: Severity,
        code: str,
        message: str,
        *,
        hint: str = "",
        says: str = "",
    ) -> None:
        line, column = document.place(element.start + 1)
        self.violations.append(
            Violation(severity, code, document.file, line, column, path, message, hint, says)
        )


def is_ignored(element: Element, env: Mapping[str, str] | None) -> bool:
    """Whether the engine counts an element as absent."""
    value = element.attributes.get("ignore")
    return value is not None and expand(value, env) == "true"


def _short(text: str) -> str:
    line = next(iter(text.strip().splitlines()), text)
    return repr(line if len(line) <= 40 else line[:37] + "...")


def _stray_hint(text: str, item: Item) -> str:
    if "Port" in item.children and re.fullmatch(r"\s*(\$\{env:.*\}|[0-9/a-z,-]+)\s*", text):
        return f"write <Port>{text.strip()}</Port>"
    return "remove it, or put it in a comment <!-- ... -->"


def _distance(one: str, other: str) -> tuple[int, int]:
    """How far apart two paths are: few common steps is far."""
    left, right = one.split("/"), other.split("/")
    common = next(
        (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b),
        min(len(left), len(right)),
    )
    return (-common, len(right))
