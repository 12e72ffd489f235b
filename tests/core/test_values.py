from __future__ import annotations

import pytest

from omeconf.core.values import expand, read, to_bool, to_float, to_int, to_long

INTS = {" 1": 1, "1abc": 1, "1.9": 1, "1e3": 1, "0x10": 0, "010": 10, "-1": -1, "+3": 3,
        "2147483648": 0, "abc": 0, "": 0}  # fmt: skip
LONGS = {"3000000000": -1294967296, "9223372036854775807": -1, "-9223372036854775808": 0,
         "99999999999999999999": 0, "60000": 60000}  # fmt: skip
BOOLS = {"TRUE": True, "1": True, "2": True, "-1": True, "1abc": True, "yes": False, "on": False,
         " true": False, "true ": False, "": False, "0.9": False, "False": False}  # fmt: skip
FLOATS = {".5": 0.5, "5.": 5.0, "1e-3": 0.001, "0x1p-1": 0.5, "inf": float("inf"), "0,5": 0.0,
          "2.5x": 2.5, "abc": 0.0, "": 0.0}  # fmt: skip


def test_numbers() -> None:
    """Numbers are read as C++ stoi, stoll and stod read them."""
    assert {text: to_int(text) for text in INTS} == INTS
    assert {text: to_long(text) for text in LONGS} == LONGS
    assert {text: to_bool(text) for text in BOOLS} == BOOLS
    assert {text: to_float(text) for text in FLOATS} == FLOATS


PORTS = {
    "1935": (1935, "tcp"), " 1935 ": (1935, "tcp"), "1935/TCP": (1935, "tcp"),
    "1935 /udp": (1935, "udp"), "1935abc": (1935, "tcp"), "1935/tcp/udp": (1935, "tcp"),
    "0": "Invalid port: 0", "65536": "Invalid port: 65536", "": "Invalid port: ",
    "0x10": "Invalid port: 0x10", "1935/sctp": "Unknown socket type: 1935/sctp",
    "1935/": "Unknown socket type: 1935/",
}  # fmt: skip
RANGES = {
    "4000": (4000, "udp"), "4000-4002,4005/udp": (4000, 4001, 4002, 4005, "udp"),
    " 4000 - 4001 ": (4000, 4001, "udp"), "4000/foo": (4000, "foo"),
    "4000/udp,4001/tcp": (4000, "udp"), "4000,": "Invalid port: ", "/udp": "Invalid port: ",
    "4004-4000": "Invalid port range: 4004-4000", "4000-": "Invalid port range: 4000-",
    "1-2-3": "Invalid port expression: 1-2-3",
}  # fmt: skip
BITRATES = {"128000": 128000, "128k": 131072, "2.5M": 2621440, "1e3": 1000, "128kbps": 128,
            "0": "", "abc": "", "0.5": "", "2048M": "", "k": "", "2047M": 2146435072}  # fmt: skip
CANDIDATES = {"*:10000/udp": True, "10000-10003/udp": True, "[::]:10000/udp": True, "hello": True,
              "*:10000/sctp": False, "*:abc/udp": False, "*:10003-10000/udp": False,
              "*:65535/udp": False, "*:1-2-3/udp": False, "*:1/udp/x": False}  # fmt: skip
ADDRESSES = {"*": True, "": True, "::1": True, "10.0.0.1": True, "ome.example.com": True,
             "notanip": False, "300.1.1.1": False}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "cases"),
    [("port", PORTS), ("ports", RANGES), ("bitrate", BITRATES)],
)
def test_readings(kind: str, cases: dict[str, object]) -> None:
    """What the engine makes of a text, or in which words it refuses it."""
    for text, wanted in cases.items():
        reading = read(kind, text)
        if isinstance(wanted, str):
            assert reading.refusal.startswith(wanted), text
            assert reading.refusal, text
        else:
            assert (reading.value, reading.refusal) == (wanted, ""), text


def test_start_up_readings() -> None:
    """What the engine finds out only when it starts is known before."""
    for text, is_taken in CANDIDATES.items():
        assert (not read("candidate", text).refusal) == is_taken, text
    for text, is_taken in ADDRESSES.items():
        assert (not read("address", text).refusal) == is_taken, text


def test_macros() -> None:
    """${env:} is replaced by the variable, else by the default, else by nothing."""
    env = {"PORT": "1935", "EMPTY": ""}
    assert expand("${env:PORT}/tcp", env) == "1935/tcp"
    assert expand("${env:EMPTY:7}", env) == ""
    assert expand("${env:HOST:*}:${env:P:10000-10004/udp}", env) == "*:10000-10004/udp"
    assert expand("${env:UNSET}", env) == ""
    assert expand("${OriginStreamName}_o", env) == "${OriginStreamName}_o"


def test_unknown_macros() -> None:
    """Without the engine's environment a default is taken, and else nothing is claimed."""
    assert expand("${env:PORT:1935}", None) == "1935"
    assert expand("${env:PORT}", None) is None
    assert expand("${ome:Home}conf", {}) is None
    assert expand("${env:HOSTNAME}", {}) is None
