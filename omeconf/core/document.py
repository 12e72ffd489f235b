"""One file's bytes and where every element lies in them; an edit is a splice of the bytes.

Rules:
* No byte outside a splice changes. The file is never serialized from a tree.
* A new element takes the line end, the indentation and the spacing of its own siblings.
* What an insertion wrote, the deletion of the same element takes away again, to the byte.
  That is why an opened self-closing tag keeps a blank before its ``>``: ``<OVT />`` becomes
  ``<OVT >...</OVT>``, and turns back into ``<OVT />`` when its last child goes (``<OVT/>``
  becomes ``<OVT  >``). An element that was written ``<OVT></OVT>`` is filled on one line.
* Values are read as OvenMediaEngine 0.21 reads them: the first text or CDATA child counts, text
  that is only blanks does not, nothing is trimmed (`19<!-- -->35` is 19).
* A leaf that holds only blanks is empty to the engine; a new value takes their place.
* A DOCTYPE is refused, and so is nesting deeper than MAX_DEPTH.

Offsets are of bytes. Encodings: UTF-8 (with or without BOM) and ISO-8859-1; UTF-16 and UTF-32
are transcoded for reading and cannot be edited.
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from xml.parsers import expat

from omeconf.errors import BadBody, NotWellFormed

MAX_DEPTH = 100
"""Levels of elements; the deepest registered path of OvenMediaEngine has 13."""

_BLANKS = b" \t\r\n"
_DECLARED_ENCODING = re.compile(rb"<\?xml[^>]*?\bencoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BLANKS_AND_COMMENTS = re.compile(rb"(?:[ \t]|<!--[^\r\n]*?-->)*")
_BLANKS_AND_CLOSE = re.compile(rb"[ \t]*(?:\r?\n|</|\Z)")


@dataclass(frozen=True, slots=True)
class Splice:
    """Replace the bytes start..end (end not included) by text."""

    start: int
    end: int
    text: bytes


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
        self.children: list[Element] = []
        self.texts: list[Text] = []

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


@dataclass(frozen=True, slots=True)
class Node:
    """An element that is to be written: either text, or children, or bytes taken from a file."""

    name: str
    text: str = ""
    children: tuple[Node, ...] = ()
    verbatim: bytes | None = None
    """The bytes to write as they are (an element that moves, with its comments)."""


class Document:
    """The bytes of one XML file and its tree. Immutable: an edit makes a new Document."""

    def __init__(self, data: bytes, *, file: str = "Server.xml") -> None:
        """Parse data. Raises NotWellFormed with the place, and what to do about it."""
        self.data = data
        self.file = file
        self.encoding, self.is_editable = _encoding(data)
        self._text = data if self.is_editable else data.decode(self.encoding, "replace").encode()
        parser = _Parser(self)
        self.root = parser.parse(self._text, self.encoding if self.is_editable else "utf-8")

    # -- reading ---------------------------------------------------------------------------

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column (both from 1, in characters) of a byte offset."""
        offset = max(offset, 0)
        line = bisect_right(self._line_starts, offset)
        start = self._line_starts[line - 1]
        if line == 1 and self._text.startswith(codecs.BOM_UTF8):
            start = min(offset, len(codecs.BOM_UTF8))
        return line, len(self._decode(self._text[start:offset])) + 1

    def place_of_value(self, element: Element) -> tuple[int, int]:
        """Where the value of an element stands; its name if it has none."""
        text = element.first_text
        if text is None:
            return self.place(element.start + 1)
        start = text.start + (len("<![CDATA[") if text.is_cdata else 0)
        lead = len(text.value) - len(text.value.lstrip())
        return self.place(min(start + lead, text.end))

    def source(self, element: Element) -> bytes:
        """The bytes of an element as they stand in the file."""
        return self._text[element.start : element.end]

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer(b"\n", self._text))]

    def _decode(self, data: bytes) -> str:
        return data.decode(self.encoding if self.is_editable else "utf-8", "replace")

    # -- editing ---------------------------------------------------------------------------

    def splice(self, splices: Sequence[Splice]) -> Document:
        """A new Document with the splices carried out; they must not overlap."""
        if not splices:
            return self
        return Document(splice(self.data, splices), file=self.file)

    def set_text(self, element: Element, value: str) -> tuple[Splice, ...]:
        """Give a leaf another value; comments beside the value stay. Equal: no splice."""
        if value == element.value:
            return ()
        self._must_be_editable()
        text = element.first_text
        if text is not None and not value and len(element.texts) > 1:
            return tuple(Splice(each.start, each.end, b"") for each in element.texts)
        if text is not None and text.is_cdata:
            return (Splice(text.start, text.end, self._cdata(value)),)
        if text is not None:
            if not value and self._opened_mark(element) is not None:
                return self._close_up(element) or (Splice(text.start, text.end, b""),)
            return (Splice(text.start, text.end, self._escape(value)),)
        if element.is_self_closing:
            return (self._open_up(element, self._escape(value)),)
        blank = _end_of_blanks(self._text, element.open_end)
        return (Splice(element.open_end, blank, self._escape(value)),)

    def insert(
        self, parent: Element, node: Node, *, after: Element | None = None
    ) -> tuple[Splice, ...]:
        """Write a new child behind the child `after`, or as the first child."""
        return self.edit_children(parent, insertions=[(after, node)])

    def delete(self, element: Element) -> tuple[Splice, ...]:
        """Take an element away, and its line with it if nothing else stands there."""
        if element.parent is None:
            raise BadBody("the root element cannot be deleted")
        return self.edit_children(element.parent, deletions=[element])

    def replace(self, element: Element, node: Node) -> tuple[Splice, ...]:
        """Write another element in the place of one."""
        self._must_be_editable()
        newline, indent = self._line_lead(element) or (self.newline, b"")
        text = self._render(node, newline, indent, self._unit(element))
        return (Splice(element.start, element.end, text),)

    def edit_children(
        self,
        parent: Element,
        *,
        deletions: Sequence[Element] = (),
        insertions: Sequence[tuple[Element | None, Node]] = (),
        moved: Sequence[Element] = (),
    ) -> tuple[Splice, ...]:
        """Delete and insert children of one parent at once.

        An insertion names the child behind which it goes (None: the first place); several
        behind the same child stand in the order given. Those moved are deleted with the
        comments that belong to them (`belongings`): the insertion brings them back.
        """
        self._must_be_editable()
        if not deletions and not insertions and not moved:
            return ()
        if not parent.children:
            return self._fill(parent, [node for _, node in insertions])
        if not insertions and not moved and len(deletions) == len(parent.children):
            closed = self._close_up(parent)
            if closed:
                return closed
        removed = [self._deletion(parent, child) for child in deletions]
        removed += [self._removal_with_comments(parent, child) for child in moved]
        added = [self._insertion(parent, anchor, node) for anchor, node in insertions]
        return tuple(removed + added)

    @property
    def newline(self) -> bytes:
        """The line end of the file: that of its first line."""
        first = self._text.find(b"\n")
        return b"\r\n" if first > 0 and self._text[first - 1] == 13 else b"\n"

    def _must_be_editable(self) -> None:
        if not self.is_editable:
            raise BadBody(
                f"{self.file} is encoded as {self.encoding}, which cannot be edited: "
                "save it as UTF-8"
            )

    # -- deletion --------------------------------------------------------------------------

    def _deletion(self, parent: Element, element: Element) -> Splice:
        lead = self._line_lead(element)
        if lead:
            alone = _BLANKS_AND_CLOSE.match(self._text, element.end)
            start = element.start - len(lead[0]) - len(lead[1]) if alone else element.start
            return Splice(start, element.end, b"")
        position = parent.children.index(element)
        start = element.start
        if position:
            previous = parent.children[position - 1].end
            if not self._text[previous : element.start].strip(_BLANKS):
                start = previous
        return Splice(start, element.end, b"")

    def belongings(self, element: Element) -> tuple[int, int]:
        """Start and end of an element together with the comments that speak of it.

        Those are the comment lines directly above it, and the comment behind it on its line.
        """
        start, end = element.start, element.end
        newline, indent = self._blank_lead(start)
        if indent is None:
            return start, end
        if self._text.startswith((b"\n", b"\r\n"), self._behind_comments(end)):
            end = self._behind_comments(end)
        while indent is not None:
            before = start - len(indent) - len(newline)
            if not self._text.endswith(b"-->", 0, before):
                break
            comment = self._text.rfind(b"<!--", 0, before)
            newline, indent = self._blank_lead(comment)
            if indent is not None:
                start = comment
        return start, end

    def _removal_with_comments(self, parent: Element, element: Element) -> Splice:
        start, end = self.belongings(element)
        if (start, end) == (element.start, element.end):
            return self._deletion(parent, element)
        newline, indent = self._blank_lead(start)
        return Splice(start - len(newline) - len(indent or b""), end, b"")

    def _close_up(self, parent: Element) -> tuple[Splice, ...]:
        """Make a self-closing tag again of one that an earlier insertion opened."""
        mark = self._opened_mark(parent)
        if mark is None or parent.is_self_closing:
            return ()
        inside = self._text[parent.open_end : parent.close_start]
        parts: Sequence[Element | Text] = parent.children or parent.texts
        for child in reversed(parts):
            start, end = child.start - parent.open_end, child.end - parent.open_end
            inside = inside[:start] + inside[end:]
        if inside.strip(_BLANKS):
            return ()
        start = parent.open_end - 1 - len(mark)
        return (Splice(start, parent.end, _unmarked(mark) + b"/>"),)

    def _opened_mark(self, element: Element) -> bytes | None:
        tag = self._text[element.start : element.open_end - 1]
        return tag[len(tag.rstrip(_BLANKS)) :] or None

    # -- insertion -------------------------------------------------------------------------

    def _insertion(self, parent: Element, anchor: Element | None, node: Node) -> Splice:
        sibling = anchor or parent.children[0]
        lead = self._line_lead(sibling)
        unit = self._unit(sibling)
        if lead is None:
            gap = b"" if anchor is None else self._gap(parent, anchor)
            at = sibling.start if anchor is None else anchor.end
            return Splice(at, at, gap + self._render(node, self.newline, b"", unit))
        newline, indent = lead
        text = self._render(node, newline, indent, unit)
        start = parent.open_end if anchor is None else anchor.end
        line_end = self._end_of_line(start)
        if line_end is not None:
            return Splice(line_end, line_end, newline + indent + text)
        if anchor is None:
            at = sibling.start - len(indent) - len(newline)
            return Splice(at, at, newline + indent + text)
        at = self._behind_comments(start)
        return Splice(at, at, text)

    def _behind_comments(self, offset: int) -> int:
        """Behind the comments that follow on the line: they speak of what is before them."""
        match = _BLANKS_AND_COMMENTS.match(self._text, offset)
        end = match.end() if match else offset
        return end if b"<!--" in self._text[offset:end] else offset

    def _end_of_line(self, offset: int) -> int | None:
        """Where the line ends, if only blanks and comments follow; None if more does.

        A comment behind an element speaks of that element, so a new one goes behind both.
        """
        match = _BLANKS_AND_COMMENTS.match(self._text, offset)
        end = match.end() if match else offset
        if self._text.startswith((b"\n", b"\r\n"), end):
            return end
        return end if self._text.startswith(b"</", end) else None

    def _gap(self, parent: Element, anchor: Element) -> bytes:
        position = parent.children.index(anchor)
        start = parent.children[position - 1].end if position else parent.open_end
        gap = self._text[start : anchor.start]
        return b"" if gap.strip(_BLANKS) else gap

    def _fill(self, parent: Element, nodes: list[Node]) -> tuple[Splice, ...]:
        """Write the first children into a container that has none."""
        lead = self._line_lead(parent)
        unit = self._unit(parent)
        newline, indent = lead or (self.newline, b"")
        inside = self._text[parent.open_end : parent.close_start]
        break_at = inside.rfind(b"\n", len(inside.rstrip(_BLANKS)))
        if break_at >= 0:
            indent = inside[break_at + 1 :]
            newline = b"\r\n" if inside[:break_at].endswith(b"\r") else b"\n"
        elif lead is None or not parent.is_self_closing:
            text = b"".join(self._render(node, newline, indent, unit) for node in nodes)
            if parent.is_self_closing:
                return (self._open_up(parent, text),)
            return (Splice(parent.close_start, parent.close_start, text),)
        deeper = self._comment_indent(parent) or indent + unit
        text = b"".join(
            newline + deeper + self._render(node, newline, deeper, unit) for node in nodes
        )
        if parent.is_self_closing:
            return (self._open_up(parent, text + newline + indent),)
        at = parent.close_start - len(indent) - len(newline)
        return (Splice(at, at, text),)

    def _open_up(self, element: Element, inside: bytes) -> Splice:
        """Open a self-closing tag; its own blank before the ``/`` stays, as the mark of it."""
        slash = element.end - 2
        tag = self._text[element.start : slash]
        mark = tag[len(tag.rstrip(_BLANKS)) :]
        name = element.name.encode(self.encoding)
        return Splice(
            slash - len(mark), element.end, _marked(mark) + b">" + inside + b"</" + name + b">"
        )

    def _comment_indent(self, parent: Element) -> bytes | None:
        inside = self._text[parent.open_end : parent.close_start]
        comment = inside.find(b"<!--")
        return self._blank_lead(parent.open_end + comment)[1] if comment >= 0 else None

    # -- layout ----------------------------------------------------------------------------

    def _line_lead(self, element: Element) -> tuple[bytes, bytes] | None:
        """Line end and indentation before an element that begins its line, else None."""
        if element.parent is None:
            return self.newline, b""
        newline, indent = self._blank_lead(element.start)
        return None if indent is None else (newline, indent)

    def _blank_lead(self, offset: int) -> tuple[bytes, bytes | None]:
        start = offset
        while start and self._text[start - 1] in b" \t":
            start -= 1
        if start and self._text[start - 1] == 10:
            crlf = start > 1 and self._text[start - 2] == 13
            return (b"\r\n" if crlf else b"\n"), self._text[start:offset]
        return b"", None

    def _unit(self, element: Element) -> bytes:
        """One level of indentation, as used around an element: its own beyond its parent's."""
        node: Element | None = element
        while node is not None and node.parent is not None:
            own, outer = self._line_lead(node), self._line_lead(node.parent)
            if own and outer and own[1].startswith(outer[1]) and len(own[1]) > len(outer[1]):
                return own[1][len(outer[1]) :]
            node = node.parent
        return self._usual_unit

    @cached_property
    def _usual_unit(self) -> bytes:
        for element in self.root.descendants():
            lead = self._line_lead(element)
            if lead and lead[1]:
                return lead[1]
        return b"\t"

    @cached_property
    def _self_closing_end(self) -> bytes:
        tight = self._text.count(b"/>") - self._text.count(b" />")
        return b"/>" if tight > self._text.count(b" />") else b" />"

    def _render(self, node: Node, newline: bytes, indent: bytes, unit: bytes) -> bytes:
        if node.verbatim is not None:
            return node.verbatim
        name = node.name.encode(self.encoding)
        if node.children:
            deeper = indent + unit
            inside = b"".join(
                newline + deeper + self._render(child, newline, deeper, unit)
                for child in node.children
            )
            return b"<" + name + b">" + inside + newline + indent + b"</" + name + b">"
        if node.text:
            return b"<" + name + b">" + self._escape(node.text) + b"</" + name + b">"
        return b"<" + name + self._self_closing_end

    def _escape(self, value: str) -> bytes:
        value = _checked(value).replace("&", "&amp;").replace("<", "&lt;")
        value = value.replace("]]>", "]]&gt;").replace("\r", "&#13;")
        if value and not value.strip(" \t\n"):
            value = f"&#{ord(value[0])};{value[1:]}"
        return value.replace("\n", self.newline.decode()).encode(self.encoding, "xmlcharrefreplace")

    def _cdata(self, value: str) -> bytes:
        if "]]>" in value or "\r" in value:
            return self._escape(value)
        body = _checked(value)
        try:
            encoded = body.replace("\n", self.newline.decode()).encode(self.encoding)
        except UnicodeEncodeError:
            return self._escape(value)
        return b"<![CDATA[" + encoded + b"]]>"


def splice(data: bytes, splices: Sequence[Splice]) -> bytes:
    """Carry out splices on bytes. They must not overlap; equal places keep their order."""
    parts: list[bytes] = []
    position = 0
    for part in sorted(splices, key=lambda each: (each.start, each.end)):
        if part.start < position:
            raise ValueError(f"splices overlap at offset {part.start}")
        parts += (data[position : part.start], part.text)
        position = part.end
    parts.append(data[position:])
    return b"".join(parts)


def _marked(blanks: bytes) -> bytes:
    """How an opened tag shows the blanks its ``/>`` had: one blank is kept as one."""
    return {b" ": b" ", b"": b"  "}.get(blanks, blanks + b" ")


def _unmarked(mark: bytes) -> bytes:
    return {b" ": b" ", b"  ": b""}.get(mark, mark[:-1])


def _checked(value: str) -> str:
    bad = _NOT_XML.search(value)
    if bad:
        raise BadBody(f"the character U+{ord(bad[0]):04X} cannot stand in an XML file")
    return value


def _end_of_blanks(data: bytes, offset: int) -> int:
    while offset < len(data) and data[offset] in _BLANKS:
        offset += 1
    return offset


def _encoding(data: bytes) -> tuple[str, bool]:
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


class _Parser:
    """expat events into a tree with byte offsets: one pass."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.root: Element | None = None
        self.open: list[Element] = []
        self.unfinished: Element | None = None
        """The element whose start tag ends where the next event begins."""
        self.run: list[str] = []
        self.run_start = 0
        self.in_cdata = False

    def parse(self, data: bytes, encoding: str) -> Element:
        self.data = data
        expat_parser = expat.ParserCreate(encoding)
        self.expat = expat_parser
        expat_parser.StartElementHandler = self.start_element
        expat_parser.EndElementHandler = self.end_element
        expat_parser.CharacterDataHandler = self.characters
        expat_parser.CommentHandler = self.other
        expat_parser.ProcessingInstructionHandler = self.other
        expat_parser.StartCdataSectionHandler = self.start_cdata
        expat_parser.EndCdataSectionHandler = self.end_cdata
        expat_parser.StartDoctypeDeclHandler = self.doctype
        try:
            expat_parser.Parse(data, True)
        except expat.ExpatError as error:
            raise self.not_well_formed(error) from None
        assert self.root is not None, "expat refuses a document without a root element"
        return self.root

    def begin_event(self) -> int:
        offset = self.expat.CurrentByteIndex
        if self.unfinished is not None:
            self.unfinished.open_end = offset
            self.unfinished = None
        if self.run:
            value = "".join(self.run)
            raw = self.data[self.run_start : offset]
            if self.open and raw.strip(_BLANKS):
                self.open[-1].texts.append(Text(self.run_start, offset, value, False))
            self.run = []
        return offset

    def start_element(self, name: str, attributes: dict[str, str]) -> None:
        offset = self.begin_event()
        if len(self.open) >= MAX_DEPTH:
            self.refuse(f"elements are nested deeper than {MAX_DEPTH} levels", offset)
        parent = self.open[-1] if self.open else None
        element = Element(name, attributes, offset, parent)
        if parent is None:
            self.root = element
        else:
            parent.children.append(element)
        self.open.append(element)
        self.unfinished = element

    def end_element(self, _name: str) -> None:
        is_first_event = self.unfinished is not None
        offset = self.begin_event()
        element = self.open.pop()
        if is_first_event and self.data[offset - 2 : offset] == b"/>":
            element.close_start = element.end = offset
        else:
            element.close_start = offset
            element.end = self.data.index(b">", offset) + 1

    def characters(self, text: str) -> None:
        if self.in_cdata or self.run:
            self.run.append(text)
        else:
            self.run_start = self.begin_event()
            self.run.append(text)

    def start_cdata(self) -> None:
        self.run_start = self.begin_event()
        self.in_cdata = True

    def end_cdata(self) -> None:
        end = self.expat.CurrentByteIndex + len("]]>")
        value = "".join(self.run)
        self.run = []
        self.in_cdata = False
        if self.open:
            self.open[-1].texts.append(Text(self.run_start, end, value, True))

    def other(self, *_: str) -> None:
        self.begin_event()

    def doctype(self, *_: object) -> None:
        offset = self.data.rfind(b"<!DOCTYPE", 0, self.expat.CurrentByteIndex + 1)
        self.refuse("a DOCTYPE is not allowed: remove it", offset)

    def refuse(self, reason: str, offset: int) -> None:
        line, column = self.document.place(offset)
        raise NotWellFormed(reason, file=self.document.file, line=line, column=column)

    def not_well_formed(self, error: expat.ExpatError) -> NotWellFormed:
        """expat's complaint, with what a person needs to find the mistake."""
        reason = expat.ErrorString(error.code) or "not well-formed"
        at_byte = self.expat.ErrorByteIndex
        line, column = self.document.place(at_byte)
        if self.open and error.code in (7, 3, 5):  # tag mismatch, no element, unclosed token
            opened = self.open[-1]
            at, _ = self.document.place(opened.start)
            reason += f": <{opened.name}> of line {at} is not closed"
        elif error.code == 11:
            reason += ": write & as &amp;"
        elif error.code == 4 and b"--" in self.data[max(at_byte - 2, 0) : at_byte + 2]:
            reason += ": a comment may not contain --"
        return NotWellFormed(reason, file=self.document.file, line=line, column=column)
