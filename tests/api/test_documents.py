"""Single elements as text; what it is compared with; and states compared with each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from omeconf.core.path import virtual_host
from omeconf.settings import Api, Settings
from tests.support.api import (
    APP,
    OWN,
    ROLES,
    SECRET,
    SERVER,
    ApiInProcess,
    app_path,
    basic,
)

LIVE = f"{OWN}/document?path={quote(app_path('app'))}"
HOST = f"{OWN}/document?path={quote(str(virtual_host('default')))}"
BIND = f"{OWN}/document?path=/Server/Bind"
CHECK = f"{OWN}/check?path={quote(app_path('app'))}"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiInProcess]:
    with ApiInProcess(tmp_path, Settings(api=Api(tokens=ROLES))) as made:
        yield made


def test_one_element(api: ApiInProcess) -> None:
    """It comes as it is written, and takes its own place again; all around stays."""
    before = api.call("GET", LIVE)
    assert before.text.startswith("<Application>")
    assert before.text in SERVER
    line, column = map(int, before.headers["Omeconf-Place"].split(":"))
    assert SERVER.splitlines()[line - 1][column - 1 :] == "<Application>"
    assert before.headers["Omeconf-File"] == "Server.xml"
    changed = before.text.replace(">6<", ">5<").replace("<Type>", "<!-- ü -->\r\n<Type>")
    tag = {"If-Match": before.headers["ETag"]}
    assert api.call("GET", LIVE, headers={"If-None-Match": tag["If-Match"]}).status_code == 304
    dry = api.call("PUT", f"{LIVE}&dryRun=true", changed.encode(), headers=tag)
    assert [each["new"] for each in dry.json()["changes"]] == ["5"]
    assert api.text == SERVER
    answer = api.call("PUT", LIVE, changed.encode(), headers=tag)
    assert answer.status_code == 200, answer.text
    assert [each["application"] for each in answer.json()["plan"]] == ["app"]
    assert api.text == SERVER.replace(before.text, changed)
    assert api.call("GET", LIVE).headers["ETag"] == answer.headers["ETag"]
    api.must_be_good()


def test_one_element_of_an_included_file(tmp_path: Path) -> None:
    """The headers name the file that it is written in, whatever letters that has."""
    start, end = SERVER.index("<VirtualHost>"), SERVER.index("</VirtualHost>")
    host = SERVER[start : end + len("</VirtualHost>")]
    text = SERVER.replace(host, '<VirtualHost include="vh/ö.xml"/>')
    (tmp_path / "vh").mkdir()
    with ApiInProcess(tmp_path, text=text, files={"vh/ö.xml": f"<!-- -->\n{host}"}) as api:
        headers = api.call("GET", HOST).headers
        assert unquote(headers["Omeconf-File"]) == "vh/ö.xml"
        assert headers["Omeconf-Place"] == "2:1"


def test_edits_elsewhere_are_no_conflict(api: ApiInProcess) -> None:
    """The ETag is that of the element: what changes beside it stays, what changes in it is 412."""
    before = api.call("GET", LIVE)
    tag = {"If-Match": before.headers["ETag"]}
    beside = api.commit(("merge", app_path("other"), {"providers": {"rtmp": {}}}))
    assert beside.status_code == 200
    changed = before.text.replace(">6<", ">5<").encode()
    assert api.call("PUT", LIVE, changed, headers=tag).status_code == 200
    assert "<RTMP" in api.text[api.text.index("other") :]
    assert api.call("PUT", LIVE, before.text.encode(), headers=tag).status_code == 412
    assert ">5<" in api.text


def test_a_manual_edit_is_no_less_than_another(api: ApiInProcess) -> None:
    """What was saved by hand meanwhile is taken up first: 412 if it is in the element."""
    before = api.call("GET", LIVE)
    tag = {"If-Match": before.headers["ETag"]}
    api.file.write_text(SERVER.replace(">6<", ">7<"))
    assert api.call("PUT", LIVE, before.text.encode(), headers=tag).status_code == 412
    assert api.text == SERVER.replace(">6<", ">7<")


def test_an_element_with_another_name(api: ApiInProcess) -> None:
    """A new name makes it another resource."""
    before = api.call("GET", LIVE)
    changed = before.text.replace("<Name>app<", "<Name>fair<").encode()
    answer = api.call("PUT", LIVE, changed, headers={"If-Match": before.headers["ETag"]})
    assert answer.status_code == 200
    assert "ETag" not in answer.headers
    assert api.call("GET", LIVE).status_code == 404
    api.must_be_good()


@pytest.mark.parametrize(
    ("path", "data", "match", "status"),
    [
        (LIVE, b"<Application/>", None, 428),
        (LIVE, b"<Application/>", '"1-00"', 412),
        (LIVE, b"<Application>", "*", 422),
        (LIVE, b"<Foo/>", "*", 400),
        (LIVE, b"\xff", "*", 400),
        (LIVE, b"<Application><Name>app</Name><Type>x</Type></Application>", "*", 422),
        (f"{OWN}/document?path=/Server/Nowhere", b"<Nowhere/>", "*", 404),
        (f"{OWN}/document?path=Bind", b"<Bind/>", "*", 400),
        (f"{OWN}/document?path=", b"<Server/>", "*", 400),
        (LIVE.replace("%22app", "%22none"), b"<Application/>", "*", 404),
    ],
)
def test_refused(api: ApiInProcess, path: str, data: bytes, match: str | None, status: int) -> None:
    """A clear answer, and nothing has changed."""
    headers = {} if match is None else {"If-Match": match}
    answer = api.call("PUT", path, data, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["title"]
    assert (api.text, api.revision) == (SERVER, 1)


def test_roles(api: ApiInProcess) -> None:
    """write may change elements of virtual hosts, and no others; readers see no secrets."""
    api.header = basic("pen")
    before = api.call("GET", LIVE)
    tag = {"If-Match": before.headers["ETag"]}
    changed = before.text.replace(">6<", ">5<").encode()
    assert api.call("PUT", LIVE, changed, headers=tag).status_code == 200
    bind = api.call("GET", BIND)
    refused = api.call("PUT", BIND, bind.content, headers={"If-Match": bind.headers["ETag"]})
    assert refused.status_code == 403
    whole = api.call("PUT", f"{OWN}/document", b"<Server/>", headers={"If-Match": "*"})
    assert whole.status_code == 403
    assert SECRET in api.call("GET", HOST).text
    api.header = basic("look")
    shown = api.call("GET", HOST)
    assert "***" in shown.text
    assert SECRET not in shown.text
    assert api.call("PUT", LIVE, changed, headers={"If-Match": "*"}).status_code == 403


def test_base(api: ApiInProcess) -> None:
    """?base=N: only if nothing at all has changed since revision N."""
    changed = SERVER.replace(">6<", ">5<").encode()
    assert api.call("PUT", f"{OWN}/document?base=1", changed).status_code == 200
    for method, path, body in (
        ("PUT", f"{OWN}/document?base=1", SERVER.encode()),
        ("PATCH", f"{APP}?base=1", {"type": "vod"}),
        ("POST", f"{OWN}/rollback?base=1", {"revision": 1}),
        ("POST", f"{OWN}/transactions?base=1", {"edits": [
            {"verb": "merge", "path": app_path("app"), "value": {"type": "vod"}}]}),
    ):  # fmt: skip
        for dry in ("", "&dryRun=true"):
            answer = api.call(method, path + dry, body)
            assert answer.status_code == 412, (path, dry, answer.text)
            assert "revision 1 is not the newest" in answer.text
        assert api.call(method, path.replace("base=1", "base=x"), body).status_code == 400
    assert api.revision == 2
    assert api.call("POST", f"{OWN}/rollback?base=2", {"revision": 1}).status_code == 200
    assert api.text == SERVER


# -- check -----------------------------------------------------------------------------------------


def test_check_one_element(api: ApiInProcess) -> None:
    """Its violations have their places in the file, and nothing changes."""
    text = api.call("GET", LIVE).text
    good = api.call("POST", CHECK, text.replace(">6<", ">5<").encode())
    assert good.json()["good"] is True
    assert [each["new"] for each in good.json()["changes"]] == ["5"]
    first = int(good.headers["Omeconf-Place"].split(":")[0])
    for wrong in (text.replace("<LLHLS>", "<LLHLS><Foo/>"), text.replace("</LLHLS>", "</LLHL>")):
        found = api.call("POST", CHECK, wrong.encode()).json()
        assert found["good"] is False
        errors = [each for each in found["violations"] if each["severity"] == "error"]
        line = errors[0]["line"] - first
        assert "Foo" in wrong.splitlines()[line] or "</LLHL>" in wrong.splitlines()[line]
    assert (api.text, api.revision) == (SERVER, 1)


def test_check_against_an_older_state(api: ApiInProcess) -> None:
    """What would change is told from the state that is named; nothing makes the engine follow."""
    api.call("PATCH", APP, {"publishers": {"llhls": {"segmentDuration": 5}}})
    body = SERVER.replace(">6<", ">4<").encode()
    for name, old in (("head", "5"), ("1", "6"), ("2", "5"), ("running", "6")):
        found = api.call("POST", f"{OWN}/check?against={name}", body).json()
        assert [(each["old"], each["new"]) for each in found["changes"]] == [(old, "4")], name
    assert api.call("POST", f"{OWN}/check?against=9", body).status_code == 404
    assert api.call("POST", f"{OWN}/check?against=x", body).status_code == 400


# -- diff ------------------------------------------------------------------------------------------


def compare(api: ApiInProcess, old: str, new: str) -> dict[str, object]:
    """What differs between two states."""
    answer = api.call("GET", f"{OWN}/diff?from={old}&to={new}")
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def test_compare_two_states(api: ApiInProcess) -> None:
    """Any two of disk, head, running, healthy and revisions."""
    path = f"{APP}?reload=skip"
    api.call("PATCH", path, {"publishers": {"llhls": {"segmentDuration": 5}}})
    found = compare(api, "running", "head")
    assert found["from"] == {"name": "running", "revision": 1}
    assert found["to"] == {"name": "head", "revision": 2}
    assert "-\t\t\t\t\t\t\t<SegmentDuration>6<" in str(found["diff"])
    assert found["plan"] == [
        {"scope": "application", "action": "restart", "virtualHost": "default",
         "application": "app"}
    ]  # fmt: skip
    assert compare(api, "disk", "head")["diff"] == ""
    back = compare(api, "2", "1")
    assert "+\t\t\t\t\t\t\t<SegmentDuration>6<" in str(back["diff"])
    assert api.call("GET", f"{OWN}/diff?to=healthy").status_code == 404
    assert api.call("GET", f"{OWN}/diff?to=yesterday").status_code == 400
    assert api.call("GET", f"{OWN}/diff?to=99").status_code == 404


def test_compare_with_a_broken_disk(api: ApiInProcess) -> None:
    """What was edited by hand and is wrong is shown, with what is wrong, and without a plan."""
    api.file.write_text(SERVER.replace("</LLHLS >", "<Oops/></LLHLS >"))
    found = compare(api, "head", "disk")
    assert found["to"] == {"name": "disk", "revision": None}
    assert found["good"] is False
    assert "plan" not in found
    assert "+\t\t</Providers><Publishers ><LLHLS ><Port>3333</Port><Oops/>" in str(found["diff"])
    api.header = basic("look")
    assert SECRET not in str(compare(api, "head", "disk"))
    api.file.write_text(SERVER.replace("</Server>", ""))
    assert compare(api, "head", "disk")["diff"] == ""


# -- what may not be seen, or done -----------------------------------------------------------------


def test_a_reader_and_a_broken_file(api: ApiInProcess) -> None:
    """What is broken may show a secret under any name: of it a reader sees no line and no text."""
    wrong = SERVER.replace("<AccessToken>s3cret</AccessToken>", "<AccesToken>s3cret</AccesToken>")
    wrong = wrong.replace("<SignedPolicy>", "<SignedPolicy>LOOSE")
    api.file.write_text(wrong)
    api.service.submit(api.service.tick).result()
    api.header = basic("look")
    for method, path in (
        ("GET", f"{OWN}/diff?from=head&to=disk"),
        ("GET", f"{OWN}/diff?from=disk&to=head"),
        ("POST", f"{OWN}/check"),
        ("GET", f"{OWN}/status"),
    ):
        answer = api.call(method, path)
        assert answer.status_code == 200, answer.text
        assert "s3cret" not in answer.text, path
        assert "LOOSE" not in answer.text, path
    api.header = basic("pen")
    assert "s3cret" in api.call("GET", f"{OWN}/diff?from=head&to=disk").text


def test_a_reader_of_an_included_element(tmp_path: Path) -> None:
    """It is found for readers too; where secrets cannot be hidden, it is 403."""
    more = "<VirtualHost><Name>more</Name><Host><Names><Name>m</Name></Names></Host></VirtualHost>"
    text = SERVER.replace("</VirtualHosts>", '<VirtualHost include="more.xml"/></VirtualHosts>')
    settings = Settings(api=Api(tokens=ROLES))
    (tmp_path / "one").mkdir()
    with ApiInProcess(tmp_path / "one", settings, text, files={"more.xml": more}) as api:
        api.header = basic("look")
        found = api.call("GET", f"{OWN}/document?path={quote(str(virtual_host('more')))}")
        assert (found.status_code, found.text) == (200, more)
    (tmp_path / "two").mkdir()
    with ApiInProcess(tmp_path / "two", settings) as api:
        api.file.write_bytes(SERVER.replace("UTF-8", "UTF-16").encode("utf-16"))
        api.service.submit(api.service.tick).result()
        api.header = basic("look")
        assert api.call("GET", LIVE).status_code == 403


def test_files_outside(tmp_path: Path) -> None:
    """A check by others than admin reads none that is not in use; no diff shows one."""
    outside = tmp_path / "outside.xml"
    outside.write_text("<VirtualHost><Name>PRIVATE</Name></VirtualHost>")
    folder = tmp_path / "conf"
    folder.mkdir()
    text = SERVER.replace("</VirtualHosts>", f'<VirtualHost include="{outside}"/></VirtualHosts>')
    listing = text.replace(str(outside), f"{tmp_path}/*")
    with ApiInProcess(folder, Settings(api=Api(tokens=ROLES))) as api:
        for token in ("look", "pen"):
            api.header = basic(token)
            for body in (text, listing):
                answer = api.call("POST", f"{OWN}/check", body.encode())
                assert "PRIVATE" not in answer.text
                assert "outside.xml" not in answer.text.replace(str(outside), "")
        api.file.write_text(text.replace("<Bind>", "<Bind><Oops/>"))
        for path in (f"{OWN}/diff?from=disk&to=head", f"{OWN}/diff?from=head&to=disk"):
            assert "PRIVATE" not in api.call("GET", path).json()["diff"]


def test_a_dry_run_of_a_stale_file(api: ApiInProcess) -> None:
    """A manual edit that is not taken up yet makes it 412, as for real."""
    tag = {"If-Match": api.etag(f"{OWN}/document")}
    api.file.write_text(SERVER.replace(">6<", ">7<"))
    mine = SERVER.replace(">6<", ">5<").encode()
    for query in ("?dryRun=true", ""):
        assert api.call("PUT", f"{OWN}/document{query}", mine, headers=tag).status_code == 412
