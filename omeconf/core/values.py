"""How OvenMediaEngine 0.21 reads a text: what it becomes, or in which words it is refused.

Source of the facts: the engine run on each of them (its converters are C++ stoi, stod and the
like: leading blanks and trailing junk do not matter, what cannot be read is 0). A *reading* is
named by the ``o:type reads="..."`` annotation of a simple type in the XSD.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from struct import pack, unpack

Value = str | int | float | bool | tuple[object, ...]

INT32 = range(-(2**31), 2**31)
INT64 = range(-(2**63), 2**63)

_INT = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")
_FLOAT = re.compile(
    r"[ \t\n\v\f\r]*([+-]?(?:(0[xX][0-9a-fA-F]*\.?[0-9a-fA-F]*(?:[pP][+-]?[0-9]+)?)"
    r"|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf(?:inity)?|nan))",
    re.IGNORECASE,
)
_BLANKS = " \t\n\v\f\r"
"""What the engine trims."""
_MACRO = re.compile(r"\$\{env:([^:}]*)(?::([^}]*))?\}")
_LEFT_MACRO = re.compile(r"\$\{ome:(Home|CurrentPath)\}")


@dataclass(frozen=True, slots=True)
class Reading:
    """What the engine makes of a text."""

    value: Value = ""
    refusal: str = ""
    """The engine's own words when it does not take the text at all; "" when it does."""


def read(kind: str, text: str) -> Reading:
    """What the engine makes of a text of that kind. KeyError: no such kind."""
    return READINGS[kind](text)


def expand(text: str, env: Mapping[str, str] | None) -> str | None:
    """The text with the macros that the loader expands; None if that cannot be known here.

    ``${env:NAME}`` is the variable, else the default behind a second colon, else "". With env
    None the engine's environment is not known: a default is taken for the value, and without
    one the text is unknown. ``${ome:...}`` depends on where the engine is installed.
    """
    if "${" not in text:
        return text
    unknown = False

    def value(match: re.Match[str]) -> str:
        nonlocal unknown
        name, default = match[1], match[2]
        if env is not None and name in env:
            return env[name]
        if default is None and (env is None or name == "HOSTNAME"):
            unknown = True
        return default or ""

    expanded = _MACRO.sub(value, text)
    return None if unknown or _LEFT_MACRO.search(expanded) else expanded


def to_int(text: str) -> int:
    """C++ stoi with base 10: leading digits, else 0; 0 when beyond 32 bits."""
    number = _leading_int(text)
    return number if number in INT32 else 0


def to_long(text: str) -> int:
    """C++ stoll cut to 32 bits, as the engine stores it."""
    number = _leading_int(text)
    if number not in INT64:
        return 0
    truncated: int = unpack("<i", pack("<q", number)[:4])[0]
    return truncated


def to_bool(text: str) -> bool:
    """true and false in any case; else whether the leading number is not 0."""
    lowered = text.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    number = _leading_int(text)
    return number in INT64 and number != 0


def to_float(text: str) -> float:
    """C++ stod: hexadecimal, inf and nan too; 0.0 when there is no number."""
    match = _FLOAT.match(text)
    if match is None:
        return 0.0
    try:
        number = float.fromhex(match[1]) if match[2] else float(match[1])
    except (ValueError, OverflowError):
        return 0.0
    return 0.0 if number in (float("inf"), float("-inf")) and "n" not in match[1] else number


def _leading_int(text: str) -> int:
    match = _INT.match(text)
    return int(match[1]) if match and len(match[1]) < 40 else 0


def _port(text: str) -> Reading:
    """One port with an optional protocol; only a single slash makes a protocol of the rest."""
    parts = text.split("/")
    number = to_int(parts[0].strip(_BLANKS))
    if not 1 <= number <= 65535:
        return Reading(refusal=f"Invalid port: {text}")
    if len(parts) != 2:
        return Reading((number, "tcp"))
    protocol = parts[1].strip(_BLANKS).lower()
    if protocol not in ("tcp", "udp", "srt"):
        return Reading(refusal=f"Unknown socket type: {text}")
    return Reading((number, protocol))


def _ports(text: str) -> Reading:
    """Ports and ranges by commas, with one protocol behind them all; udp unless told."""
    parts = text.split("/")
    protocol = parts[1].strip(_BLANKS).lower() if len(parts) == 2 else "udp"
    ports: list[int] = []
    for expression in parts[0].split(","):
        ends = expression.split("-")
        numbers = [to_int(end.strip(_BLANKS)) for end in ends]
        if len(ends) > 2:
            return Reading(refusal=f"Invalid port expression: {expression.strip(_BLANKS)}")
        if len(ends) == 2:
            first, last = numbers
            if not (1 <= first <= last <= 65535):
                return Reading(refusal=f"Invalid port range: {expression.strip(_BLANKS)}")
            ports += range(first, last + 1)
        elif not 1 <= numbers[0] <= 65535:
            return Reading(refusal=f"Invalid port: {expression.strip(_BLANKS)}")
        else:
            ports.append(numbers[0])
    return Reading((*ports, protocol))


def _bitrate(text: str) -> Reading:
    """A number with an optional K (1024) or M (1048576), more than 0 and below 2**31."""
    upper = text.upper()
    factor = {"K": 1024, "M": 1024**2}.get(upper[-1:], 1)
    number = to_float(upper) * factor
    if not 1 <= number < 2**31:
        return Reading(refusal="{name} must be greater than 0")
    return Reading(int(number))


def _version(text: str) -> Reading:
    number = to_int(text)
    if number in (8, 9, 10):
        return Reading(number)
    if number == 0:
        return Reading(refusal="Could not obtain version in your XML")
    return Reading(refusal=f"The version of Server.xml is outdated (Your XML version: {number})")


def _address(text: str) -> Reading:
    """An address to bind: a name of one word does not resolve, and ends the engine's start."""
    if text in ("", "*", "::", "localhost"):
        return Reading(text)
    try:
        ipaddress.ip_address(text)
    except ValueError:
        if "." not in text or re.fullmatch(r"[0-9.]+", text) or " " in text:
            return Reading(refusal=f"Invalid address: {text}")
    return Reading(text)


def _candidate(text: str) -> Reading:
    """An ICE candidate as the engine takes it at its start, which it ends at a bad port."""
    parts = text.split("/")
    if len(parts) > 2 or (len(parts) == 2 and parts[1].lower() not in ("udp", "tcp")):
        return Reading(refusal=f"Invalid ICE candidate: {text}")
    address = parts[0]
    if re.fullmatch(r"[0-9,\-]+", address):
        ports = address
    elif address.startswith("["):
        ports = address.partition("]")[2].removeprefix(":")
    else:
        ports = address.rpartition(":")[2] if address.count(":") == 1 else ""
    for expression in ports.split(",") if ports else ():
        ends = expression.split("-")
        if len(ends) > 2 or not all(re.fullmatch(r"[0-9]+", end) for end in ends):
            return Reading(refusal=f"Invalid port in ICE candidate: {text}")
        numbers = [int(end) for end in ends]
        if numbers != sorted(numbers) or numbers[-1] > 65534:
            return Reading(refusal=f"Invalid port in ICE candidate: {text}")
    return Reading(text)


def _relay(text: str) -> Reading:
    """The address of a TURN server: as an ICE candidate, but there is no protocol."""
    return (
        Reading(refusal=f"Invalid port in TCP relay: {text}") if "/" in text else _candidate(text)
    )


READINGS: Mapping[str, Callable[[str], Reading]] = {
    "text": Reading,
    "int": lambda text: Reading(to_int(text)),
    "long": lambda text: Reading(to_long(text)),
    "float": lambda text: Reading(to_float(text)),
    "bool": lambda text: Reading(to_bool(text)),
    "presence": lambda _: Reading(True),
    "port": _port,
    "ports": _ports,
    "bitrate": _bitrate,
    "version": _version,
    "address": _address,
    "candidate": _candidate,
    "relay": _relay,
}
"""Every kind of reading, by its name in the XSD."""

REFUSING = frozenset({"port", "ports", "bitrate", "version", "address", "candidate", "relay"})
"""Readings that may refuse a text whose form is right: ``4004-4000``, ``9999M``."""
