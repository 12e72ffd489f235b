from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import Any

import pytest

from omeconf.core.describe import describe_all
from tests.console.conftest import ORIGIN
from tests.console.full import full
from tests.console.page import Console
from tests.support import PROJECT, schema
from tests.support.daemon import Daemon, wait_for

Json = dict[str, Any]

OPEN_ALL = """() => {
    const closed = [...document.querySelectorAll('.toggle[aria-expanded="false"]')];
    closed.forEach((toggle) => toggle.click());
    const empty = [...document.querySelectorAll('.add')].filter(
        (add) => add.parentElement.children.length === 1);
    empty.forEach((add) => add.click());
    return closed.length + empty.length;
}"""
"""Opens what is closed, and gives each empty list an item; how many there were."""

INPUTS = """() => [...document.querySelectorAll('.form [data-path]')].map((input) => ({
    path: input.dataset.path, id: input.id, tag: input.tagName.toLowerCase(), type: input.type,
    min: input.min, max: input.max, step: input.step, value: input.value,
    words: [...(input.options ?? input.list?.options ?? [])].map((option) => option.value),
    label: input.labels?.[0]?.textContent ?? '',
    about: document.getElementById(input.getAttribute('aria-describedby') ?? '')?.textContent ?? '',
}))"""

SAVES = 50


@pytest.fixture
def daemon(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    text = full() if "full" in request.node.name else ORIGIN
    with Daemon(tmp_path, text) as started:
        yield started


def open_everything(console: Console) -> list[Json]:
    """Every input of the form, with nothing left closed."""
    console.page.get_by_label("Everything there is").check()
    wait_for(lambda: console.page.evaluate(OPEN_ALL) == 0, "all groups to be open")
    found: list[Json] = console.page.evaluate(INPUTS)
    return found


def right_kind(element: Json) -> tuple[str, str]:
    """The tag and type of the input that an element is to have."""
    if element["kind"] == "object":
        return "button", "button"
    if element["reads"] == "presence":
        return "input", "checkbox"
    if element["kind"] in ("integer", "number"):
        return "input", "number"
    is_open = element["pattern"] and re.fullmatch(element["pattern"], "https://example.com/other")
    if element["kind"] in ("boolean", "choice") and not is_open:
        return "select", "select-one"
    return "input", "password" if element["secret"] else "text"


@pytest.mark.timeout(240)
def test_every_element(console: Console) -> None:
    """For each element that an application may have there is an input of the right kind, with its
    name, its bounds or words, and its documentation; and there is no other.
    """
    console.sign_in().to_form("archive")
    inputs: dict[str, list[Json]] = {}
    for shown in open_everything(console):
        inputs.setdefault(shown["path"], []).append(shown)
    elements = describe_all(schema().application)[1:]
    told = " ".join((PROJECT / "docs/console.md").read_text().split())
    assert f"each of the {len(elements)} elements" in told
    assert set(inputs) == {element["path"] for element in elements}
    for element in elements:
        kinds = {(each["tag"], each["type"]) for each in inputs[element["path"]]} - {
            ("button", "button") if element["list"] else None
        }
        path = element["path"]
        if element["kind"] == "object":
            assert kinds <= {("button", "button")}, path
            continue
        assert kinds == {right_kind(element)}, path
        one = next(each for each in inputs[path] if each["tag"] != "button")
        assert one["label"].startswith(element["name"]), path
        assert one["about"].endswith(element["documentation"]), path
        if one["type"] == "number":
            bounds = [element[key] for key in ("least", "most")]
            assert [one["min"], one["max"]] == ["" if n is None else str(n) for n in bounds], path
            assert one["step"] == ("1" if element["kind"] == "integer" else "any"), path
        if element["words"]:
            assert {word for word in element["words"] if word} <= set(one["words"]), path


def test_marks(console: Console) -> None:
    """What is deprecated says so, and what to use instead."""
    console.sign_in().to_form("archive")
    open_everything(console)
    for element in describe_all(schema().application):
        if element["deprecated"] and element["kind"] != "object":
            field = console.page.locator(f'.field:has([data-path="{element["path"]}"])').first
            text = field.locator(".name").inner_text()
            assert "deprecated" in text, element["path"]
            assert element["use"] in text, element["path"]


def another(element: Json, value: str, dice: random.Random) -> str | None:
    """Another value that may stand in place of one; None if none is known."""
    kind: str = element["kind"]
    words: list[str] = [word for word in element["words"] if word not in ("", value)]
    if element["reads"] == "presence":
        return None
    if kind in ("integer", "number"):
        least, most = element["least"] or 0, element["most"] or 10_000
        return str(dice.choice([n for n in (least + 1, least + 2, most - 1) if str(n) != value]))
    if words:
        return dice.choice(words)
    return next(
        (
            text
            for text in (f"{value}2", "700k", "fr", "5000/udp", "TYYY", "http://y.example.com/")
            if text != value and (not element["pattern"] or re.fullmatch(element["pattern"], text))
        ),
        None,
    )


@pytest.mark.timeout(240)
def test_random_saves_of_a_full_application(console: Console, daemon: Daemon) -> None:
    """Fifty random values, each saved by itself, change one line of the file each: the one of
    that element. What the check refuses (a name that others refer to) is told, and not saved.
    """
    seed = time.time_ns()
    print(f"seed {seed}")
    dice = random.Random(seed)
    elements = {element["path"]: element for element in describe_all(schema().application)}
    console.sign_in().to_form("name")
    inputs = [
        each for each in open_everything(console) if each["tag"] != "button" and each["value"]
    ]
    assert len(inputs) > 250
    dice.shuffle(inputs)
    saved = 0
    while saved < SAVES:
        one = inputs.pop()
        element = elements[one["path"]]
        value = another(element, one["value"], dice)
        if value is None or not change(console, one, value):
            continue
        before = daemon.text
        console.save()
        check_one_line(before, daemon.text, element["name"], value)
        saved += 1
        if one["id"] == "f-name":  # it has another address now, and all is folded there
            console.page.locator(f"[id='{one['id']}']").wait_for()
            open_everything(console)
    assert daemon.status()["revision"]["head"] == 1 + SAVES


def change(console: Console, one: Json, value: str) -> bool:
    """Write a value; whether it may be saved. What may not is taken back."""
    field = console.page.locator(f"[id='{one['id']}']")
    field.select_option(value) if one["tag"] == "select" else field.fill(value)
    bar = console.page.get_by_role("region", name="Your changes")
    bar.get_by_text("1 value changed.").or_(bar.get_by_role("alert")).wait_for()
    if bar.get_by_role("alert").count() == 0:
        return True
    console.button("Discard").click()
    bar.wait_for(state="detached")
    return False


def check_one_line(before: str, after: str, name: str, value: str) -> None:
    """One line is other, and it is that of the element, with the new value."""
    lines = list(unified_diff(before.splitlines(), after.splitlines(), n=0))[2:]
    changed = [line for line in lines if line[0] in "+-"]
    assert len(changed) == 2, lines
    old, new = changed
    assert old.lstrip("-\t").startswith(f"<{name}>")
    assert new.lstrip("+\t") == f"<{name}>{value}</{name}>"


def test_add_and_remove(console: Console, daemon: Daemon) -> None:
    """A protocol is added as an empty element and removed again; the file is as before."""
    before = daemon.text
    console.sign_in().to_form("radio")
    page = console.page
    page.get_by_role("button", name="more in Providers").click()
    console.button("Add WebRTC").first.click()
    console.save()
    assert daemon.text != before
    assert "webrtc" in daemon.get("/v1/vhosts/default/apps/radio")["providers"]
    console.group("Providers").get_by_role("button", name="Remove WebRTC").click()
    console.save()
    assert daemon.text == before


def test_add_to_a_list(console: Console, daemon: Daemon) -> None:
    """An output profile is added with a video in it, which the engine's own API shows then."""
    console.sign_in().to_form("archive")
    profiles = console.group("OutputProfiles")
    profiles.get_by_role("button", name="Add OutputProfile").click()
    profile = profiles.get_by_role("region", name="OutputProfile 2")
    profile.get_by_label("Name", exact=True).fill("second")
    profile = profiles.get_by_role("region", name="second")
    profile.get_by_label("OutputStreamName", exact=True).fill("${OriginStreamName}_2")
    profile.get_by_role("button", name="more in OutputProfile").click()
    profile.get_by_role("button", name="Add Encodes").click()
    profile.get_by_role("button", name="more in Encodes").click()
    profile.get_by_role("button", name="Add Video").click()
    video = profile.get_by_role("region", name="Video 1")
    video.get_by_role("button", name="more in Video").click()
    video.get_by_label("Bypass", exact=True).select_option("true")
    console.save()
    found = daemon.get("/v1/vhosts/default/apps/archive/outputProfiles/second")
    assert found["outputStreamName"] == "${OriginStreamName}_2"
    assert found["encodes"]["videos"] == [{"bypass": True}]


def test_faults(console: Console, daemon: Daemon) -> None:
    """What the engine would refuse is told at the field while it is written, and not saved."""
    console.sign_in().to_form()
    group = console.group("LLHLS")
    group.get_by_label("SegmentCount", exact=True).fill("2")
    group.get_by_text("less than 3").wait_for()
    console.page.get_by_role("alert").wait_for()
    console.button("Review and save").click()
    dialog = console.page.get_by_role("dialog")
    dialog.get_by_role("alert").wait_for()
    assert dialog.get_by_role("button", name="Save", exact=True).count() == 0
    assert daemon.status()["revision"]["head"] == 1


def test_macro(console: Console, daemon: Daemon) -> None:
    """A number may be a macro: it is shown as text, and can be made one."""
    console.sign_in().to_form()
    publishers = console.group("Publishers")
    workers = publishers.get_by_label("StreamWorkerCount", exact=True)
    assert workers.input_value() == "${env:OME_STREAM_WORKERS:6}"
    publishers.get_by_role("button", name="Write AppWorkerCount as text").click()
    publishers.get_by_label("AppWorkerCount", exact=True).fill("${env:OME_WORKERS:2}")
    console.save()
    assert "<AppWorkerCount>${env:OME_WORKERS:2}</AppWorkerCount>" in daemon.text


def test_rename(console: Console, daemon: Daemon) -> None:
    """An application gets another name, and the page goes with it."""
    console.sign_in().to_form("radio")
    console.page.get_by_label("Name", exact=True).first.fill("sound")
    console.save()
    console.page.get_by_role("heading", name="sound", exact=True).wait_for()
    assert daemon.get("/v1/vhosts/default/apps") == ["app", "sound", "archive"]
