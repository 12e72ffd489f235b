"""What is wrong with how elements stand: unknown names, stray text, what is not read.

The engine (0.21.0, tried) refuses an unknown element, and text between elements; it skips a second
singleton, elements inside a leaf, unknown attributes, and content beside an include.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence

from omeconf.core.document import Document
from omeconf.core.effective import IGNORE_SINCE, EffectiveElement, is_ignored
from omeconf.core.fold import FoldedChildren
from omeconf.core.parse import Element
from omeconf.core.path import Path
from omeconf.core.schema import Item
from omeconf.core.values import expand
from omeconf.core.violation import Severity, Violation

Env = Mapping[str, str] | None


def names(node: EffectiveElement, env: Env, *, lenient: bool) -> Iterator[Violation]:
    """Unknown children and stray text of an object; lenient: the engine does not refuse them."""
    item, document, element = node.item, node.document, node.element
    severity = Severity.WARNING if lenient else Severity.ERROR
    for text in element.texts:
        line, column = document.place_of_text(text)
        yield Violation(
            severity,
            "stray-text",
            document.file,
            line,
            column,
            node.place_path,
            f"text between the elements of <{item.name}>: {_quoted(text.value, item)}",
            _stray_hint(text.value, item),
            f"Unknown item found: {item.error_path}.",
        )
    if isinstance(element.children, FoldedChildren):
        return
    for child in element.children:
        if child.name in item.children:
            continue
        path = f"{node.place_path}/{child.name}"
        if is_ignored(child, env, item.release):
            yield at(
                document,
                child,
                path,
                Severity.ADVICE,
                "unknown-element",
                f'<{child.name}> is not known here; ignore="true" hides it from the engine',
            )
        elif child.name in item.attributes:
            yield at(
                document,
                child,
                path,
                Severity.WARNING,
                "unread-element",
                f"<{child.name}> is an attribute of <{item.name}>: the element is not read",
                hint=f'write <{item.name} {child.name}="...">',
            )
        else:
            yield at(
                document,
                child,
                path,
                severity,
                "unknown-element",
                f"<{child.name}> is not known in <{item.name}>",
                hint=unknown_hint(item, child.name),
                says=f"Unknown item found: {item.error_path}.{child.name}",
            )


def attributes(node: EffectiveElement, env: Env) -> Iterator[Violation]:
    """Attributes that are not read; namespaces are harmless."""
    item = node.item
    for name, value in node.element.attributes.items():
        if name in item.attributes or name == "xmlns" or ":" in name:
            continue
        if name == "include" and (item.is_object or item.is_list):
            continue
        if name != "ignore" or item.release < IGNORE_SINCE:
            yield node.violation(
                Severity.WARNING,
                "unknown-attribute",
                f'<{item.name}> has no attribute "{name}": it is not read',
                hint="remove it",
                attribute=name,
            )
        elif _is_meant_but_not_read(node, expand(value, env)):
            yield node.violation(
                Severity.WARNING,
                "ignore-without-effect",
                f'ignore="{value}" has no effect here',
                hint='only "true" has, and not at the root of a file',
                attribute=name,
            )


def _is_meant_but_not_read(node: EffectiveElement, ignore: str | None) -> bool:
    """Whether somebody means to switch an element off, and the engine does not see it."""
    if ignore == "true":
        return node.element.parent is None and node.parent is not None
    return ignore is not None and ignore.strip().lower() not in ("false", "no", "off", "0", "")


def leaf(node: EffectiveElement) -> Iterator[Violation]:
    """What stands in a plain value and is not read."""
    element, name = node.element, node.item.name
    if element.children:
        yield node.violation(
            Severity.WARNING,
            "ignored-content",
            f"<{name}> is a plain value: elements inside it are not read",
            hint=f"remove <{element.children[0].name}>",
        )
    if len(element.texts) > 1:
        shown = "cut short" if node.item.is_secret else repr(element.value)
        yield node.violation(
            Severity.WARNING,
            "cut-value",
            f"only the first piece of text counts: <{name}> is {shown}",
            hint="write the value in one piece, with comments beside it",
            at_value=True,
        )


def beside_include(node: EffectiveElement) -> Iterator[Violation]:
    """Content of an element whose include takes its place."""
    if node.element.children or node.element.texts:
        yield node.violation(
            Severity.WARNING,
            "include-with-content",
            f"what is written inside <{node.item.name} include=...> is not read",
            hint="move it to the included file, or remove the include attribute",
        )


def duplicates(
    node: EffectiveElement, item: Item, written: Sequence[Element]
) -> Iterator[Violation]:
    """All but the first of an element that may be written once."""
    for place, other in enumerate(written[1:], 2):
        yield at(
            node.document,
            other,
            f"{node.place_path}/{item.name}[{place}]",
            Severity.WARNING,
            "duplicate-element",
            f"a second <{item.name}> is not read: the first one counts",
            hint="merge the two, or delete one",
        )


def at(
    document: Document,
    element: Element,
    path: str,
    severity: Severity,
    code: str,
    message: str,
    *,
    hint: str = "",
    says: str = "",
) -> Violation:
    """A violation at the name of an element, also of one that the engine does not see."""
    line, column = document.place(element.start + 1)
    return Violation(severity, code, document.file, line, column, path, message, hint, says)


def unknown_hint(item: Item, name: str) -> str:
    """What may have been meant by an unknown child of an item."""
    for former in item.formers:
        if former.name == name:
            gone = f"it was removed after {former.until}" if former.until else ""
            use = f"use {former.use}" if former.use else "remove it"
            return f"{gone}: {use}" if gone else use
    if name in item.newer:
        return f"it is known from {item.newer[name]} on"
    same = next((known for known in item.children if known.lower() == name.lower()), None)
    if same:
        return f"write <{same}>: letter case matters"
    near = difflib.get_close_matches(name, item.children, n=1, cutoff=0.75)
    if near:
        return f"did you mean <{near[0]}>?"
    homes = [each.parent for each in item.root.descendants() if each.name == name and each.parent]
    if homes:
        home = min(homes, key=lambda other: _distance(item.path, other.path))
        return f"<{name}> belongs in {home.path}"
    return f"<{item.name}> may hold: {', '.join(item.children)}"


def path_hint(root: Item, path: Path) -> str:
    """What may have been meant by a path that leads nowhere; "" if it leads somewhere."""
    item = root
    for step in path.steps[1:]:
        child = item.children.get(step.name)
        if child is None:
            return unknown_hint(item, step.name)
        item = child
    return ""


def _quoted(text: str, item: Item) -> str:
    """As much of a text as may be shown: where a secret belongs, it may be that."""
    return "***" if any(each.is_secret for each in item.children.values()) else _short(text)


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
