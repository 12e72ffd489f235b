"""What the engine takes, but otherwise than written (warning), or as probably not meant (advice).

One small function each, on the effective tree. Source of the facts: the engine 0.21.0, run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from omeconf.core.effective import EffectiveElement
from omeconf.core.rules import ALWAYS, PROFILES, Env, Rule, text_at
from omeconf.core.schema import Release
from omeconf.core.values import read, to_bool, to_float
from omeconf.core.violation import Severity, Violation

_FORMER_MACRO = re.compile(r"\$\{ome\.(AppHome|CurrentPath)\}")

MODULES: Mapping[str, str] = {
    "Providers/RTMP": "Providers/RTMP",
    "Providers/SRT": "Providers/SRT",
    "Providers/MPEGTS": "Providers/MPEGTS",
    "Providers/WebRTC": "Providers/WebRTC",
    "Providers/OVT": "Providers/OVT",
    "Providers/RTSPPull": "Providers/RTSPC",
    "Publishers/WebRTC": "Publishers/WebRTC",
    "Publishers/LLHLS": "Publishers/LLHLS",
    "Publishers/HLS": "Publishers/HLS",
    "Publishers/OVT": "Publishers/OVT",
    "Publishers/SRT": "Publishers/SRT",
    "Publishers/Thumbnail": "Publishers/Thumbnail",
}
"""What an application enables, and the part of Bind that must be there for it."""

PORTS: Mapping[str, Sequence[str]] = {
    "Managers/API": ("Port", "TLSPort"),
    "Providers/WebRTC/Signalling": ("Port", "TLSPort"),
    "Publishers/WebRTC/Signalling": ("Port", "TLSPort"),
    "Publishers/LLHLS": ("Port", "TLSPort"),
    "Publishers/HLS": ("Port", "TLSPort"),
    "Publishers/Thumbnail": ("Port", "TLSPort"),
    "Publishers/OVT": ("Port",),
    "Publishers/SRT": ("Port",),
    "Providers/SRT": ("Port",),
}
"""Parts of Bind that are switched off without one of these."""


def needs(application: EffectiveElement) -> frozenset[str]:
    """The parts of Bind that the providers and publishers of an application need."""
    return frozenset(
        bound for enabled, bound in MODULES.items() if application.below(enabled) is not None
    )


def not_bound(application: EffectiveElement, bound: frozenset[str]) -> Iterator[Violation]:
    """A provider or publisher that no part of Bind opens a port for does nothing.

    bound: the parts of Bind that are there.
    """
    for enabled, part in MODULES.items():
        node = application.below(enabled) if part not in bound else None
        if node is not None:
            yield node.violation(
                Severity.ADVICE,
                "not-bound",
                f"<{node.item.name}> does nothing: there is no Bind/{part}",
                hint=f"add Bind/{part}, or remove it here",
            )


def binds_without_port(root: EffectiveElement, env: Env) -> Iterator[Violation]:  # noqa: ARG001
    """Most parts of Bind have no default port, and are off without one."""
    for where, ports in PORTS.items():
        node = root.below(f"Bind/{where}")
        if node is not None and not any(node.first(port) for port in ports):
            yield node.violation(
                Severity.ADVICE,
                "no-port",
                f"<{node.item.name}> is switched off: it has no {' or '.join(ports)}",
                hint=f"add <{ports[0]}>, or remove the element",
            )


def unreachable_hosts(root: EffectiveElement, env: Env) -> Iterator[Violation]:
    """The first virtual host whose name matches is reached; one behind it may never be."""
    before: list[tuple[str, str]] = []
    for host in root.every("VirtualHosts/VirtualHost"):
        name = host.value("Name")
        names = [text_at(node, "", env) for node in host.every("Host/Names/Name")]
        known = [text for text in names if text is not None]
        covering = [_cover(pattern, before) for pattern in known]
        if not names:
            yield host.violation(
                Severity.ADVICE,
                "unreachable-host",
                f'virtual host "{name}" has no host names: no stream can reach it',
                hint="add <Host><Names><Name>*</Name></Names></Host>",
            )
        elif len(known) == len(names) and all(covering):
            others = ", ".join(sorted({f'"{other}"' for other in covering if other}))
            yield host.violation(
                Severity.ADVICE,
                "unreachable-host",
                f'virtual host "{name}" is never reached: {others} before it has its host names',
                hint="put it first, or give it host names of its own",
            )
        before += [(pattern, name) for pattern in known]


def _cover(pattern: str, before: Sequence[tuple[str, str]]) -> str:
    """The virtual host that takes everything a pattern matches; "" if none surely does."""
    for other, name in before:
        parts = (re.escape(c) for c in other)
        regex = "".join({r"\*": ".*", r"\?": ".?"}.get(part, part) for part in parts)
        if other in ("*", pattern):
            return name
        if not set("*?") & set(pattern) and re.fullmatch(regex, pattern):
            return name
    return ""


def mpegts_ports(root: EffectiveElement, env: Env) -> Iterator[Violation]:
    """A stream map takes ports that are bound, each once; else nothing is received on them."""
    bind = root.below("Bind/Providers/MPEGTS")
    if bind is None:
        return
    bound = _ports(bind, env, default="4000/udp")
    taken: dict[int, EffectiveElement] = {}
    if bound is None:
        return
    for stream in _mapped_streams(root):
        port_node = stream.first("Port")
        for port in sorted(_ports(stream, env) or ()):
            assert port_node is not None, "there are ports, so they are written"
            if port not in bound:
                yield port_node.violation(
                    Severity.WARNING,
                    "port-not-bound",
                    f"port {port} is not among those of Bind/Providers/MPEGTS",
                    hint="nothing is received on it: add it there",
                    at_value=True,
                )
            elif port in taken:
                yield port_node.violation(
                    Severity.WARNING,
                    "port-taken",
                    f"port {port} is taken by {taken[port].place_path} already",
                    hint="give each stream its own port",
                    at_value=True,
                )
            taken.setdefault(port, stream)


def _mapped_streams(root: EffectiveElement) -> Iterator[EffectiveElement]:
    for applications in root.every("VirtualHosts/VirtualHost/Applications"):
        for application in applications.mentioning("Application", COMPARED):
            yield from application.every("Providers/MPEGTS/StreamMap/Stream")


def _ports(node: EffectiveElement, env: Env, default: str = "") -> set[int] | None:
    """The ports of an element; None if they cannot be known."""
    if node.first("Port") is None:
        text: str | None = default
    else:
        text = text_at(node, "Port", env)
    if text is None:
        return None
    value = read("ports", text).value if text else ()
    return {port for port in value if isinstance(port, int)} if isinstance(value, tuple) else set()


def skipped_frames(application: EffectiveElement, env: Env) -> Iterator[Violation]:
    """SkipFrames and Framerate do not go together."""
    for kind in ("Video", "Image"):
        for encode in application.every(f"{PROFILES}/Encodes/{kind}"):
            node = encode.first("SkipFrames")
            rate = to_float(text_at(encode, "Framerate", env) or "")
            if node is not None and rate > 0 and (text_at(node, "", env) or "-1") != "-1":
                yield node.violation(
                    Severity.WARNING,
                    "conflicting-values",
                    "SkipFrames together with a Framerate: only one of them is followed",
                    hint="remove one",
                    at_value=True,
                )


def hardware_switches(application: EffectiveElement, env: Env) -> Iterator[Violation]:
    """The old switches for hardware are forced off."""
    for side in ("Decoder", "Encoder"):
        for node in application.every(f"OutputProfiles/HWAccels/{side}/Enable"):
            if to_bool(text_at(node, "", env) or ""):
                yield node.violation(
                    Severity.WARNING,
                    "forced-off",
                    "the engine switches this off again",
                    hint="choose Modules for each encode instead",
                    at_value=True,
                )


def mixed_origins(node: EffectiveElement, env: Env) -> Iterator[Violation]:
    """Beside *, other origins do not count; null counts only alone."""
    if node.item.name != "CrossDomains":
        return
    urls = {text_at(url, "", env): url for url in node.all("Url")}
    special = next((word for word in ("*", "null") if word in urls), None)
    if special is not None and len(urls) > 1:
        what = "allows every web page" if special == "*" else "counts only alone"
        yield urls[special].violation(
            Severity.WARNING,
            "mixed-origins",
            f'"{special}" {what}: beside it, other entries do not count',
            hint="remove it, or the others",
            at_value=True,
        )


def former_macros(node: EffectiveElement, env: Env) -> Iterator[Violation]:  # noqa: ARG001
    """Macros that 0.12 had with a dot are left as they are by newer releases."""
    value = node.element.value
    match = _FORMER_MACRO.search(value) if "${" in value else None
    if match:
        name = {"AppHome": "Home"}.get(match[1], match[1])
        yield node.violation(
            Severity.WARNING,
            "former-macro",
            f"{match[0]} is not replaced by anything",
            hint=f"write ${{ome:{name}}}",
            at_value=True,
        )


SERVER_LINTS: Mapping[Rule, Release] = {
    binds_without_port: ALWAYS,
    unreachable_hosts: ALWAYS,
}
"""Lints that look into no application; with the first release that is known to go by them."""
LINTS_BETWEEN: Mapping[Rule, Release] = {
    mpegts_ports: ALWAYS,
}
"""Lints on the server that compare applications."""
COMPARED = b"StreamMap"
"""What stands in each application that rules and lints compare by more than its name."""
APPLICATION_LINTS: Mapping[Rule, Release] = {
    skipped_frames: ALWAYS,
    hardware_switches: ALWAYS,
}
"""Lints that look into one application, and at nothing else."""
ELEMENT_LINTS: Mapping[Rule, Release] = {
    mixed_origins: ALWAYS,
    former_macros: (0, 13, 0),
}
"""Lints of every single element."""
