"""The effective tree of a snapshot: what the engine sees, and what is wrong with its structure.

Rules (all tried on the engine):
* ``ignore="true"`` makes an element count as absent.
* Of an element that may be written once, the first counts; the others are not even looked at.
* An include takes the place of the element: one file for an object, any number for list items.
* A leaf's value is its first text; elements inside a leaf are not looked at.
* An unknown element, or text between elements, keeps the engine from starting; but not directly
  in a file that is included by an object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omeconf.core import structure
from omeconf.core.document import Document
from omeconf.core.effective import EffectiveElement, is_ignored
from omeconf.core.parse import Element
from omeconf.core.schema import Item, Release, Schema
from omeconf.core.snapshot import Include, Snapshot
from omeconf.core.violation import Severity, Violation
from omeconf.errors import NotWellFormed

LEGACY_SINCE: Release = (0, 13, 0)
"""The first release that refuses to start beside a LastConfig.xml."""


@dataclass(frozen=True, slots=True)
class Effective:
    """The effective tree of a snapshot, and what was found wrong while building it."""

    root: EffectiveElement | None
    """None if there is no tree: the main file cannot be read at all."""
    violations: tuple[Violation, ...]


def build(snapshot: Snapshot, schema: Schema) -> Effective:
    """What the engine sees of a snapshot."""
    builder = _Builder(snapshot, schema)
    builder.begin()
    return Effective(builder.root, tuple(builder.violations))


class _Builder:
    def __init__(self, snapshot: Snapshot, schema: Schema) -> None:
        self.snapshot = snapshot
        self.schema = schema
        self.violations: list[Violation] = []
        self.open_files: list[tuple[str, str]] = []
        """The files we are inside of, with their current folders."""
        self.root: EffectiveElement | None = None

    def begin(self) -> None:
        main = self.snapshot.main
        if self.snapshot.legacy and self.schema.release >= LEGACY_SINCE:
            self.report_file(
                main,
                "legacy-file",
                f"{self.snapshot.legacy} lies in the folder: the engine refuses to start",
                hint=f"move or delete {self.snapshot.legacy}",
                says="Legacy config file found.",
            )
        document = self.document(main)
        if document is None or not self.is_root(document, self.schema.root, "/"):
            return
        root = document.root
        if is_ignored(root, self.snapshot.env, self.schema.release):
            self.violations.append(
                structure.at(
                    document,
                    root,
                    "/Server",
                    Severity.ERROR,
                    "ignored-root",
                    'the engine cannot read the attributes of a root with ignore="true"',
                    hint="remove the ignore attribute",
                    says="Server.version is not optional",
                )
            )
        self.open_files.append((main, ""))
        self.add(None, self.schema.root, document, root, "", site=root)

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
            if parent is None:
                self.root = node
            else:
                parent.add(node)
            self.fill(node, current, lenient=lenient)
            return
        is_many = item.is_list and element is site
        self.violations += structure.beside_include(node)
        if not is_many:
            self.violations += structure.names(node, self.snapshot.env, lenient=False)
        asked = self.snapshot.include(current, include)
        files = self.matched(node, asked)
        if files is None or asked is None:
            return
        if not is_many and len(files) != 1:
            self.report_not_one(node, asked, files)
            return
        for file in files:
            self.add_file(node, asked, file)

    def add_file(self, node: EffectiveElement, include: Include, file: str) -> None:
        """Add the root of an included file in the place of node."""
        inside = self.snapshot.current_inside(include, file)
        document = self.document(file)
        if document is None or not self.is_root(document, node.item, node.place_path):
            return
        if (file, inside) in self.open_files:
            self.violations.append(
                node.violation(
                    Severity.ERROR,
                    "include-cycle",
                    f"{file} includes itself: the engine dies of it",
                    hint="change the pattern so that it does not match the file it stands in",
                    attribute="include",
                )
            )
            return
        self.open_files.append((file, inside))
        self.add(
            node.parent,
            node.item,
            document,
            document.root,
            inside,
            site=node.site,
            via=node.via or include,
            lenient=not node.item.is_list,
        )
        self.open_files.pop()

    def fill(self, node: EffectiveElement, current: str, *, lenient: bool) -> None:
        """Look at an element's content."""
        env = self.snapshot.env
        self.violations += structure.attributes(node, env)
        if node.item.type is not None:
            self.violations += structure.leaf(node)
            return
        self.violations += structure.names(node, env, lenient=lenient)
        written: dict[str, list[Element]] = {}
        for child in node.element.children:
            if child.name in node.item.children and not is_ignored(child, env, self.schema.release):
                written.setdefault(child.name, []).append(child)
        node.written.update(written)
        for name, item in node.item.children.items():
            found = written.get(name, [])
            if not item.is_list and len(found) > 1:
                self.violations += structure.duplicates(node, item, found)
                found = found[:1]
            for child in found:
                self.add(node, item, node.document, child, current, site=child)

    # -- includes and files ----------------------------------------------------------------

    def matched(self, node: EffectiveElement, include: Include | None) -> tuple[str, ...] | None:
        """The files of an include; None, and a violation, if they cannot be known."""
        if include is None:
            self.violations.append(
                node.violation(
                    Severity.ADVICE,
                    "unknown-include",
                    f"what <{node.item.name}> includes depends on the engine's environment",
                    hint="give that environment with --env FILE or [engine] env_file",
                    attribute="include",
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
                    attribute="include",
                )
            )
        return files

    def report_not_one(
        self, node: EffectiveElement, include: Include, files: Sequence[str]
    ) -> None:
        name = node.item.name
        count = f"{len(files)} files" if files else "no file"
        words = (
            "Too many files found for an Item" if files else "There is no file to include for path"
        )
        self.violations.append(
            node.violation(
                Severity.ERROR,
                "include-not-one",
                f'include="{include.pattern}" matches {count}, and <{name}> needs exactly one',
                says=f"{words}: {node.item.error_path}",
                attribute="include",
            )
        )

    def is_root(self, document: Document, item: Item, path: str) -> bool:
        """Whether a file's root element is the one wanted; a violation if not."""
        name = document.root.name
        if name == item.name:
            return True
        self.violations.append(
            structure.at(
                document,
                document.root,
                path,
                Severity.ERROR,
                "wrong-root",
                f"the root element of {document.file} is <{name}>, "
                f"but <{item.name}> is wanted here",
                says=f"Could not find the root element: <{item.name}>",
            )
        )
        return False

    def document(self, file: str) -> Document | None:
        """A parsed file; None, and a violation, if it cannot be had."""
        if file in self.snapshot.unreadable:
            self.report_file(file, "unreadable", self.snapshot.unreadable[file])
            return None
        try:
            return self.snapshot.document(file)
        except NotWellFormed as error:
            self.report_file(
                file,
                "not-well-formed",
                error.reason,
                says=f"Could not read the file: {file}",
                place=(error.line, error.column),
            )
            return None

    def report_file(
        self,
        file: str,
        code: str,
        message: str,
        *,
        hint: str = "",
        says: str = "",
        place: tuple[int, int] = (1, 1),
    ) -> None:
        found = Violation(Severity.ERROR, code, file, *place, "/", message, hint, says)
        if found not in self.violations:
            self.violations.append(found)
