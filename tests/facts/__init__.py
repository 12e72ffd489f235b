"""One example for each thing the real engine was seen to take or to refuse.

The facts are numbered in shared/ome/loader.md; what each example must give was written down from
there, not from what check() says. `C14` is row 14 (its section's letter before it), `V2` a row of
the table of validators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """A configuration, and the worst that may be said about it."""

    fact: str
    name: str
    text: str
    """The whole Server.xml."""
    verdict: str = "good"
    """good (no error and no warning; advice is allowed), warning or error."""
    at: str = ""
    """What the violation is about, as it stands in the file: a value, or ``<Name``."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Other files beside it."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The engine's environment; ``FOLDER`` is the configuration folder."""
    code: str = ""
    """The code of the violation, where several could be meant."""


END = "the end of the file"
"""What a case is about where something is missing there."""

Build = Callable[[str], str]
"""Makes a whole Server.xml around a piece of XML."""

HEAD = "<Type>origin</Type><IP>*</IP>"
PROLOG = '<?xml version="1.0" encoding="UTF-8"?>\n'


def server(inside: str = "", *, bind: str = "", head: str = HEAD, start: str = "") -> str:
    """A Server.xml with something in its root, or in Bind."""
    start = start or '<Server version="8">'
    bind = f"<!-- für -->{bind}\n\t" if bind else ""
    return f"{PROLOG}{start}\n\t{head}\n\t<Bind>{bind}</Bind>\n\t<!-- ü -->{inside}\n</Server>\n"


def bound(inside: str) -> str:
    """A Server.xml with something in Bind."""
    return server(bind=inside)


def hosts(*inside: str) -> str:
    """A Server.xml with virtual hosts."""
    return server(f"<VirtualHosts>\n\t\t{''.join(inside)}\n\t</VirtualHosts>")


def host(inside: str = "", name: str = "default", names: str = "*") -> str:
    """A virtual host."""
    reached = f"<Host><Names><Name>{names}</Name></Names></Host>"
    return f"<VirtualHost><Name>{name}</Name>{reached}\n\t\t\t{inside}</VirtualHost>"


def in_host(inside: str) -> str:
    """A Server.xml with something in its virtual host."""
    return hosts(host(inside))


def apps(*inside: str) -> str:
    """A Server.xml with applications."""
    return in_host(f"<Applications>{''.join(inside)}</Applications>")


def app(inside: str = "", name: str = "app") -> str:
    """An application."""
    return f"<Application><Name>{name}</Name><Type>live</Type>\n\t\t\t\t{inside}</Application>"


def in_app(inside: str) -> str:
    """A Server.xml with something in its application."""
    return apps(app(inside))


def profiles(*inside: str) -> str:
    """A Server.xml with output profiles."""
    return in_app(f"<OutputProfiles>\n\t\t\t\t\t{''.join(inside)}</OutputProfiles>")


def profile(inside: str = "", name: str = "p", stream: str = "s") -> str:
    """An output profile."""
    names = f"<Name>{name}</Name><OutputStreamName>{stream}</OutputStreamName>"
    return f"<OutputProfile>{names}{inside}</OutputProfile>"


def in_profile(inside: str) -> str:
    """A Server.xml with something in its output profile."""
    return profiles(profile(inside))


def encode(inside: str) -> str:
    """A Server.xml with encodes."""
    return in_profile(f"<Encodes>{inside}</Encodes>")


VIDEO = "<Name>v</Name><Codec>h264</Codec><Bitrate>2M</Bitrate>"
AUDIO = "<Name>a</Name><Codec>aac</Codec><Bitrate>128k</Bitrate>"


def video(inside: str) -> str:
    """A Server.xml with something in an encode of video."""
    return encode(f"<Video>{VIDEO}{inside}</Video>")


def audio(inside: str) -> str:
    """A Server.xml with something in an encode of audio."""
    return encode(f"<Audio>{AUDIO}{inside}</Audio>")


def image(inside: str) -> str:
    """A Server.xml with something in an encode of images."""
    return encode(f"<Image><Name>i</Name><Codec>jpeg</Codec>{inside}</Image>")


def playlists(*inside: str) -> str:
    """A Server.xml with playlists over a video v and an audio a."""
    both = f"<Encodes><Video>{VIDEO}</Video><Audio>{AUDIO}</Audio></Encodes>"
    return in_profile(f"{both}{''.join(inside)}")


def playlist(inside: str, name: str = "list", file: str = "file") -> str:
    """A playlist."""
    return f"<Playlist><Name>{name}</Name><FileName>{file}</FileName>{inside}</Playlist>"


def within(path: str, around: Build) -> Build:
    """A build that puts elements around first: ``within("Providers/RTMP", in_app)``."""
    names = path.split("/")
    opened, closed = (
        "".join(f"<{name}>" for name in names),
        "".join(f"</{name}>" for name in reversed(names)),
    )
    return lambda inside: around(f"{opened}{inside}{closed}")


BLANKS = " \t\r\n"


def each(
    fact: str, tag: str, build: Build, *rows: tuple[str, str, str], prefix: str = ""
) -> tuple[Case, ...]:
    """Cases of one leaf that differ in its value only: (verdict, name, value)."""
    return tuple(
        Case(
            fact,
            f"{prefix or tag}-{name}",
            build(f"<{tag}>{value}</{tag}>"),
            verdict,
            ""
            if verdict == "good"
            else f"{value.lstrip(BLANKS)}</{tag}"
            if value.strip()
            else f"<{tag}",
        )
        for verdict, name, value in rows
    )


def good(fact: str, **texts: str) -> tuple[Case, ...]:
    """Cases that have nothing wrong, by name."""
    return tuple(Case(fact, name.replace("_", "-"), text) for name, text in texts.items())
