"""What is wrong with one element by itself: what it lacks, its attributes, its value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from omeconf.core.effective import EffectiveElement
from omeconf.core.lint import ELEMENT_LINTS
from omeconf.core.schema import Item, Release, ValueType
from omeconf.core.values import REFUSING, expand, read
from omeconf.core.violation import Severity, Violation

OTHERWISE = {"warning": Severity.WARNING, "advice": Severity.ADVICE}


def inspect(
    node: EffectiveElement,
    env: Mapping[str, str] | None,
    release: Release,
    *,
    is_gated: bool,
) -> Iterator[Violation]:
    """All that is wrong with an element, but for how those inside it stand.

    is_gated: lxml found nothing wrong with the file, so that no clean value need be looked at.
    """
    item = node.item
    if item.required:
        yield from _presence(node)
    if item.deprecated or item.is_unread:
        yield from _usage(node)
    if item.attributes:
        yield from _attribute_values(node, env)
    for lint, since in ELEMENT_LINTS.items():
        if release >= since:
            yield from lint(node, env)
    value_type = item.type
    if value_type is None:
        return
    element = node.element
    # lxml sees one text where the engine sees two, and blanks where it sees nothing
    is_seen_alike = len(element.texts) == 1 or element.open_end == element.close_start
    is_clean = is_gated and value_type.reads not in REFUSING and is_seen_alike
    if not is_clean or "${" in node.element.value:
        yield from check_value(node, value_type, env)


def _presence(node: EffectiveElement) -> Iterator[Violation]:
    for item in node.item.required:
        name = item.name
        if name in node.written:
            continue
        if item.is_enforced:
            yield node.violation(
                Severity.ERROR,
                "missing-element",
                f"<{node.item.name}> needs a <{name}>",
                hint=_example(item),
                says=f"{item.error_path_as_child} is not optional",
            )
        elif item.is_object or item.default is None:
            yield node.violation(
                Severity.WARNING,
                "missing-element",
                f"<{node.item.name}> should have a <{name}>: the engine goes on without",
                hint=_example(item),
            )


def _attribute_values(node: EffectiveElement, env: Mapping[str, str] | None) -> Iterator[Violation]:
    for name, value_type in node.item.attributes.items():
        written = node.element.attributes.get(name)
        if written is None:
            yield node.violation(
                Severity.ERROR,
                "missing-attribute",
                f'<{node.item.name}> needs the attribute {name}="..."',
                hint=f'write <{node.item.name} {name}="{value_type.example}">',
                says=f"{node.item.error_path}.{name} is not optional",
            )
            continue
        text = expand(written, env)
        if text is not None and not value_type.is_clean(text):
            yield from _judge(node, value_type, f'{name}="{written}"', text, attribute=name)


def _usage(node: EffectiveElement) -> Iterator[Violation]:
    """Advice on elements that are deprecated, or that nothing reads."""
    item = node.item
    above = item.parent
    if item.deprecated and not (above and above.deprecated):
        use = "" if item.deprecated == "nothing" else f"use {item.deprecated}"
        yield node.violation(
            Severity.ADVICE,
            "deprecated",
            f"<{item.name}> is deprecated",
            hint=use or "remove it",
        )
    elif item.is_unread and not (above and above.is_unread):
        yield node.violation(
            Severity.ADVICE,
            "unread",
            f"nothing in the engine reads <{item.name}> here",
        )


def check_value(
    node: EffectiveElement, value_type: ValueType, env: Mapping[str, str] | None
) -> Sequence[Violation]:
    """What is wrong with the value of a leaf."""
    text = expand(node.element.value, env)
    if text is None:
        return ()
    if value_type.is_clean(text) and not read(value_type.reads, text).refusal:
        return ()
    shown = _shown(node, text)
    return _judge(node, value_type, f"<{node.item.name}> is {shown}", text)


def _judge(
    node: EffectiveElement, value_type: ValueType, subject: str, text: str, attribute: str = ""
) -> Sequence[Violation]:
    """A value that is not written as its type wants it: is it refused, or taken as what?"""
    refusal = read(value_type.reads, text).refusal
    if not refusal and value_type.otherwise == "refused" and not _is_taken(value_type, text):
        refusal = value_type.says or "Invalid value: {value}"
    if refusal:
        says = refusal.replace("{value}", text).replace("{name}", node.item.name)
        wanted = f"{subject}: it must be {_wanted(value_type)}"
        return (
            node.violation(
                Severity.ERROR,
                "invalid-value",
                wanted,
                says=says,
                at_value=True,
                attribute=attribute,
            ),
        )
    severity = OTHERWISE.get(value_type.otherwise, Severity.WARNING)
    taken = _taken_as(value_type, text)
    return (
        node.violation(
            severity,
            "odd-value",
            f"{subject}: it should be {_wanted(value_type)}",
            hint=f"the engine takes it as {taken}" if taken else "",
            at_value=True,
            attribute=attribute,
        ),
    )


def _is_taken(value_type: ValueType, text: str) -> bool:
    """Whether a refusing type's reading is a value it allows: 5x is 5."""
    if value_type.reads in ("int", "long"):
        number = read(value_type.reads, text).value
        return isinstance(number, int) and any(way.has(number) for way in value_type.ways)
    return value_type.reads not in ("text", "presence")


def _taken_as(value_type: ValueType, text: str) -> str:
    value = read(value_type.reads, text).value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        least, most = value_type.bounds
        if least is not None and value < least and value_type.otherwise != "refused":
            return str(least) if str(value) == text.strip() else str(value)
        if most is not None and value > most and value_type.otherwise != "refused":
            return ""
        return str(value)
    if isinstance(value, tuple):
        *ports, protocol = value
        return f"{ports[0]}/{protocol}" if len(ports) == 1 else f"{len(ports)} ports/{protocol}"
    return ""


def _wanted(value_type: ValueType) -> str:
    """The first sentence of the type's documentation, to go on behind a colon."""
    text = value_type.documentation.partition(". ")[0].rstrip(".")
    return text if text[1:2].isupper() else text[0].lower() + text[1:]


def _shown(node: EffectiveElement, text: str) -> str:
    if node.item.is_secret or node.document.file.startswith("/"):
        return "not as it should be"
    if not text:
        return "empty"
    shown = repr(text if len(text) <= 60 else text[:57] + "...")
    return f"{shown} ({node.element.value})" if "${" in node.element.value else shown


def _example(item: Item) -> str:
    if item.type is None:
        return f"add <{item.name}>...</{item.name}>"
    return f"add <{item.name}>{item.default or item.type.example}</{item.name}>"
