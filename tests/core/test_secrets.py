"""Secrets are hidden wherever they stand in a file, read by the engine or not."""

from __future__ import annotations

import pytest

from omeconf.core.check import check
from omeconf.core.document import Document
from omeconf.core.secrets import masked
from omeconf.core.snapshot import Snapshot
from tests.support import schema

SECRET = b"sesame-4711"

SERVER = b"""<?xml version="1.0" encoding="UTF-8"?>
<Server version="8">
\t<Name>main</Name><!-- not a secret -->
\t<Type>origin</Type>
\t<Bind><Managers><API><Port>8081</Port></API></Managers></Bind>
\t<Managers>
\t\t<API>
\t\t\t<AccessToken>sesame-4711</AccessToken>%s
\t\t</API>
\t</Managers>
\t<VirtualHosts/>
</Server>
"""

HIDDEN = {
    "once": b"",
    "second": b"<AccessToken>sesame-4711</AccessToken>",
    "ignored": b'<AccessToken ignore="true">sesame-4711</AccessToken>',
    "below ignored": b'<X ignore="true"><SecretKey>sesame-4711</SecretKey></X>',
    "comment": b"<!-- <AccessToken>sesame-4711</AccessToken> -->",
    "comment in lines": b"<!--\n\t<AccessToken>\n\tsesame-4711\n</AccessToken>\n-->",
    "two in a comment": b"<!-- <SecretKey>sesame-4711</SecretKey><SecretKey>sesame-4711"
    b"</SecretKey> -->",
    "comment, half an element": b"<!-- <AccessToken>sesame-4711 -->",
    "comment, half a tag": b"<!-- <AccessToken sesame-4711 -->",
    "in the value": b'<AccessToken ignore="true"><!-- a -->sesame-4711<!-- b --></AccessToken>',
    "cdata": b'<AccessToken ignore="true"><![CDATA[sesame-4711<!-- <AccessToken>x]]></AccessToken>',
    "cdata elsewhere": b'<X ignore="true"><![CDATA[<AccessToken>sesame-4711</AccessToken>]]></X>',
    "cdata that looks like a comment": b'<X ignore="true"><![CDATA[<!-- <AccessToken>]]></X>'
    b"<!-- AccessToken: sesame-4711 -->",
    "cdata that looks like an instruction": b'<X ignore="true"><![CDATA[<?]]></X>'
    b"<AccessToken>sesame-4711</AccessToken><?z?>",
    "comment with another end": b"<!-- <AccessToken>a</b>sesame-4711</AccessToken> -->",
    "comment with cdata": b"<!-- <AccessToken><![CDATA[x</sesame-4711]]></AccessToken> -->",
    "comment inside": b"<AccessToken>x<!-- sesame-4711 --></AccessToken>",
    "instruction inside": b"<AccessToken>x<?old sesame-4711?></AccessToken>",
    "element inside": b'<AccessToken ignore="true">x<Y>sesame-4711</Y></AccessToken>',
    "attribute": b'<AccessToken ignore="true" old="sesame-4711"/>',
    "instruction": b"<?old <AccessToken>sesame-4711</AccessToken>?>",
}


@pytest.mark.parametrize("more", HIDDEN.values(), ids=HIDDEN)
def test_no_secret_is_left(more: bytes) -> None:
    data = SERVER % more
    shown = masked(check(Snapshot({"Server.xml": data}), schema())).files["Server.xml"]
    assert SECRET not in shown
    Document(shown)
    assert shown.startswith(data[: data.index(b"sesame")])
    assert shown.endswith(b"</API>\n\t</Managers>\n\t<VirtualHosts/>\n</Server>\n")


def test_what_cannot_be_read_is_empty() -> None:
    for data in (SERVER.replace(b"%s", b"<"), (SERVER % b"").decode().encode("utf-16")):
        shown = masked(check(Snapshot({"Server.xml": data}), schema()))
        assert shown.files == {"Server.xml": b""}
