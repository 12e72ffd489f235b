"""What the XSD cannot say: one small function a rule, each on the effective tree.

These are errors: the engine (0.21.0, tried) refuses to load or to start, or starts without the
application. What it takes otherwise than written, or as probably not meant, is in `lint.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from omeconf.core.effective import EffectiveElement
from omeconf.core.schema import Release
from omeconf.core.values import expand, read, to_bool, to_int
from omeconf.core.violation import Severity, Violation

Env = Mapping[str, str] | None
Rule = Callable[[EffectiveElement, Env], Iterator[Violation]]

PROFILES = "OutputProfiles/OutputProfile"
"""From an application."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def unaddressable(name: str) -> str:
    """Why a new name could not be addressed by a client; "" if it could.

    The engine takes any name, but its API can then not reach the thing (no decoding of paths),
    or mistakes it for another (``a#b`` and ``a_b``).
    """
    if not name:
        return "a name may not be empty"
    if name in (".", ".."):
        return f'"{name}" cannot be a name'
    if name != name.strip():
        return "a name may not begin or end with a blank"
    bad = next((c for c in "/:#?%" if c in name), None)
    if bad is not None:
        return f'a name may not contain "{bad}"'
    if _CONTROL.search(name):
        return "a name may not contain control characters"
    if name == "*":
        return 'the template for dynamic applications, "*", is written by hand'
    return ""


def unique_virtual_hosts(root: EffectiveElement, env: Env) -> Iterator[Violation]:
    """Two virtual hosts of one name end the engine's start."""
    for twin, name in _twins(root.every("VirtualHosts/VirtualHost"), "Name", env):
        yield _error(
            twin,
            "duplicate-name",
            f'there is another virtual host named "{name}"',
            hint="give each virtual host a name of its own",
            says=f"The virtual host already exists: [{name}]",
        )


def unique_applications(root: EffectiveElement, env: Env) -> Iterator[Violation]:
    """Two applications of one name end the start; # counts as _, and * is the template."""
    for host in root.every("VirtualHosts/VirtualHost"):
        seen: dict[str, int] = {}
        for place, name in enumerate(_application_names(host, env)):
            if name is None:
                continue
            first = seen.setdefault(name.replace("#", "_"), place)
            if first == place:
                continue
            application = _application(host, place)
            if name == "*":
                yield _at_name(application).violation(
                    Severity.WARNING,
                    "duplicate-template",
                    'a second "*" takes the place of the first',
                    at_value=True,
                )
                continue
            host_name, other = host.value("Name"), _application(host, first).value("Name")
            yield _error(
                application,
                "duplicate-name",
                f'there is another application named "{other}" in "{host_name}"',
                hint="give each application of a virtual host a name of its own",
                says=f"Could not create the application: [{host_name}/{name}] already exists",
            )


def _application_names(host: EffectiveElement, env: Env) -> Iterator[str | None]:
    for applications in host.all("Applications"):
        for name in applications.keys("Application"):
            yield None if name is None else expand(name, env)


def _application(host: EffectiveElement, place: int) -> EffectiveElement:
    applications = host.first("Applications")
    assert applications is not None, "it has names"
    return applications.all("Application")[place]


def unique_output_profiles(application: EffectiveElement, env: Env) -> Iterator[Violation]:
    """Profiles of one name, of one stream name or of none: the application is dropped."""
    profiles = list(application.every(PROFILES))
    for child in ("Name", "OutputStreamName"):
        for twin, name in _twins(profiles, child, env):
            yield _error(
                twin,
                "dropped-application",
                f'another output profile of this application has the {child} "{name}": '
                "the engine drops the application",
                child=child,
                hint=f"give each output profile its own {child}",
                says=f'The output profile "{name}" already exists'
                if child == "Name"
                else f"The {child} is used twice: {name}",
            )
    for profile in profiles:
        if profile.first("Name") and text_at(profile, "Name", env) == "":
            yield _error(
                profile,
                "dropped-application",
                "an output profile needs a name: the engine drops the application",
                says="OutputProfile.name is empty",
            )


def codec_and_bitrate(application: EffectiveElement, env: Env) -> Iterator[Violation]:
    """Audio and video that are not bypassed must say how they are encoded."""
    for kind in ("Video", "Audio"):
        for encode in application.every(f"{PROFILES}/Encodes/{kind}"):
            if to_bool(text_at(encode, "Bypass", env) or ""):
                continue
            for name in ("Codec", "Bitrate"):
                if encode.first(name) is None:
                    yield encode.violation(
                        Severity.ERROR,
                        "missing-element",
                        f"<{kind}> needs a <{name}>, since it is not bypassed",
                        hint=f"add <{name}>, or <Bypass>true</Bypass>",
                        says=f"{name} must be specified when bypass is false",
                    )


def key_frame_interval(application: EffectiveElement, env: Env) -> Iterator[Violation]:
    """1 to 10000 ms when the type is exactly time, else 0 to 600 frames."""
    for encode in application.every(f"{PROFILES}/Encodes/Video"):
        text = text_at(encode, "KeyFrameInterval", env)
        if text is None:
            continue
        is_time = text_at(encode, "KeyFrameIntervalType", env) == "time"
        least, most = (1, 10000) if is_time else (0, 600)
        if not least <= to_int(text) <= most and 0 <= to_int(text) <= 10000:
            unit = "milliseconds" if is_time else "frames"
            yield _error(
                encode,
                "invalid-value",
                f"KeyFrameInterval is {text}: it must be {least} to {most} {unit}",
                child="KeyFrameInterval",
                says=f"KeyFrameInterval must be between {least} and {most}",
            )


def playlists(application: EffectiveElement, env: Env) -> Iterator[Violation]:
    """File names are unique in a profile; renditions name the encodes of that profile."""
    for profile in application.every(PROFILES):
        for twin, name in _twins(profile.all("Playlist"), "FileName", env):
            yield _error(
                twin,
                "duplicate-name",
                f'another playlist of this output profile has the file name "{name}"',
                child="FileName",
                says=f"Duplicate playlist file name: {name}",
            )
        encodes = {kind: _encode_names(profile, kind, env) for kind in ("Video", "Audio")}
        for playlist in profile.all("Playlist"):
            for twin, name in _twins(playlist.all("Rendition"), "Name", env):
                yield _error(
                    twin,
                    "duplicate-name",
                    f'another rendition of this playlist is named "{name}"',
                    says=f"Duplicate rendition name: {name}",
                )
            for rendition in playlist.all("Rendition"):
                for kind, names in encodes.items():
                    name_or_none = text_at(rendition, kind, env)
                    if name_or_none is None or name_or_none in names:
                        continue
                    known = ", ".join(sorted(names)) or "none"
                    yield _error(
                        rendition,
                        "unknown-reference",
                        f'there is no {kind} named "{name_or_none}" among the Encodes of this '
                        "output profile",
                        child=kind,
                        hint=f"there is: {known}",
                        says="Playlist Error",
                    )


def track_sets(application: EffectiveElement, env: Env) -> Iterator[Violation]:
    """Names are unique in a profile, and a set has at least one track."""
    for profile in application.every(PROFILES):
        for twin, name in _twins(profile.all("TrackSet"), "Name", env):
            yield _error(
                twin,
                "duplicate-name",
                f'another track set of this output profile is named "{name}"',
                says=f"Duplicate TrackSet name: {name}",
            )
        for track_set in profile.all("TrackSet"):
            if not track_set.all("Video") and not track_set.all("Audio"):
                name = track_set.value("Name")
                yield track_set.violation(
                    Severity.ERROR,
                    "missing-element",
                    "<TrackSet> needs at least one <Video> or <Audio>",
                    says=f"TrackSet '{name}' must contain at least one Video or Audio entry",
                )


def subtitles(application: EffectiveElement, env: Env) -> Iterator[Violation]:
    """Enabled subtitles need a rendition; the default label must be one of theirs."""
    for where in ("Subtitles", "OutputProfiles/MediaOptions/Subtitles"):
        for node in application.every(where):
            labels = [text_at(rendition, "Label", env) for rendition in node.all("Rendition")]
            if to_bool(text_at(node, "Enable", env) or "") and not labels:
                yield _error(
                    node,
                    "missing-element",
                    "enabled subtitles need at least one <Rendition>",
                    child="Enable",
                    says="Subtitle is enabled but no renditions are defined",
                )
            default = text_at(node, "DefaultLabel", env)
            if default and None not in labels and default not in labels:
                yield _error(
                    node,
                    "unknown-reference",
                    f'no <Rendition> has the label "{default}"',
                    child="DefaultLabel",
                    says=f"Default label '{default}' not found in subtitle renditions",
                )


def api_token(root: EffectiveElement, env: Env) -> Iterator[Violation]:
    """An API that listens without a token ends the engine's start."""
    api = root.below("Bind/Managers/API")
    if api is None or not (api.first("Port") or api.first("TLSPort")):
        return
    if text_at(root, "Managers/API/AccessToken", env) in ("", None) and not _is_unknown(
        root, "Managers/API/AccessToken", env
    ):
        yield api.violation(
            Severity.ERROR,
            "missing-token",
            "an API with a port needs an access token",
            hint="add <Managers><API><AccessToken>...</AccessToken></API></Managers> to <Server>",
            says="Empty <AccessToken> is not allowed",
        )


def http_and_https(root: EffectiveElement, env: Env) -> Iterator[Violation]:
    """One address cannot serve HTTP and HTTPS: the start fails."""
    plain: dict[object, EffectiveElement] = {}
    secure: list[tuple[object, EffectiveElement]] = []
    for where in HTTP_MODULES:
        for name in ("Port", "TLSPort"):
            node = root.below(f"Bind/{where}/{name}")
            text = text_at(node, "", env) if node else None
            reading = read("port", text) if text is not None else None
            if node is None or reading is None or reading.refusal:
                continue
            port = reading.value[0] if isinstance(reading.value, tuple) else reading.value
            if name == "Port":
                plain.setdefault(port, node)
            else:
                secure.append((port, node))
    for port, node in secure:
        if port in plain:
            yield node.violation(
                Severity.ERROR,
                "port-conflict",
                f"port {port} is used without TLS by {plain[port].place_path}",
                hint="give TLSPort a port of its own",
                at_value=True,
                says=f"Cannot reuse port {port} for HTTPS",
            )


HTTP_MODULES = (
    "Managers/API",
    "Providers/WebRTC/Signalling",
    "Publishers/WebRTC/Signalling",
    "Publishers/LLHLS",
    "Publishers/HLS",
    "Publishers/Thumbnail",
)
"""The parts of Bind that share HTTP servers by port."""

ALWAYS: Release = (0, 0, 0)
SERVER_RULES: Mapping[Rule, Release] = {
    unique_virtual_hosts: ALWAYS,
    api_token: (0, 13, 0),
    http_and_https: ALWAYS,
}
"""Rules that look into no application; with the first release that is known to go by them."""
RULES_BETWEEN: Mapping[Rule, Release] = {
    unique_applications: ALWAYS,
}
"""Rules on the server that compare applications."""
APPLICATION_RULES: Mapping[Rule, Release] = {
    unique_output_profiles: ALWAYS,
    codec_and_bitrate: ALWAYS,
    key_frame_interval: ALWAYS,
    playlists: ALWAYS,
    track_sets: ALWAYS,
    subtitles: ALWAYS,
}
"""Rules that look into one application, and at nothing else."""
RULED = ("OutputProfiles", "Subtitles")
"""The children of an application that its rules and lints look at: while they are as they were,
nobody need be asked again."""


def text_at(node: EffectiveElement | None, path: str, env: Env) -> str | None:
    """The value at a path, with macros; None if it is absent or not known."""
    found = node.below(path) if node and path else node
    return expand(found.element.value, env) if found else None


def _is_unknown(node: EffectiveElement, path: str, env: Env) -> bool:
    return node.below(path) is not None and text_at(node, path, env) is None


def _twins(
    nodes: Iterable[EffectiveElement], child: str, env: Env
) -> Iterator[tuple[EffectiveElement, str]]:
    """Those whose child has the text of an earlier one."""
    seen: set[str] = set()
    for node in nodes:
        text = text_at(node, child, env)
        if text is not None:
            if text in seen:
                yield node, text
            seen.add(text)


def _encode_names(profile: EffectiveElement, kind: str, env: Env) -> set[str]:
    """Names of encodes; the engine numbers those without one: video_0, audio_0."""
    names: set[str] = set()
    unnamed = 0
    for encode in profile.every(f"Encodes/{kind}"):
        name = text_at(encode, "Name", env)
        if not name:
            name, unnamed = f"{kind.lower()}_{unnamed}", unnamed + 1
        names.add(name)
    return names


def _at_name(node: EffectiveElement, child: str = "Name") -> EffectiveElement:
    return node.first(child) or node


def _error(
    node: EffectiveElement,
    code: str,
    message: str,
    *,
    child: str = "Name",
    hint: str = "",
    says: str = "",
) -> Violation:
    """An error at the value of a child."""
    return _at_name(node, child).violation(
        Severity.ERROR, code, message, hint=hint, says=says, at_value=True
    )
