"""The engine's envelope: {"message", "response", "statusCode"}, and how bodies are read.

Keys come out sorted, compact and with non-ASCII escaped, as the engine writes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from omeconf.core.mapping import Json

MAX_DEPTH = 64
"""Levels of a body; the deepest path of the configuration has 13."""
CONTENT_TYPE = "application/json;charset=UTF-8"
MOST = 2**53
"""The largest number that every JSON reader takes as it is."""
_NOTHING: Any = object()


class ApiError(Exception):
    """An answer that is not a success, in the engine's words."""

    def __init__(
        self,
        status: int,
        text: str,
        *,
        prefix: str = "[HTTP] ",
        retry_after_s: int = 0,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.prefix = prefix
        self.headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
        self.extra = extra or {}
        """More members of the problem document on our own routes."""

    @property
    def message(self) -> str:
        """As a single answer has it; in a batch the bare text stands."""
        suffix = "" if self.prefix == "[Config] " else f" ({self.status})"
        return f"{self.prefix}{self.text}{suffix}"

    @property
    def item_text(self) -> str:
        """As an item of a batch has it."""
        return f"[Config] {self.text}" if self.prefix == "[Config] " else self.text


def whole_number(name: str, text: str) -> int:
    """The number that a query option says. Raises ApiError 400."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MOST))
    if not is_number or int(text) > MOST:
        raise ApiError(400, f'{name} is a whole number up to {MOST}, not "{text}"')
    return int(text)


def not_found(text: str, name: str, known: Iterable[str]) -> ApiError:
    """404; a hint names what is there and looks like what was asked for."""
    error = ApiError(404, text)
    near = get_close_matches(name, known, n=1)
    if near:
        error.headers["Omeconf-Hint"] = for_header(f"near: {near[0]}")
    return error


def for_header(text: str) -> str:
    """A text as a header can carry it: names made by hand may hold anything, even line ends."""
    return re.sub(r"[^ -~]", "?", text)


def config_error(text: str) -> ApiError:
    """400 with the words of the engine's configuration loader."""
    return ApiError(400, text, prefix="[Config] ")


def envelope(status: int = 200, response: Json = _NOTHING, message: str = "") -> dict[str, Json]:
    """One envelope."""
    shown: dict[str, Json] = {
        "statusCode": status,
        "message": message or HTTPStatus(status).phrase,
    }
    if response is not _NOTHING:
        shown["response"] = response
    return shown


def answer(response: Json = _NOTHING, *, headers: dict[str, str] | None = None) -> Response:
    """A success with a response, or without one."""
    return _respond(200, envelope(200, response), headers)


def answer_known(headers: dict[str, str]) -> Response:
    """304: the caller has it already."""
    return Response(status_code=304, headers=headers)


def answer_many(
    envelopes: Sequence[dict[str, Json]], *, headers: dict[str, str] | None = None
) -> Response:
    """A batch: the common status of all, 207 if they differ, 200 if there are none."""
    statuses = {each["statusCode"] for each in envelopes}
    status = statuses.pop() if len(statuses) == 1 else 207 if statuses else 200
    return _respond(status, list(envelopes), headers)


def answer_error(status: int, message: str, *, headers: dict[str, str] | None = None) -> Response:
    """A single answer that is not a success."""
    return _respond(status, envelope(status, message=message), headers)


def read_body(data: bytes) -> Json:
    """A strict JSON body; an empty one is null, a BOM is allowed. Raises ApiError 400."""
    if not data.strip():
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ApiError(400, "[JSON] the body is not UTF-8") from None
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        _must_be_shallow(found)
        if "\\u" in text:
            _must_be_unicode(found)
        return found
    except json.JSONDecodeError as error:
        where = f"* Line {error.lineno}, Column {error.colno}"
        raise ApiError(400, f"[JSON] {where}\n  {error.msg}\n") from None
    except RecursionError:
        raise ApiError(400, "[JSON] the body is nested too deeply") from None
    except ValueError as error:
        raise ApiError(400, f"[JSON] {error}") from None


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f'the key "{twice}" is given twice')
    return result


def _must_be_shallow(value: Json) -> None:
    """Raise ValueError for a body nested deeper than MAX_DEPTH."""
    level: list[Json] = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Json] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        if not inner:
            return
        level = inner
    raise ValueError(f"the body is nested deeper than {MAX_DEPTH} levels")


def _must_be_unicode(value: Json) -> None:
    """Raise ValueError for halves of surrogate pairs, which stand for no character."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("an escape stands for no character") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _respond(status: int, body: Json, headers: dict[str, str] | None) -> Response:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return Response(text, status, headers, media_type=CONTENT_TYPE)
