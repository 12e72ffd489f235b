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

from omeconf.core import structure
from omeconf.core.document import Document
from omeconf.core.effective import EffectiveElement, is_ignored
from omeconf.core.fold import APPLICATION, Block, Folded, FoldedChildren
from omeconf.core.parse import Element
from omeconf.core.schema import Item, Release, Schema
from omeconf.core.snapshot import Include, Snapshot
from omeconf.core.violation import Severity, Violation
from omeconf.errors import NotWellFormed

LEGACY_SINCE: Release = (0, 13, 0)
"""The first release that refuses to start beside a LastConfig.xml."""


def build(
    snapshot: Snapshot, schema: Schema, report: list[Violation] | None = None
) -> EffectiveElement | None:
    """What the engine sees of a snapshot; None if there is no tree: Server.xml is not readable.

    report: where to put what is wrong with the structure; of each element when it is looked into.
    """
    return _Builder(snapshot, schema, report).root()


def build_alone(
    block: Block,
    snapshot: Snapshot,
    schema: Schema,
    report: list[Violation] | None,
    file: str = "",
) -> EffectiveElement:
    """The effective tree of a folded application by itself; file is only told, not looked for."""
    document = Document(block.source, file=file, is_folded=False, parsed=block.parsed)
    block.parsed = None
    place = _Place(_Builder(snapshot, schema, report), "", (), lenient=False)
    root = document.root
    return EffectiveElement(
        schema.application, document, root, parent=None, site=root, filler=place, is_alone=True
    )


class _Place:
    """Where in the files an element stands: what that means for the elements below it."""

    __slots__ = ("builder", "current", "lenient", "open_files")

    def __init__(
        self,
        builder: _Builder,
        current: str,
        open_files: tuple[tuple[str, str], ...],
        *,
        lenient: bool,
    ) -> None:
        self.builder = builder
        self.current = current
        """The current folder, from which includes are looked up."""
        self.open_files = open_files
        """The files we are inside of, with their current folders."""
        self.lenient = lenient
        """Whether the engine does not refuse unknown children at this place."""

    @property
    def strict(self) -> _Place:
        """The same place, for what is deeper."""
        if not self.lenient:
            return self
        return _Place(self.builder, self.current, self.open_files, lenient=False)

    @property
    def silent(self) -> _Place:
        """The same place for what is folded: it has a verdict of its own, and no includes, so that
        no file has to be held for it.
        """
        snapshot = self.builder.snapshot
        nothing = Snapshot({}, main=snapshot.main, folder=snapshot.folder, env=snapshot.env)
        builder = _Builder(nothing, self.builder.schema, None)
        return _Place(builder, self.current, self.open_files, lenient=self.lenient)

    def fill(self, node: EffectiveElement) -> None:
        """Add the children of an element."""
        self.builder.fill(node, self)

    def alone(self, block: Block) -> EffectiveElement:
        """A folded application by itself."""
        return build_alone(block, self.builder.snapshot, self.builder.schema, None)


class _Builder:
    def __init__(self, snapshot: Snapshot, schema: Schema, report: list[Violation] | None) -> None:
        self.snapshot = snapshot
        self.schema = schema
        self.report = report

    def root(self) -> EffectiveElement | None:
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
            return None
        root = document.root
        if is_ignored(root, self.snapshot.env, self.schema.release):
            self.tell(
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
        found: list[EffectiveElement] = []
        place = _Place(self, "", ((main, ""),), lenient=False)
        self.add(None, self.schema.root, document, root, place, site=root, found=found)
        return found[0] if found else None

    def tell(self, *violations: Violation) -> None:
        """Something is wrong, if anybody wants to know."""
        if self.report is not None:
            self.report += violations

    def add(
        self,
        parent: EffectiveElement | None,
        item: Item,
        document: Document,
        element: Element,
        place: _Place,
        *,
        site: Element,
        found: list[EffectiveElement],
        via: Include | None = None,
    ) -> None:
        """Find what an element stands for: itself, or the roots of what it includes.

        site is where it is written, via the include that led here.
        """
        node = EffectiveElement(
            item, document, element, parent=parent, site=site, via=via, filler=place
        )
        include = element.attributes.get("include")
        if include is None or not (item.is_object or item.is_list):
            found.append(node)
            return
        is_many = item.is_list and element is site
        if self.report is not None:
            self.report += structure.beside_include(node)
            if not is_many:
                self.report += structure.names(node, self.snapshot.env, lenient=False)
        asked = self.snapshot.include(place.current, include)
        files = self.matched(node, asked)
        if files is None or asked is None:
            return
        if not is_many and len(files) != 1:
            self.report_not_one(node, asked, files)
            return
        for file in files:
            self.add_file(node, asked, file, place, found)

    def add_file(
        self,
        node: EffectiveElement,
        include: Include,
        file: str,
        place: _Place,
        found: list[EffectiveElement],
    ) -> None:
        """Find the root of an included file in the place of node."""
        inside = self.snapshot.current_inside(include, file)
        document = self.document(file)
        if document is None or not self.is_root(document, node.item, node.place_path):
            return
        if (file, inside) in place.open_files:
            self.tell(
                node.violation(
                    Severity.ERROR,
                    "include-cycle",
                    f"{file} includes itself: the engine dies of it",
                    hint="change the pattern so that it does not match the file it stands in",
                    attribute="include",
                )
            )
            return
        open_files = (*place.open_files, (file, inside))
        self.add(
            node.parent,
            node.item,
            document,
            document.root,
            _Place(self, inside, open_files, lenient=not node.item.is_list),
            site=node.site,
            found=found,
            via=node.via or include,
        )

    def fill(self, node: EffectiveElement, place: _Place) -> None:
        """Look at an element's content."""
        env = self.snapshot.env
        if self.report is not None:
            if node.element.attributes:
                self.report += structure.attributes(node, env)
            if node.item.type is not None:
                self.report += structure.leaf(node)
            else:
                self.report += structure.names(node, env, lenient=place.lenient)
        if node.item.type is not None:
            return
        inside, children = place.strict, node.element.children
        if isinstance(children, FoldedChildren):
            node.add_written((APPLICATION,))
            node.add_folded(node.item.children[APPLICATION], children, inside.silent)
            return
        known = node.item.children
        written: dict[str, list[Element]] = {}
        for child in children:
            if child.name in known and not (
                child.attributes and is_ignored(child, env, self.schema.release)
            ):
                written.setdefault(child.name, []).append(child)
        node.add_written(written)
        for name, elements in written.items():
            item = known[name]
            if not item.is_list and len(elements) > 1:
                if self.report is not None:
                    self.report += structure.duplicates(node, item, elements)
                del elements[1:]
            found: list[EffectiveElement] = []
            for child in elements:
                deeper = inside.silent if isinstance(child, Folded) else inside
                self.add(node, item, node.document, child, deeper, site=child, found=found)
            for each in found:
                node.add(each)

    # -- includes and files ----------------------------------------------------------------

    def matched(self, node: EffectiveElement, include: Include | None) -> tuple[str, ...] | None:
        """The files of an include; None, and a violation, if they cannot be known."""
        if include is None:
            self.tell(
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
            self.tell(
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
        self.tell(
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
        self.tell(
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
        if self.report is not None and found not in self.report:
            self.report.append(found)
