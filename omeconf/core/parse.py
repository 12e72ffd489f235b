"""The bytes of one XML file into a tree with byte offsets: one pass of expat.

Rules:
* Values are read as OvenMediaEngine 0.21 reads them: the first text or CDATA child counts, text
  that is only blanks does not, nothing is trimmed (`19<!-- -->35` is 19).
* A DOCTYPE is refused, and so is nesting deeper than MAX_DEPTH.
* The encoding is the one the engine's parser (pugixml) sees, not always the one declared.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.parsers import expat

from omeconf.errors import NotWellFormed

MAX_DEPTH = 100
"""Levels of elements; the deepest registered path of OvenMediaEngine has 13."""

BLANKS = b" \t\r\n"
_PLAIN = re.compile(rb"[ -%'-;=?-~]+")
"""Text of one line that stands for itself: ASCII without &, < and >."""
_DECLARED_ENCODING = re.compile(rb"<\?xml[^>]*?\bencoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")


@dataclass(frozen=True, slots=True)
class Text:
    """One run of character data or one CDATA section below an element."""

    start: int
    end: int
    value: str
    is_cdata: bool


class Element:
    """One element of a Document and where it lies. Read only."""

    __slots__ = (
        "attributes",
        "children",
        "close_start",
        "end",
        "name",
        "open_end",
        "parent",
        "start",
        "texts",
    )

    def __init__(
        self, name: str, attributes: dict[str, str], start: int, parent: Element | None
    ) -> None:
        self.name = name
        self.attributes = attributes
        self.start = start
        """Offset of the ``<`` of the start tag."""
        self.open_end = start
        """Offset behind the ``>`` of the start tag."""
        self.close_start = start
        """Offset of the end tag; equal to ``end`` for a self-closing element."""
        self.end = start
        """Offset behind the element."""
        self.parent = parent
        self.children: Sequence[Element] = []
        self.texts: Sequence[Text] = []

    @property
    def value(self) -> str:
        """The text as the engine reads it: the first run that is not only blanks, or ""."""
        text = self.first_text
        return text.value if text else ""

    @property
    def first_text(self) -> Text | None:
        """The run of text that the engine takes for the value."""
        return self.texts[0] if self.texts else None

    @property
    def is_self_closing(self) -> bool:
        """Written as one tag, ``<OVT />``."""
        return self.close_start == self.end

    def descendants(self) -> Iterator[Element]:
        """The element itself and everything below, in the order of the file."""
        yield self
        for child in self.children:
            yield from child.descendants()

    def __repr__(self) -> str:
        return f"<Element {self.name} at {self.start}>"


def encoding_of(data: bytes) -> tuple[str, bool]:
    """The encoding as the engine's parser sees it, and whether its offsets are the file's.

    pugixml looks at a BOM, then at the byte pattern, then honours only a declared latin1;
    whatever else is declared is read as UTF-8.
    """
    for bom, name in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(bom):
            return name, False
    for pattern, name in (
        (b"<\0\0\0", "utf-32-le"),
        (b"\0\0\0<", "utf-32-be"),
        (b"<\0", "utf-16-le"),
        (b"\0<", "utf-16-be"),
    ):
        if data.startswith(pattern):
            return name, False
    declared = _DECLARED_ENCODING.match(data)
    if declared and declared[1].lower() in (b"iso-8859-1", b"latin1"):
        return "iso-8859-1", True
    return "utf-8", True


def with_other_text(root: Element, start: int, end: int, grown: int, data: bytes) -> Element | None:
    """The tree of bytes that differ from those of another only in one text; None if they differ in
    more, or it is not plain.

    root is of the other; its bytes start..end became others, so that there are grown more. data are
    the new bytes. All offsets are of data, from its beginning.
    """
    leaf = root
    while leaf.children:
        inner = next((each for each in leaf.children if each.start < start < each.end), None)
        if inner is None:
            break
        leaf = inner
    text = next((each for each in leaf.texts if each.start <= start < end <= each.end), None)
    if text is None or text.is_cdata or leaf.children:
        return None
    raw = data[text.start : text.end + grown]
    if not _PLAIN.fullmatch(raw) or not raw.strip(BLANKS):
        return None
    other = Text(text.start, text.end + grown, raw.decode("ascii"), is_cdata=False)
    return _shifted(root, None, start, grown, (text, other))


def _shifted(
    element: Element, parent: Element | None, at: int, grown: int, replaced: tuple[Text, Text]
) -> Element:
    """A copy of an element; what lies behind an offset moves, and one text is replaced."""
    start, open_end = element.start, element.open_end
    close_start, end = element.close_start, element.end
    copy = Element(element.name, element.attributes, start + grown * (start > at), parent)
    copy.open_end = open_end + grown * (open_end > at)
    copy.close_start = close_start + grown * (close_start > at)
    copy.end = end + grown * (end > at)
    old, new = replaced
    if element.texts:
        copy.texts = [
            new
            if text is old
            else text
            if text.end <= at
            else Text(text.start + grown, text.end + grown, text.value, text.is_cdata)
            for text in element.texts
        ]
    if element.children:
        copy.children = [_shifted(each, copy, at, grown, replaced) for each in element.children]
    return copy


class Parser:
    """expat events into a tree with byte offsets."""

    def __init__(
        self,
        file: str,
        place: Callable[[int], tuple[int, int]],
        *,
        base: int = 0,
        max_depth: int = MAX_DEPTH,
    ) -> None:
        """file is named in errors; place gives line and column of an offset.

        base is where in the file the bytes begin that are parsed: all offsets are of the file.
        """
        self.file = file
        self.place = place
        self.base = base
        self.max_depth = max_depth
        self.root: Element | None = None
        self.open: list[Element] = []
        self.unfinished: Element | None = None
        """The element whose start tag ends where the next event begins."""
        self.run: list[str] = []
        self.run_start = 0
        self.in_cdata = False

    def parse(self, data: bytes, encoding: str) -> Element:
        """The root element. Raises NotWellFormed with the place, and what to do about it."""
        self.data = data
        expat_parser = expat.ParserCreate(encoding)
        self.expat = expat_parser
        expat_parser.StartElementHandler = self._start_element
        expat_parser.EndElementHandler = self._end_element
        expat_parser.CharacterDataHandler = self._characters
        expat_parser.CommentHandler = self._other
        expat_parser.ProcessingInstructionHandler = self._other
        expat_parser.StartCdataSectionHandler = self._start_cdata
        expat_parser.EndCdataSectionHandler = self._end_cdata
        expat_parser.StartDoctypeDeclHandler = self._doctype
        try:
            expat_parser.Parse(data, True)
        except expat.ExpatError as error:
            raise self._not_well_formed(error) from None
        assert self.root is not None, "expat refuses a document without a root element"
        return self.root

    def _begin_event(self) -> int:
        """Offset in the bytes that are parsed; what the event ends is finished."""
        offset: int = self.expat.CurrentByteIndex
        if self.unfinished is not None:
            self.unfinished.open_end = self.base + offset
            self.unfinished = None
        if self.run:
            if self.open and self.data[self.run_start : offset].strip(BLANKS):
                self._add_text(self.run_start, offset, is_cdata=False)
            self.run = []
        return offset

    def _add_text(self, start: int, end: int, *, is_cdata: bool) -> None:
        text = Text(self.base + start, self.base + end, "".join(self.run), is_cdata)
        texts = self.open[-1].texts
        assert isinstance(texts, list)
        texts.append(text)

    def _start_element(self, name: str, attributes: dict[str, str]) -> None:
        offset = self._begin_event()
        if len(self.open) >= self.max_depth:
            self._refuse(f"elements are nested deeper than {MAX_DEPTH} levels", offset)
        parent = self.open[-1] if self.open else None
        element = Element(name, attributes, self.base + offset, parent)
        if parent is None:
            self.root = element
        else:
            siblings = parent.children
            assert isinstance(siblings, list)
            siblings.append(element)
        self.open.append(element)
        self.unfinished = element

    def _end_element(self, _name: str) -> None:
        is_first_event = self.unfinished is not None
        offset = self._begin_event()
        element = self.open.pop()
        if is_first_event and self.data[offset - 2 : offset] == b"/>":
            element.close_start = element.end = self.base + offset
        else:
            element.close_start = self.base + offset
            element.end = self.base + self.data.index(b">", offset) + 1

    def _characters(self, text: str) -> None:
        if self.in_cdata or self.run:
            self.run.append(text)
        else:
            self.run_start = self._begin_event()
            self.run.append(text)

    def _start_cdata(self) -> None:
        self.run_start = self._begin_event()
        self.in_cdata = True

    def _end_cdata(self) -> None:
        if self.open:
            end = self.expat.CurrentByteIndex + len("]]>")
            self._add_text(self.run_start, end, is_cdata=True)
        self.run = []
        self.in_cdata = False

    def _other(self, *_: str) -> None:
        self._begin_event()

    def _doctype(self, *_: object) -> None:
        offset = self.data.rfind(b"<!DOCTYPE", 0, self.expat.CurrentByteIndex + 1)
        self._refuse("a DOCTYPE is not allowed: remove it", offset)

    def _refuse(self, reason: str, offset: int) -> None:
        line, column = self.place(self.base + offset)
        raise NotWellFormed(reason, file=self.file, line=line, column=column)

    def _not_well_formed(self, error: expat.ExpatError) -> NotWellFormed:
        """expat's complaint, with what a person needs to find the mistake."""
        reason = expat.ErrorString(error.code) or "not well-formed"
        at_byte = self.expat.ErrorByteIndex
        line, column = self.place(self.base + at_byte)
        if self.open and error.code in (7, 3, 5):  # tag mismatch, no element, unclosed token
            opened = self.open[-1]
            at, _ = self.place(opened.start)
            reason += f": <{opened.name}> of line {at} is not closed"
        elif error.code == 11:
            reason += ": write & as &amp;"
        elif error.code == 4 and b"--" in self.data[max(at_byte - 2, 0) : at_byte + 2]:
            reason += ": a comment may not contain --"
        return NotWellFormed(reason, file=self.file, line=line, column=column)
