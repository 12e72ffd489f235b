"""A group of three real daemons as it is seen and steered: REST, command line, events, metrics."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest

from omeconf.api.openapi import describe
from omeconf.cli import offers
from omeconf.cli.fleet import WELL
from omeconf.client import Client
from tests.support import schema
from tests.support.api import LISTENING, OWN, ROLES, SECRET, basic
from tests.support.daemon import Answer, Daemon, wait_for
from tests.support.etcd import EtcdServer, need_etcd

pytestmark = pytest.mark.fleet

SETTINGS = """
[watch]
settle_s = 0.05
look_every_s = 0.5
[reload]
wait_s = 0.1
[api]
listen = "127.0.0.1:@PORT@"
{tokens}
[[hooks]]
run = ["{{hook}}"]
retries = 0
timeout_s = 20
[fleet]
endpoints = ["{endpoint}"]
group = "edge"
node = "{node}"
rollout = "manual"
on_manual = "{manual}"
lease_s = 2
confirm_s = 5
soak_s = 0.3
timeout_s = 2
"""
TOKENS = "\n".join(
    f'[[api.tokens]]\nname = "{each.name}"\nrole = "{each.role}"\nsha256 = "{each.sha256}"'
    for each in ROLES
)
READER = {"Authorization": basic("look")}


class Group:
    """One etcd, and members of a group; the last one keeps manual edits to itself."""

    def __init__(self, base: Path, size: int = 3) -> None:
        self.etcd = EtcdServer(base).start()
        self.daemons: list[Daemon] = []
        for number in range(size):
            folder = base / f"n{number}"
            folder.mkdir()
            manual = "keep" if number == size - 1 else "propose"
            text = SETTINGS.format(
                tokens=TOKENS, endpoint=self.etcd.endpoint, node=f"n{number}", manual=manual
            )
            daemon = Daemon(folder, LISTENING, settings=text)
            written = daemon.settings_file.read_text().replace("@PORT@", str(daemon.port))
            daemon.settings_file.write_text(written)
            if number:
                shutil.rmtree(daemon.conf)
            self.daemons.append(daemon)

    def start(self) -> None:
        """Start all members."""
        for daemon in self.daemons:
            daemon.start()
        self.settles()

    def stop(self) -> None:
        """End everything."""
        for daemon in self.daemons:
            if daemon.process is not None:
                daemon.stop()
        self.etcd.kill()

    def standing(self, number: int = 0) -> dict[str, Any]:
        """How the group stands, as one member tells it."""
        return Client(self.daemons[number].socket).fleet()

    def member(self, node: int, *, of: int = 0) -> dict[str, Any]:
        """How one member is, as another tells it."""
        (found,) = [m for m in self.standing(of)["members"] if m["node"] == f"n{node}"]
        assert isinstance(found, dict)
        return found

    def knows(self, of: int) -> int | None:
        """The newest revision that is in the history of a member."""
        number: int | None = Client(self.daemons[of].socket).status()["revision"]["head"]
        return number

    def post(self, what: str, body: Any = None, *, of: int = 0) -> Answer:
        """Ask a member for something."""
        return self.daemons[of].call("POST", f"{OWN}/fleet/{what}", body)

    def settles(self) -> int:
        """Wait until all members run the newest revision, which is confirmed; its number."""

        def is_settled() -> int:
            found = [self.standing(number) for number in range(len(self.daemons))]
            numbers = {each["head"] for each in found}
            for each in found:
                rollout, members = each["rollout"], each["members"]
                numbers |= {each["confirmed"], *(member.get("disk") for member in members)}
                numbers |= {member.get("running") for member in members}
                is_quiet = rollout is None or rollout["phase"] == "confirmed"
                there = [member for member in members if member["present"]]
                is_quiet &= not any(member.get("trouble") for member in members)
                if each["state"] not in WELL or len(there) < len(self.daemons) or not is_quiet:
                    return 0
            return numbers.pop() or 0 if len(numbers) == 1 else 0

        return int(wait_for(is_settled, "one revision everywhere"))

    def change(self, of: int = 0) -> int:
        """Commit something that restarts default/app; the number of the revision."""
        was = self.daemons[of].get("/v1/vhosts/default/apps/app")
        seconds = was["publishers"]["llhls"]["segmentDuration"] % 9 + 1
        body = {"publishers": {"llhls": {"segmentDuration": seconds}}}
        answer = self.daemons[of].call("PATCH", "/v1/vhosts/default/apps/app", body)
        assert answer.status == 200, answer.json
        assert answer.headers["omeconf-reload"] == "pending"
        number = int(answer.headers["omeconf-revision"])
        for each in range(len(self.daemons)):
            self.until(lambda each=each: self.knows(each) == number)  # type: ignore[misc]
        return number

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for something; if it does not come, show how the group stands."""
        return wait_for(condition, json.dumps(self.standing(), indent=1))


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    need_etcd()
    made = Group(tmp_path_factory.mktemp("group"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def group(started: Group) -> Group:
    """The group with one confirmed revision on all disks, whatever a test before has left."""
    wait_for(lambda: started.standing()["state"] in WELL, "etcd")
    if started.standing()["paused"]:
        assert started.post("resume").status == 200
    if (found := started.standing())["head"] != found["confirmed"]:
        started.post("rollout")
    started.settles()
    return started


def cli(daemon: Daemon, line: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A command of the group that must end with an exit status."""
    found = daemon.cli("fleet", *line.split())
    assert found.returncode == code, found.stdout + found.stderr
    return found


def fits(name: str, answer: Any) -> None:
    """An answer is as the OpenAPI document says, and has no member that is not there."""
    document = describe(schema())
    shown = document["components"]["schemas"][name]
    components = {"components": document["components"]}
    jsonschema.Draft202012Validator({**shown, **components}).validate(answer)
    assert set(answer) <= set(shown["properties"])


def metrics(daemon: Daemon) -> dict[str, float]:
    """The samples of the group, without the name they begin with."""
    text = Client(daemon.socket).call("GET", f"{OWN}/metrics").body.decode()
    found = re.findall(r"^omeconf_fleet_(\S+) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_standing(group: Group) -> None:
    """Every member tells the same of all; what it says is documented."""
    for number, daemon in enumerate(group.daemons):
        found = daemon.get(f"{OWN}/fleet")
        fits("Fleet", found)
        for member in found["members"]:
            fits("Member", member)
        assert [m["node"] for m in found["members"]] == ["n0", "n1", "n2"]
        assert (found["node"], found["state"], found["group"]) == (f"n{number}", "ok", "edge")
        assert found["endpoint"] == group.etcd.endpoint
        assert found["driver"] in ("n0", "n1", "n2")
        status = daemon.status()
        fits("Status", status)
        assert status["fleet"]["confirmed"] == found["confirmed"]
        assert status["revision"]["disk"] == found["head"]
        answer = daemon.call("GET", f"{OWN}/fleet", headers=READER, token=None)
        assert answer.status == 200


def test_status_on_the_command_line(group: Group) -> None:
    """A head, a line for each member, and a line of `omeconf status`."""
    daemon = group.daemons[1]
    number = group.change()
    said = f"newest {number}, confirmed {number - 1}, not rolled out yet: `omeconf fleet rollout`"
    assert said in cli(daemon, "status").stdout
    assert "`omeconf fleet rollout` rolls it out" in daemon.cli("status").stdout
    cli(daemon, "rollout --wait")
    group.settles()
    group.until(lambda: all(group.member(each, of=1)["healthy"] == number for each in range(3)))
    lines = cli(daemon, "status").stdout.splitlines()
    assert lines[0] == "group      edge, this member is n1"
    assert lines[1] == f"etcd       {group.etcd.endpoint} ok"
    assert lines[3] == f"revision   newest {number}, confirmed {number}"
    rows = [line.split() for line in lines if line.startswith("n")]
    assert [row[:6] for row in rows] == [
        [f"n{each}", "present", "0.21", *[str(number)] * 3] for each in range(3)
    ]
    assert json.loads(cli(daemon, "status --json").stdout)["node"] == "n1"
    said = daemon.cli("status").stdout
    assert f"group             edge, as n1: ok; newest {number}, confirmed {number}" in said


def test_metrics(group: Group) -> None:
    """One member drives; all are there."""
    number = group.settles()
    found = [metrics(daemon) for daemon in group.daemons]
    assert sum(each["drives"] for each in found) == 1
    for each in found:
        assert each["state"] == 1
        assert (each['members{state="present"}'], each['members{state="away"}']) == (3, 0)
        assert each['revision{of="head"}'] == each['revision{of="confirmed"}'] == number
        assert {name for name in each if name.startswith("rollouts")} == {
            f'rollouts_total{{phase="{phase}"}}' for phase in ("confirmed", "reverted", "refused")
        }


def test_a_revision_waits_for_its_rollout(group: Group) -> None:
    """What is committed is shown as a diff of each member, and rolled out when asked for."""
    before = group.settles()
    number = group.change(of=1)
    answer = group.daemons[0].get(f"{OWN}/fleet/diff")
    assert answer["head"] == number
    assert [each["node"] for each in answer["members"]] == ["n0", "n1", "n2"]
    for each in answer["members"]:
        fits("FleetDifference", each)
        assert (each["disk"], each["unknown"]) == (before, None)
        assert [(p["action"], p["application"]) for p in each["plan"]] == [("restart", "app")]
        assert "SegmentDuration" in each["diff"]
    assert ["drift" in each for each in answer["members"]] == [True, False, False]
    shown = cli(group.daemons[2], "diff n1").stdout.splitlines()
    assert shown[0] == f"n1: revision {before}, the newest is {number}"
    assert shown[1] == "restart application default/app"
    assert cli(group.daemons[2], "diff").stdout.startswith(f"n0, n1, n2: revision {before}")
    assert group.daemons[0].call("GET", f"{OWN}/fleet/diff?node=n9").status == 404

    counted = metrics(group.daemons[0])['rollouts_total{phase="confirmed"}']
    found = cli(group.daemons[2], "rollout --wait")
    told = found.stderr.splitlines()
    assert "applying, batch 1 of 3" in found.stderr
    assert "applying, batch 3 of 3" in found.stderr
    assert len(told) == len(set(told))
    assert found.stdout.endswith(f"to revision {number}: confirmed, 3 of 3 healthy\n")
    assert group.settles() == number
    wait_for(lambda: metrics(group.daemons[0])['rollouts_total{phase="confirmed"}'] == counted + 1)
    again = cli(group.daemons[0], "rollout", 4)
    assert f"revision {number} is the newest, and is confirmed" in again.stderr
    assert cli(group.daemons[0], "diff").stdout == f"n0, n1, n2: revision {number}, the newest\n"


def test_secrets_are_hidden_from_readers(group: Group) -> None:
    """The role read sees no secret in the diff of a member; admins do."""
    number = group.settles()
    daemon = group.daemons[0]
    old = next(each for each in (SECRET, "new-and-secret") if each in daemon.text)
    new = {SECRET: "new-and-secret", "new-and-secret": SECRET}[old]
    daemon.write(daemon.text.replace(old, new))
    group.until(lambda: group.knows(1) == number + 1)
    path = f"{OWN}/fleet/diff?node=n1"
    seen = json.dumps(group.daemons[1].get(path))
    assert new in seen
    answer = group.daemons[1].call("GET", path, headers=READER, token=None)
    assert (answer.status, len(answer.json["members"])) == (200, 1)
    shown = json.dumps(answer.json)
    assert old not in shown
    assert new not in shown


def test_a_failed_rollout(group: Group) -> None:
    """5, who failed and why; the revision is taken back, and that waits to be rolled out."""
    before = group.settles()
    number = group.change()
    (group.daemons[2].base / "fail").touch()
    try:
        found = cli(group.daemons[1], "rollout --wait", 5)
    finally:
        (group.daemons[2].base / "fail").unlink()
    assert f"to revision {number}: reverted: n2: told to fail" in found.stdout
    standing = group.until(
        lambda: (s := group.standing())["rollout"]["settled"].startswith("taken back") and s
    )
    assert (standing["head"], standing["confirmed"]) == (number + 1, before)
    shown = cli(group.daemons[1], "status", 1).stdout
    assert "reverted: n2: told to fail" in shown
    assert f"its revisions: taken back by revision {number + 1}" in shown
    wait_for(lambda: metrics(group.daemons[1])['rollouts_total{phase="reverted"}'] >= 1)


def test_pause_and_resume(group: Group) -> None:
    """Who paused, and why; nothing begins meanwhile; what contradicts how things stand is 409."""
    daemon = group.daemons[0]
    assert "paused by root" in cli(daemon, "pause maintenance").stdout
    found = group.standing()["paused"]
    assert (found["by"], found["reason"]) == ("root", "maintenance")
    shown = cli(daemon, "status").stdout
    assert "paused     by root: maintenance (`omeconf fleet resume` ends that)" in shown
    wait_for(lambda: "paused" in group.daemons[2].cli("status").stdout)
    group.change()
    assert "rollouts are paused" in cli(daemon, "rollout", 4).stderr
    assert json.loads(cli(daemon, "resume --json").stdout) == {"paused": None}
    assert group.standing()["paused"] is None
    assert "rollouts are not paused" in cli(daemon, "resume", 4).stderr
    assert group.post("rollout").status == 202  # at once: what was just done is known


@pytest.mark.parametrize("body", [{"reason": 1}, ["x"], b"{"])
def test_a_pause_that_is_not_understood(group: Group, body: Any) -> None:
    """400, and nothing is paused."""
    assert group.post("pause", body).status == 400
    assert group.standing()["paused"] is None


def test_abort(group: Group) -> None:
    """Who has applied it goes back; without a rollout there is nothing to abort."""
    daemon = group.daemons[1]
    assert "no rollout is under way" in cli(daemon, "abort --yes", 4).stderr
    before = group.settles()
    number = group.change()
    assert group.post("rollout").status == 202
    assert group.post("pause", {"reason": "look at it"}).json["paused"]["reason"] == "look at it"
    asked = cli(daemon, "abort", 2)
    assert "nobody can be asked here" in asked.stderr
    assert "`omeconf fleet status`" in asked.stderr
    assert "aborted by root" in cli(daemon, "abort --yes").stdout
    standing = group.until(
        lambda: (s := group.standing(1))["rollout"]["settled"].startswith("taken back") and s
    )
    assert standing["rollout"]["phase"] in ("refused", "reverted")
    assert (standing["head"], standing["confirmed"]) == (number + 1, before)


def test_drift(group: Group) -> None:
    """A manual edit that is kept, or is broken, is shown, and where it is, as a diff."""
    keeps, other = group.daemons[2], group.daemons[0]
    was = keeps.text
    try:
        keeps.write(was.replace("<Name>other</Name>", "<Name>mine</Name>"))
        group.until(lambda: group.member(2)["drift"])
        assert "edited by hand, and kept" in cli(other, "status", 1).stdout
        assert "and manual edits that stay on this member" in keeps.cli("status").stdout
        drift = keeps.get(f"{OWN}/fleet/diff?node=n2")["members"][0]["drift"]
        assert drift["good"]
        assert "+\t\t\t\t\t<Name>mine</Name>" in drift["diff"]
        assert "drift" not in other.get(f"{OWN}/fleet/diff?node=n2")["members"][0]
        said = cli(keeps, "diff").stdout
        assert f"n2: edited by hand on revision {group.standing()['head']}" in said
        keeps.write(was.replace("</Server>", ""))
        group.until(lambda: "with" in (group.member(2)["drift"] or ""))
        assert "and has errors or cannot be read" in cli(keeps, "diff").stdout
        answer = keeps.call("GET", f"{OWN}/fleet/diff", headers=READER, token=None)
        (mine,) = [each for each in answer.json["members"] if each["node"] == "n2"]
        assert (mine["drift"]["good"], mine["drift"]["diff"]) == (False, "")
    finally:
        keeps.write(was)
    group.until(lambda: not group.member(2)["drift"])


def test_events_in_words(group: Group) -> None:
    """Each kind has its words."""
    number = group.change()
    cli(group.daemons[0], "rollout --wait")
    lines = group.daemons[0].cli("events").stdout.splitlines()
    assert any(re.search(rf"rollout +\d+ to revision {number}: confirmed$", line) for line in lines)
    assert any(re.search(r"fleet +ok: n0, n1, n2; n\d drives$", line) for line in lines)


def test_names_are_offered(group: Group) -> None:
    """A shell is offered the members."""
    context = click.Context(click.Command("x"))
    context.params["socket_path"] = group.daemons[0].socket
    assert [each.value for each in offers.nodes(context, "n")] == ["n0", "n1", "n2"]
    assert [each.value for each in offers.nodes(context, "n2")] == ["n2"]


def test_etcd_hangs(group: Group) -> None:
    """A few calls wait for it, more are told to come again, and who looks is answered at once."""
    with ThreadPoolExecutor(12) as pool:
        group.etcd.pause()
        try:
            asked = [pool.submit(group.post, "pause") for _ in range(12)]
            wait_for(lambda: sum(each.done() for each in asked) >= 8)
            assert not all(each.done() for each in asked)
            assert group.standing()["node"] == "n0"
            answers = [each.result() for each in asked]
        finally:
            group.etcd.resume()
    assert {each.status for each in answers} == {503}
    titles = [each.json["title"] for each in answers]
    assert titles.count("too many requests wait for etcd: try again") == 8


def test_who_is_away(group: Group) -> None:
    """A member, then etcd: what is known stays readable, and what cannot be done is 503."""
    daemon = group.daemons[0]
    group.daemons[1].stop()
    try:
        group.until(lambda: not group.member(1)["present"])
        assert "away" in cli(daemon, "status", 1).stdout
        assert metrics(daemon)['members{state="away"}'] == 1
    finally:
        group.daemons[1].start()
    group.settles()
    group.etcd.stop()
    try:
        group.until(lambda: group.standing()["state"] == "away")
        assert metrics(daemon)["state"] == 0
        for what in ("rollout", "pause", "resume", "abort"):
            assert group.post(what).status == 503, what
        assert cli(daemon, "pause", 4).stderr.startswith("omeconf: ")
        assert " away" in cli(daemon, "status", 1).stdout
        assert daemon.get(f"{OWN}/fleet/diff")["members"]
    finally:
        group.etcd.start()
    group.settles()


def test_forget(group: Group) -> None:
    """Who is there cannot be forgotten, who is away for good can, and comes back if it does."""
    daemon, away = group.daemons[0], group.daemons[2]
    assert "is there: stop it first" in cli(daemon, "forget n2", 4).stderr
    assert "no member n9" in cli(daemon, "forget n9", 1).stderr
    away.stop()
    try:
        group.until(lambda: "n2" not in present(group))
        assert "n2" in cli(daemon, "forget n2").stdout
        assert [each["node"] for each in group.standing()["members"]] == ["n0", "n1"]
    finally:
        away.start()
    group.until(lambda: len(present(group)) == 3)


def present(group: Group) -> set[str]:
    """The members that are there."""
    return {each["node"] for each in group.standing()["members"] if each["present"]}
