"""What an edit leaves untouched is not looked at again: the answer must be the one from scratch.

Beside each state, folded and built from the one before it, stands the same state read from the
beginning with nothing folded. Both must have the same trees, violations and differences, and the
same edit must make the same bytes of both.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omeconf.core.check import Checked, check
from omeconf.core.diff import changes
from omeconf.core.document import Document
from omeconf.core.edit import Edit, Verb, apply
from omeconf.core.effective import EffectiveElement
from omeconf.core.mapping import to_json
from omeconf.core.parse import Element
from omeconf.core.patch import forward
from omeconf.core.path import Path, Step, application, virtual_host
from omeconf.core.secrets import masked
from omeconf.core.snapshot import Snapshot
from omeconf.errors import NotWellFormed, OmeconfError
from omeconf.store.sources import Recorded
from tests.support import schema

APP = """<Application>
	<!-- the {0} -->
	<Name>{0}</Name>
	<Type>live</Type>
	<OutputProfiles>
		<OutputProfile><Name>p</Name><OutputStreamName>s</OutputStreamName>
			<Encodes><Video><Name>v</Name><Bypass>true</Bypass></Video></Encodes></OutputProfile>
	</OutputProfiles>
	<Providers><RTMP /><MPEGTS><StreamMap><Stream><Name>m</Name><Port>{1}/udp</Port></Stream>
		</StreamMap></MPEGTS></Providers>
	<Publishers><LLHLS><SegmentDuration>6</SegmentDuration></LLHLS></Publishers>
</Application>
"""
SERVER = """<?xml version="1.0" encoding="UTF-8"?>
<Server version="8">
<Name>größe</Name><Type>origin</Type><IP>*</IP>
<Bind><Managers><API><Port>8081</Port></API></Managers>
	<Providers><RTMP><Port>1935</Port></RTMP><MPEGTS><Port>4000-4003/udp</Port></MPEGTS></Providers></Bind>
<Managers><Host><Names><Name>*</Name></Names></Host>
	<API><AccessToken>secret</AccessToken></API></Managers>
<VirtualHosts>
<VirtualHost><Name>default</Name><Host><Names><Name>*</Name></Names></Host>
<Applications>
{}</Applications></VirtualHost>
<VirtualHost><Name>second</Name><Host><Names><Name>b.example</Name></Names></Host>
	<Applications>{}<!-- behind -->
	</Applications><CrossDomains><Url>*</Url></CrossDomains></VirtualHost>
<VirtualHost include="hosts/*.xml"/>
</VirtualHosts>
</Server>
"""
FILES = {
    "Server.xml": SERVER.format(
        "".join(APP.format(name, 4000 + place) for place, name in enumerate("abc")),
        APP.format("d", 4003),
    ).encode(),
    "hosts/more.xml": (
        "<VirtualHost><Name>more</Name><Host><Names><Name>c.example</Name></Names></Host>"
        f"<Applications>{APP.format('e', 4000)}</Applications></VirtualHost>"
    ).encode(),
}
SNIPPETS = [
    "<!-- more -->", "<!--", "-->", "<![CDATA[x]]>", "<![CDATA[", "<?p i?>", "stray", "\n", " ",
    "<Application/>", "<Application><Name>n</Name><Type>live</Type></Application>", "<Application>",
    "</Application>", "<Application ignore=\"true\"><Name>a</Name></Application>", "&amp;", "&",
    '<Application include="hosts/more.xml"/>', "<Nonsense/>", "<Name>a</Name>", "<Type>dead</Type>",
    "</Applications><Applications>", "</VirtualHost><VirtualHost><Name>new</Name>", "<SRT/>", "]]>",
    "<OutputStreamName>s</OutputStreamName>", "${env:NAME}", "<Application a='>'>",
    "</Application >", "<Publishers><LLHLS/></Publishers>", "ü", "<a>" * 95, "9999999999",
    "<AccessToken>other</AccessToken>", "<RTMP/>", "\r\n",
    "<Application><Name>x</Name>" + "<A>" * 70 + "</A>" * 70 + "</Application>",
]  # fmt: skip
ENV = {"NAME": "f"}


def read(files: dict[str, bytes], like: Checked | None, *, is_folded: bool) -> Checked:
    """A state: like an older one, or from the beginning."""
    older = like.snapshot if like is not None else None
    if not is_folded:
        parsed = {}
        for name, data in files.items():
            try:
                parsed[name] = Document(data, file=name, is_folded=False)
            except NotWellFormed:
                continue
        older = Snapshot(files, env=ENV, parsed=parsed)
    taken = Snapshot.take(Recorded(files), folder="/conf", env=ENV, like=older)
    return check(taken, schema(), like)


def shape(element: Element) -> Any:
    """Everything about an element and those below it."""
    own = (element.name, dict(element.attributes), element.start, element.open_end)
    texts = [(each.start, each.end, each.value, each.is_cdata) for each in element.texts]
    children = [shape(child) for child in element.children]
    assert all(child.parent is element for child in element.children)
    return (*own, element.close_start, element.end, texts, children)


def seen(node: EffectiveElement) -> Any:
    """What the engine sees from an element on."""
    return (
        str(node.path), node.place_path, node.place, node.document.file, node.element.value,
        node.site.start, sorted(node.written), [seen(child) for child in node.children],
    )  # fmt: skip


def must_agree(folded: Checked, plain: Checked) -> None:
    """The same state, found in two ways."""
    assert folded.snapshot.files == plain.snapshot.files
    assert folded.snapshot.includes == plain.snapshot.includes
    assert folded.violations == plain.violations
    assert folded.errors == plain.errors
    assert masked(folded).files == masked(plain).files
    for name, document in plain.snapshot.parsed.items():
        assert shape(folded.snapshot.document(name).root) == shape(document.root)
    if plain.root is None:
        assert folded.root is None
        return
    assert folded.root is not None
    assert seen(folded.root) == seen(plain.root)
    assert to_json(folded.root) == to_json(plain.root)


def by_hand(rng: random.Random, files: dict[str, bytes]) -> dict[str, bytes]:
    """The files after somebody has typed something somewhere."""
    name = rng.choice(sorted(files))
    text = files[name].decode()
    places = [match.start() for match in re.finditer(r"[<>]|(?<=>)", text)] or [0]
    at, to = sorted(rng.choice(places) for _ in range(2))
    apps = [
        match.span() for match in re.finditer(r"<Application>.*?</Application>", text, re.DOTALL)
    ]
    kind = rng.randrange(7)
    if kind == 0:
        text = text[:at] + rng.choice(SNIPPETS) + text[at:]
    elif kind == 1:
        text = text[:at] + text[min(to, at + 80) :]
    elif kind == 2 and apps:
        start, end = rng.choice(apps)
        text = (
            text[:end] + rng.choice(["", "\n", "\n<!-- copy -->\n"]) + text[start:end] + text[end:]
        )
    elif kind == 3 and apps:
        start, end = rng.choice(apps)
        text = text[:start] + text[end:]
    elif kind == 4 and len(apps) > 1:
        (a, b), (c, d) = sorted(rng.sample(apps, 2))
        text = text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]
    elif kind == 5:
        numbers = list(re.finditer(r">(\d+|[a-z]+)<", text))
        if numbers:
            one = rng.choice(numbers)
            text = text[: one.start(1)] + rng.choice(["7", "a", "live", "*"]) + text[one.end(1) :]
    else:
        text = text.replace(*rng.choice([("live", "dead"), ("Type>live", "Type>live"), ("6", "8")]))
    return {**files, name: text.encode()}


def random_edit(rng: random.Random) -> Edit:
    """Something that is asked for over the API."""
    host = rng.choice(["default", "second", "more", "new"])
    app: Path = application(host, rng.choice("abcdefg"))
    second = Step("Application", None, 2)
    value: Any = {"type": "live", "providers": {"rtmp": {}, "srt": {}}}
    edits: list[Callable[[], Edit]] = [
        lambda: Edit(
            Verb.MERGE, app, {"publishers": {"llhls": {"segmentDuration": rng.randrange(9)}}}
        ),
        lambda: Edit(Verb.MERGE, app, {"publishers": {"webrtc": {}, "llhls": None}}),
        lambda: Edit(Verb.MERGE, app, {"providers": {"rtmp": None, "srt": {}}}),
        lambda: Edit(Verb.CREATE, app, {**value, "name": app.last.key}),
        lambda: Edit(Verb.DELETE, app),
        lambda: Edit(Verb.REPLACE, app, {**value, "name": rng.choice(["a", app.last.key])}),
        lambda: Edit(Verb.MERGE, virtual_host(host), {"host": {"names": ["x.example"]}}),
        lambda: Edit(Verb.DELETE, virtual_host(host) / "Applications"),
        lambda: Edit(Verb.CREATE, virtual_host("new"), {"name": "new"}),
        lambda: Edit(Verb.DELETE, virtual_host(host) / "Applications" / second),
        lambda: Edit(Verb.MERGE, Path((Step("Server"),)), {"bind": {"providers": {"rtmp": None}}}),
    ]  # fmt: skip
    return rng.choice(edits)()


def edited(found: Checked, edit: Edit) -> Snapshot | str:
    """What an edit makes of a state, or in which words it is refused."""
    assert found.root is not None
    try:
        return apply(found.snapshot, found.root, edit)
    except OmeconfError as error:
        return f"{type(error).__name__}: {error}"


def walk(seed: int, steps: int) -> None:
    """Edit after edit, by hand and over the API, each held against the same from scratch."""
    rng = random.Random(seed)
    files = dict(FILES)
    folded, plain = (read(files, None, is_folded=each) for each in (True, False))
    must_agree(folded, plain)
    for _ in range(steps):
        before, plain_before = folded, plain
        if rng.random() < 0.5 and plain.root is not None:
            edit = random_edit(rng)
            one, other = edited(folded, edit), edited(plain, edit)
            if isinstance(one, str) or isinstance(other, str):
                assert one == other
                continue
            assert one.files == other.files
            for name, patch in one.patches_from(before.snapshot).items():
                assert forward(before.snapshot.files[name], patch) == one.files[name]
            folded = check(one, schema(), before)
            files = {**files, **one.files}
        else:
            changed = by_hand(rng, files)
            folded = read(changed, before, is_folded=True)
            if folded.errors and rng.random() < 0.8:
                must_agree(folded, read(changed, None, is_folded=False))
                folded = before  # mostly it is put right again
                continue
            files = changed
        plain = read(files, None, is_folded=False)
        must_agree(folded, plain)
        assert changes(before.root, folded.root) == changes(plain_before.root, plain.root)
        if not before.errors:
            assert set(folded.new_since(before)) <= set(plain.new_since(plain_before))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32))
def test_random_edits(seed: int) -> None:
    """Some hundred edits, among them many that nobody would make."""
    walk(seed, steps=12)


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32))
def test_thousands_of_random_edits(seed: int) -> None:
    """The same, for minutes."""
    walk(seed, steps=20)
