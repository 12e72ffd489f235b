from __future__ import annotations

from typing import Any

import pytest

from omeconf.core.effective import EffectiveElement
from omeconf.core.lint import APPLICATION_LINTS
from omeconf.core.rules import (
    APPLICATION_RULES,
    RULED,
    RULES_BETWEEN,
    SERVER_RULES,
    unaddressable,
)
from omeconf.core.violation import Severity
from tests.support import checked

SERVER = """<Server version="8"><Type>origin</Type><IP>*</IP>{bind}{managers}
<VirtualHosts>{hosts}</VirtualHosts></Server>"""
HOST = """<VirtualHost><Name>{0}</Name><Host><Names><Name>{0}</Name></Names></Host>
<Applications>{1}</Applications></VirtualHost>"""
APP = "<Application><Name>{}</Name><Type>live</Type>{}</Application>"
PROFILES = "<OutputProfiles>{}</OutputProfiles>"
PROFILE = """<OutputProfile><Name>{}</Name><OutputStreamName>{}</OutputStreamName>{}</OutputProfile>
"""
SUBTITLES = "<Subtitles><Enable>true</Enable></Subtitles>"
VIDEO = "<Video>{}<Codec>h264</Codec><Bitrate>1M</Bitrate></Video>"


def server(apps: str = "", *, hosts: str = "", bind: str = "<Bind/>", managers: str = "") -> str:
    return SERVER.format(bind=bind, managers=managers, hosts=hosts or HOST.format("default", apps))


def profile(inside: str) -> str:
    return server(APP.format("a", PROFILES.format(PROFILE.format("p", "s", inside))))


def encodes(inside: str) -> str:
    return profile(f"<Encodes>{inside}</Encodes>")


def playlist(inside: str, more: str = "") -> str:
    made = f"<Encodes>{VIDEO.format('<Name>v</Name>')}{VIDEO.format('')}</Encodes>"
    return profile(f"{made}<Playlist><FileName>f</FileName>{inside}</Playlist>{more}")


def api(bind: str, token: str) -> str:
    managers = f"<Managers><API><AccessToken>{token}</AccessToken></API></Managers>"
    return server(bind=f"<Bind><Managers><API>{bind}</API></Managers></Bind>", managers=managers)


RENDITION = "<Rendition><Name>{}</Name><Video>{}</Video></Rendition>"
PROFILE_P = PROFILE.format("p", "s", "")
REFUSED = {
    "two hosts": (server(hosts=HOST.format("h", "") * 2), "duplicate-name"),
    "two applications": (server(APP.format("a", "") * 2), "duplicate-name"),
    "# is _": (server(APP.format("a#b", "") + APP.format("a_b", "")), "duplicate-name"),
    "two profiles": (
        server(APP.format("a", PROFILES.format(PROFILE_P + PROFILE.format("p", "t", "")))),
        "dropped-application",
    ),
    "two streams": (
        server(APP.format("a", PROFILES.format(PROFILE_P + PROFILE.format("q", "s", "")))),
        "dropped-application",
    ),
    "no profile name": (
        server(APP.format("a", PROFILES.format(PROFILE.format("", "s", "")))),
        "dropped-application",
    ),
    "no codec": (encodes("<Video><Bitrate>1M</Bitrate></Video>"), "missing-element"),
    "no bitrate": (encodes("<Audio><Codec>aac</Codec></Audio>"), "missing-element"),
    "bypass yes is no": (
        encodes("<Video><Bypass>yes</Bypass><Codec>h264</Codec></Video>"), "missing-element"),
    "601 frames": (
        encodes(VIDEO.format("<KeyFrameInterval>601</KeyFrameInterval>")), "invalid-value"),
    "TIME is not time": (
        encodes(VIDEO.format("<KeyFrameIntervalType>TIME</KeyFrameIntervalType>"
                             "<KeyFrameInterval>700</KeyFrameInterval>")), "invalid-value"),
    "no rendition of it": (playlist(RENDITION.format("r", "w")), "unknown-reference"),
    "two renditions": (playlist(RENDITION.format("r", "v") * 2), "duplicate-name"),
    "two playlists": (
        playlist("", "<Playlist><FileName>f</FileName></Playlist>"), "duplicate-name"),
    "empty track set": (
        profile("<TrackSet><Name>t</Name></TrackSet>"), "missing-element"),
    "no subtitles": (
        server(APP.format("a", "<Subtitles><Enable>true</Enable></Subtitles>")),
        "missing-element"),
    "no such label": (
        server(APP.format("a", "<Subtitles><DefaultLabel>x</DefaultLabel></Subtitles>")),
        "unknown-reference"),
    "no token": (api("<Port>8081</Port>", ""), "missing-token"),
    "http and https": (
        api("<Port>8081</Port><TLSPort>8081</TLSPort>", "t"), "port-conflict"),
}  # fmt: skip
TAKEN = {
    "hosts differ in case": server(hosts=HOST.format("h", "") + HOST.format("H", "")),
    "same name in two hosts": server(
        hosts=HOST.format("h", APP.format("a", "")) + HOST.format("i", APP.format("a", ""))
    ),
    "bypass": encodes("<Video><Bypass>TRUE</Bypass></Video>"),
    "time": encodes(
        VIDEO.format(
            "<KeyFrameIntervalType>time</KeyFrameIntervalType>"
            "<KeyFrameInterval>10000</KeyFrameInterval>"
        )
    ),
    "numbered encode": playlist(RENDITION.format("r", "video_0")),
    "rendition of it": playlist(RENDITION.format("r", "v")),
    "label": server(
        APP.format(
            "a",
            "<Subtitles><Enable>true</Enable><DefaultLabel>x</DefaultLabel>"
            "<Rendition><Label>x</Label><Language>en</Language></Rendition></Subtitles>",
        )
    ),
    "no port, no token": api("", ""),
    "unknown token": api("<Port>1</Port>", "${env:TOKEN}"),
    "shared http": api("<Port>8081</Port><TLSPort>8082</TLSPort>", "t"),
}


@pytest.mark.parametrize(("text", "code"), REFUSED.values(), ids=REFUSED)
def test_refused(text: str, code: str) -> None:
    """The engine would not run this as a whole, and its words for it are known."""
    errors = checked(text).errors
    assert [error.code for error in errors] == [code]
    assert errors[0].says


@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN)
def test_taken(text: str) -> None:
    """The engine runs this, so it is no error."""
    assert checked(text).is_good


def test_second_template() -> None:
    """Two applications named * are not refused, but the first is lost."""
    found = checked(server(APP.format("*", "") * 2))
    assert [(v.severity, v.code) for v in found.violations] == [
        (Severity.WARNING, "duplicate-template")
    ]


def test_every_rule_says_what_it_is_for() -> None:
    """Each rule has its reason in a sentence, and finds nothing in a tree without it."""
    for rule in (*SERVER_RULES, *RULES_BETWEEN, *APPLICATION_RULES):
        assert rule.__doc__, rule
        root = checked(server()).root
        assert root is not None
        assert list(rule(root, None)) == []


@pytest.mark.parametrize("name", ["", ".", "..", " a", "a/b", "a:b", "a#b", "50%", "a?", "*", "\t"])
def test_names_that_cannot_be_addressed(name: str) -> None:
    """A client could not reach such a thing again, so a new one may not be named so."""
    assert unaddressable(name)


def test_names_that_can() -> None:
    """Blanks inside, dots and letters of any script are fine."""
    assert not any(map(unaddressable, ["app", "my app", "a.b", "хост", "a_b-c"]))


def test_what_is_ruled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules and lints of an application look at no other children of it than they say."""
    asked: set[str] = set()
    tracks = "<TrackSet><Name>t</Name></TrackSet>"
    rich = playlist("<Rendition><Video>v</Video></Rendition>", tracks)
    rich = rich.replace("</Application>", SUBTITLES + "</Application>")
    root = checked(rich).root
    assert root is not None
    (application,) = root.every("VirtualHosts/VirtualHost/Applications/Application")
    real = EffectiveElement._filled

    def filled(node: EffectiveElement) -> dict[str, Any]:
        found = real(node)
        return Asked(found, asked) if node is application else found

    monkeypatch.setattr(EffectiveElement, "_filled", filled)
    for rule in (*APPLICATION_RULES, *APPLICATION_LINTS):
        list(rule(application, None))
    assert asked == set(RULED)


class Asked(dict[str, Any]):
    """Children that say who asked for them."""

    def __init__(self, found: dict[str, Any], asked: set[str]) -> None:
        super().__init__(found)
        self.asked = asked

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)
