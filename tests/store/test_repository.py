from __future__ import annotations

import errno
import hashlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from omeconf.core import path
from omeconf.core.edit import Candidate, Edit, Verb
from omeconf.core.revision import Origin
from omeconf.core.snapshot import digest
from omeconf.errors import BadBody, Busy, Conflict, Drift, NotReady, Refused, Stale, Unwritable
from omeconf.store import preparation, steps
from omeconf.store import repository as module
from omeconf.store.history import History
from omeconf.store.publish import Prepared
from omeconf.store.repository import Repository
from tests.support import MINIMAL, schema
from tests.support.daemon import wait_for

APP = path.application("default", "app")


def opened(folder: Path) -> Repository:
    repository = Repository(
        folder / "conf/Server.xml",
        History(folder / "state.sqlite"),
        schema(),
        clock=lambda: 7.0,
        state=folder / "state",
    )
    repository.open()
    return repository


@pytest.fixture(params=["small", "large"])
def repository(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Repository]:
    """A repository; also one for which every file is so large that threads beside it help."""
    if request.param == "large":
        monkeypatch.setattr(module, "LARGE", 0)
        monkeypatch.setattr(preparation, "LONG", 0)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/Server.xml").write_text(MINIMAL)
    repository = opened(tmp_path)
    yield repository
    repository.close()


def write(repository: Repository, text: str) -> None:
    (repository.folder.path / "Server.xml").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def live(repository: Repository) -> str:
    return (repository.folder.path / "Server.xml").read_text()


def segment(value: object, base: int = 0) -> Candidate:
    patch = {"publishers": {"llhls": {"segmentDuration": value}}}
    return Candidate(base, (Edit(Verb.MERGE, APP, patch),), "me", "why")


def test_first_start(repository: Repository) -> None:
    """What is there becomes revision 1."""
    revision = repository.view().revision
    assert (revision.number, revision.parent, revision.origin) == (1, 0, Origin.FILE)


def test_commit(repository: Repository) -> None:
    """The edit is on disk and in the history, with who and why."""
    head = repository.commit(segment(4))
    assert live(repository) == MINIMAL.replace(">6<", ">4<")
    assert head.revision.number == 2
    assert (head.revision.author, head.revision.message) == ("me", "why")
    assert repository.history.files(2)["Server.xml"].decode() == live(repository)
    assert repository.history.files(1)["Server.xml"].decode() == MINIMAL


def test_no_change_is_no_revision(repository: Repository) -> None:
    """An edit that changes no byte is done already."""
    assert repository.commit(segment(6.0)).revision.number == 1


def test_refused_candidates(repository: Repository) -> None:
    """Errors, new warnings, bad bodies and stale bases leave everything as it was."""
    bad_type = Candidate(0, (Edit(Verb.MERGE, APP, {"type": "dead"}),))
    with pytest.raises(Refused) as caught:
        repository.commit(bad_type)
    assert caught.value.violations[0].says == "Unknown type: dead"
    with pytest.raises(Refused, match="SegmentDuration> is '4s': it should be"):
        repository.commit(segment("4s"))
    with pytest.raises(BadBody):
        repository.commit(Candidate(0, (Edit(Verb.MERGE, APP, {"nonsense": 1}),)))
    with pytest.raises(Stale, match="revision 9 is not the newest"):
        repository.commit(segment(4, base=9))
    assert live(repository) == MINIMAL
    assert repository.view().revision.number == 1


def test_force_lets_warnings_through(repository: Repository) -> None:
    """What the engine takes as something else can be insisted on; errors cannot."""
    assert repository.commit(segment("4s"), force=True).revision.number == 2
    bad_type = Candidate(0, (Edit(Verb.MERGE, APP, {"type": "dead"}),))
    with pytest.raises(Refused):
        repository.commit(bad_type, force=True)


def test_old_warnings_do_not_block(repository: Repository) -> None:
    """A file that always had its warts can be edited elsewhere."""
    write(repository, MINIMAL.replace("1935", "1935x"))
    assert repository.commit(segment(4)).revision.number == 3


def test_several_edits_one_revision(repository: Repository) -> None:
    """All of a candidate or nothing of it."""
    new = path.application("default", "new")
    create = Edit(Verb.CREATE, new, {"name": "new", "type": "live"})
    with pytest.raises(Refused):
        repository.commit(Candidate(0, (create, Edit(Verb.MERGE, APP, {"type": "dead"}))))
    assert live(repository) == MINIMAL
    both = (create, Edit(Verb.MERGE, new, {"providers": {"rtmp": {}}}))
    assert repository.commit(Candidate(0, both)).revision.number == 2


def test_manual_edit_is_adopted(repository: Repository) -> None:
    """A valid edit by hand becomes a revision; seen again, it is none."""
    write(repository, MINIMAL.replace("1935", "1936"))
    adopted = repository.adopt()
    assert adopted is not None
    assert (adopted.revision.number, adopted.revision.origin) == (2, Origin.FILE)
    assert repository.adopt() is None


def test_commit_on_top_of_a_manual_edit(repository: Repository) -> None:
    """An edit made since is recorded first; ours is made on top of it."""
    write(repository, MINIMAL.replace("1935", "1936"))
    head = repository.commit(segment(4))
    assert (head.revision.number, head.revision.parent) == (3, 2)
    assert live(repository) == MINIMAL.replace("1935", "1936").replace(">6<", ">4<")


def test_broken_manual_edit(repository: Repository) -> None:
    """It is left alone, reads go on from the last good revision, writes are refused with why."""
    broken = MINIMAL.replace("<Port>", "<Prot>")
    write(repository, broken)
    assert repository.adopt() is None
    assert repository.drift is not None
    assert repository.view().revision.number == 1
    with pytest.raises(Drift, match="line 8: mismatched tag") as caught:
        repository.commit(segment(4))
    assert caught.value.violations
    assert live(repository) == broken
    write(repository, MINIMAL.replace("1935", "1936"))
    assert repository.commit(segment(4)).revision.number == 3
    assert repository.drift is None


def test_missing_file(repository: Repository) -> None:
    """Without the file nothing is written; back again, nothing is lost."""
    (repository.folder.path / "Server.xml").unlink()
    with pytest.raises(Drift, match="there is no such file"):
        repository.commit(segment(4))
    write(repository, MINIMAL)
    assert repository.commit(segment(4)).revision.number == 2


def test_first_start_on_a_broken_file(tmp_path: Path) -> None:
    """There is nothing to serve until it is right, and then there is."""
    (tmp_path / "conf").mkdir()
    file = tmp_path / "conf/Server.xml"
    file.write_text("<Server>")
    repository = opened(tmp_path)
    with pytest.raises(NotReady):
        repository.view()
    file.write_text(MINIMAL)
    assert repository.adopt() is not None
    assert repository.view().revision.number == 1


def test_rollback(repository: Repository) -> None:
    """An old state comes back as a new revision; history only grows."""
    repository.commit(segment(4))
    head = repository.rollback(1, "me")
    assert live(repository) == MINIMAL
    assert (head.revision.number, head.revision.origin) == (3, Origin.ROLLBACK)
    assert repository.rollback(1).revision.number == 3


def test_revert(repository: Repository) -> None:
    """The inverse of a revision is made on top of what came after it."""
    repository.commit(segment(4))
    write(repository, live(repository).replace("1935", "1936"))
    head = repository.revert([2], "me", "not well")
    assert live(repository) == MINIMAL.replace("1935", "1936")
    assert (head.revision.number, head.revision.message) == (4, "not well")
    repository.commit(segment(5))
    repository.commit(segment(7))
    with pytest.raises(Conflict, match="both changed line 21"):
        repository.revert([5], "me", "")


def test_a_vanished_include_may_come_back(tmp_path: Path) -> None:
    """A file that is away for a moment is not taken for deleted; after a while it is."""
    conf = tmp_path / "conf"
    conf.mkdir()
    include = '<VirtualHosts><VirtualHost include="v*.xml" />'
    (conf / "Server.xml").write_text(MINIMAL.replace("<VirtualHosts>", include))
    (conf / "v1.xml").write_text("<VirtualHost><Name>one</Name></VirtualHost>")
    now = [100.0]
    repository = Repository(
        conf / "Server.xml", History(tmp_path / "h"), schema(), clock=lambda: now[0], vanished_s=2
    )
    repository.open()
    (conf / "v1.xml").rename(conf / "away")
    assert repository.adopt() is None
    with pytest.raises(Drift, match=r"v1\.xml: there is no such file any more"):
        repository.commit(segment(4))
    (conf / "away").rename(conf / "v1.xml")
    assert repository.commit(segment(4)).revision.number == 2
    (conf / "v1.xml").unlink()
    assert repository.adopt() is None
    now[0] += 3
    adopted = repository.adopt()
    assert adopted is not None
    assert adopted.revision.number == 3
    repository.close()


def test_restart(repository: Repository, tmp_path: Path) -> None:
    """A new daemon knows what the old one knew, and takes up what happened meanwhile."""
    repository.commit(segment(4))
    repository.close()
    write(repository, live(repository).replace("1935", "1936"))
    again = opened(tmp_path)
    assert again.view().revision.number == 3
    assert again.at(2).snapshot.files["Server.xml"].decode() == MINIMAL.replace(">6<", ">4<")
    again.close()


def test_a_disk_that_refuses(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """If publishing fails, the revision is withdrawn and the file is as it was."""

    def refuse(*_: object) -> None:
        raise Unwritable("cannot publish Server.xml: no space left on device")

    monkeypatch.setattr(repository.publisher, "publish", refuse)
    with pytest.raises(Unwritable):
        repository.commit(segment(4))
    head = repository.history.head()
    assert head is not None
    assert head.number == repository.view().revision.number == 1


NEW = MINIMAL.replace(">6<", ">4<").encode()
THEIRS = MINIMAL.replace("1935", "1936").encode()
NEWER = MINIMAL.replace("1935", "1937").encode()
BROKEN = MINIMAL.replace("Providers>", "Provders>").encode()


def leftover(file: str, made_for: bytes) -> str:
    """The name of a temporary that publishing makes."""
    whose, made = hashlib.sha256(file.encode()).hexdigest(), digest({file: made_for})
    return f".omeconf-{file.rpartition('/')[2]}-{whose[:16]}-01234567-{made[:16]}.tmp"


def crashed(
    repository: Repository, folder: Path, *, live: bytes | None, temporary: bytes, part: str = ""
) -> Repository:
    """A daemon started after a crash in the middle of publishing revision 2."""
    repository.commit(segment(4))
    repository.close()
    conf = repository.folder.path
    (conf / "Server.xml").unlink()
    if live is not None:
        (conf / "Server.xml").write_bytes(live)
    (conf / (part or leftover("Server.xml", NEW))).write_bytes(temporary)
    again = opened(folder)
    assert list(conf.iterdir()) == [conf / "Server.xml"]
    return again


def history(repository: Repository) -> list[bytes]:
    """What Server.xml was in each revision."""
    numbers = [revision.number for revision in reversed(repository.history.newest())]
    return [repository.history.files(number)["Server.xml"] for number in numbers]


def test_crash_before_the_exchange(repository: Repository, tmp_path: Path) -> None:
    """A recorded revision whose file waits beside the live one is published at the start."""
    again = crashed(repository, tmp_path, live=MINIMAL.encode(), temporary=NEW)
    assert live(again).encode() == NEW
    assert history(again) == [MINIMAL.encode(), NEW]
    again.close()


def test_new_bytes_that_do_not_reach_the_disk(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If their sync fails, nothing is recorded, nothing is left, and the next edit works."""
    real, broken = os.fsync, [True]

    def fsync(handle: int) -> None:
        if broken and Path(f"/proc/self/fd/{handle}").readlink().suffix == ".part":
            broken.clear()
            raise OSError(errno.EIO, "Input/output error")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(Unwritable, match=r"cannot write Server\.xml: input/output error"):
        repository.commit(segment(4))
    assert live(repository) == MINIMAL
    assert names(repository.folder.path) == ["Server.xml"]
    assert history(repository) == [MINIMAL.encode()]
    assert repository.commit(segment(5)).revision.number == 2


def test_what_nobody_waits_for(repository: Repository) -> None:
    """The answer need not wait until the displaced file is gone; whoever runs us sees to it."""
    later: list[Callable[[], None]] = []
    repository.afterwards = later.append
    head = repository.commit(segment(4))
    assert head.revision.number == 2
    assert len(names(repository.folder.path)) == 2
    for work in later:
        work()
    wait_for(lambda: names(repository.folder.path) == ["Server.xml"])
    repository.commit(segment(5))
    repository.commit(segment(7))
    assert len(names(repository.folder.path)) <= 2, "no more than one waits"


def test_no_threads_beside(repository: Repository) -> None:
    """An edit needs none; no file is left, in the folder or open."""
    repository._beside.shutdown()
    for value in (4, 5):
        repository.commit(segment(value))
    assert live(repository) == MINIMAL.replace(">6<", ">5<")
    conf = repository.folder.path
    assert names(conf) == ["Server.xml"]
    handles = [os.path.realpath(handle) for handle in Path("/proc/self/fd").iterdir()]
    assert not [each for each in handles if each.startswith(f"{conf}/")]


@pytest.mark.parametrize("is_fresh", [True, False], ids=["fresh", "to be looked at"])
def test_two_revisions_in_one_turn(repository: Repository, is_fresh: bool) -> None:
    """What both displaced goes: also where the second needs no look at the disk."""
    later: list[Callable[[], None]] = []
    repository.afterwards = later.append
    for value in (4, 5):
        repository.commit(segment(value), is_fresh=is_fresh)
    for work in later:
        work()
    wait_for(lambda: names(repository.folder.path) == ["Server.xml"], "what was displaced to go")


def test_crash_after_the_exchange(repository: Repository, tmp_path: Path) -> None:
    """What was displaced was the base: there is nothing to do but to clean up."""
    again = crashed(repository, tmp_path, live=NEW, temporary=MINIMAL.encode())
    assert live(again).encode() == NEW
    assert history(again) == [MINIMAL.encode(), NEW]
    again.close()


def test_crash_with_somebodys_save_displaced(repository: Repository, tmp_path: Path) -> None:
    """Their save is put back and adopted; ours was never acknowledged."""
    again = crashed(repository, tmp_path, live=NEW, temporary=THEIRS)
    assert live(again).encode() == THEIRS
    assert history(again) == [MINIMAL.encode(), NEW, THEIRS]
    assert again.view().revision.origin == Origin.FILE
    again.close()


def test_crash_with_a_save_displaced_and_a_newer_one_since(
    repository: Repository, tmp_path: Path
) -> None:
    """The newer stays live, and the displaced one is in the history too."""
    again = crashed(repository, tmp_path, live=NEWER, temporary=THEIRS)
    assert live(again).encode() == NEWER
    assert history(again) == [MINIMAL.encode(), NEW, THEIRS, NEWER]
    again.close()


def test_crash_with_a_broken_save_displaced(repository: Repository, tmp_path: Path) -> None:
    """What cannot be a revision is kept in the state folder."""
    again = crashed(repository, tmp_path, live=NEWER, temporary=BROKEN)
    assert history(again) == [MINIMAL.encode(), NEW, NEWER]
    (kept,) = (tmp_path / "state/rescued").iterdir()
    assert kept.read_bytes() == BROKEN
    again.close()


def test_crash_between_withdrawing_and_cleaning_up(repository: Repository, tmp_path: Path) -> None:
    """Temporaries of what was never recorded go; what they displaced is live again."""
    for on_disk, temporary, made_for in (
        (MINIMAL.encode(), NEW, NEW),
        (NEW, MINIMAL.encode(), NEW),
    ):
        repository.close()
        conf = repository.folder.path
        (conf / "Server.xml").write_bytes(on_disk)
        (conf / leftover("Server.xml", made_for)).write_bytes(temporary)
        repository = opened(tmp_path)
        assert live(repository) == MINIMAL
        assert history(repository) == [MINIMAL.encode()]
        assert list(conf.iterdir()) == [conf / "Server.xml"]
    repository.close()


def test_crash_while_writing(repository: Repository, tmp_path: Path) -> None:
    """A temporary that was never whole is removed."""
    again = crashed(
        repository, tmp_path, live=NEW, temporary=b"<Server ha", part=".omeconf-x-1-2-3.part"
    )
    assert live(again).encode() == NEW
    again.close()


HOST = "<VirtualHost><Name>{0}</Name><Host><Names><Name>{0}</Name></Names></Host></VirtualHost>"


@pytest.fixture
def several(repository: Repository) -> tuple[Path, dict[str, bytes]]:
    """A closed repository of three files in which revision 2 was rolled back to revision 1."""
    conf = repository.folder.path
    write(
        repository,
        MINIMAL.replace("<VirtualHosts>", '<VirtualHosts><VirtualHost include="h/*.xml"/>'),
    )
    (conf / "h").mkdir()
    for name in ("a", "b"):
        (conf / f"h/{name}.xml").write_text(HOST.format(name))
    repository.adopt()
    old = dict(repository.view().checked.snapshot.files)
    for name in ("a", "b"):
        (conf / f"h/{name}.xml").write_text(HOST.format(name + "2"))
    write(repository, live(repository).replace("1935", "1936"))
    repository.adopt()
    repository.rollback(2)
    repository.close()
    return conf, old


def test_half_of_several_files(several: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    """Wherever the crash came between several files, all are new at the start."""
    conf, new = several
    history = History(tmp_path / "state.sqlite")
    old = history.files(3)
    history.close()
    names = sorted(new)
    for done in range(len(names) + 1):
        for place, name in enumerate(names):
            is_done = place < done
            (conf / name).write_bytes(new[name] if is_done else old[name])
            held = old[name] if is_done else new[name]
            (conf / name).with_name(leftover(name, new[name])).write_bytes(held)
        again = opened(tmp_path)
        assert again.view().revision.number == 4
        assert {name: (conf / name).read_bytes() for name in names} == new
        assert not list(conf.rglob(".omeconf*"))
        again.close()


def test_half_of_several_files_and_a_save(
    several: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    """If somebody saved one of them meanwhile, ours is undone, and theirs is adopted."""
    conf, new = several
    history = History(tmp_path / "state.sqlite")
    old = history.files(3)
    history.close()
    (conf / "h/a.xml").write_bytes(new["h/a.xml"])
    (conf / leftover("h/a.xml", new["h/a.xml"])).write_bytes(old["h/a.xml"])
    (conf / "h/b.xml").write_text(HOST.format("theirs"))
    (conf / leftover("h/b.xml", new["h/b.xml"])).write_bytes(new["h/b.xml"])
    (conf / "Server.xml").write_bytes(old["Server.xml"])
    held = new["Server.xml"]
    (conf / leftover("Server.xml", held)).write_bytes(held)
    again = opened(tmp_path)
    wanted = {**old, "h/b.xml": HOST.format("theirs").encode()}
    assert {name: (conf / name).read_bytes() for name in new} == wanted
    assert again.view().checked.snapshot.files == wanted
    assert not list(conf.rglob(".omeconf*"))
    again.close()


def test_rollback_brings_files_back(repository: Repository) -> None:
    """Included files that came or went by hand come and go with a rollback."""
    conf = repository.folder.path
    include = MINIMAL.replace("<VirtualHosts>", '<VirtualHosts><VirtualHost include="h*.xml"/>')
    (conf / "h1.xml").write_text(HOST.format("one"))
    write(repository, include)
    repository.adopt()
    (conf / "h1.xml").unlink()
    (conf / "h2.xml").write_text(HOST.format("two"))
    repository.adopt()
    assert repository.view().revision.number == 3
    repository.rollback(2)
    wait_for(lambda: names(conf) == ["Server.xml", "h1.xml"], "the files of revision 2")
    repository.rollback(3)
    wait_for(lambda: names(conf) == ["Server.xml", "h2.xml"], "the files of revision 3")
    repository.rollback(1)
    assert live(repository) == MINIMAL
    assert (conf / "h2.xml").exists(), "nothing includes it now, so it stays"
    assert repository.adopt() is None
    repository.rollback(3)
    assert live(repository) == include
    assert repository.at(7).snapshot.digest == repository.view().revision.digest


ELSEWHERE = {
    "beside": ("h1.xml", "h1.xml"),
    "pattern": ("h*.xml", "h1.xml"),
    "outside": ("{outside}/h1.xml", "{outside}/h1.xml"),
}


@pytest.mark.parametrize("way", ["put", "delete", "rollback"])
@pytest.mark.parametrize(("pattern", "name"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_is_not_included_any_more_stays(
    repository: Repository, tmp_path: Path, pattern: str, name: str, way: str
) -> None:
    """A file is nobody's edit only because the include that named it is gone."""
    (tmp_path / "outside").mkdir()
    where = str(tmp_path / "outside")
    file = repository.folder.path / name.replace("{outside}", where)
    file.write_text(HOST.format("one"))
    include = f'<VirtualHost include="{pattern.replace("{outside}", where)}"/>'
    write(repository, MINIMAL.replace("\t</VirtualHosts>", f"\t\t{include}\n\t</VirtualHosts>"))
    repository.adopt()
    if way == "put":
        repository.put("Server.xml", MINIMAL.encode(), Candidate(0, (), "me", ""))
    elif way == "rollback":
        repository.rollback(1)
    elif "*" in pattern:
        with pytest.raises(Conflict):
            repository.commit(Candidate(0, (Edit(Verb.DELETE, path.virtual_host("one")),), "me"))
        return
    else:
        repository.commit(Candidate(0, (Edit(Verb.DELETE, path.virtual_host("one")),), "me"))
    assert file.read_text() == HOST.format("one")
    assert live(repository) == MINIMAL
    head = repository.view()
    assert head.revision.number == 3
    assert list(head.checked.snapshot.files) == ["Server.xml"]
    assert repository.at(3).snapshot.digest == head.revision.digest
    repository.close()
    again = opened(tmp_path)
    assert again.view().revision == head.revision
    again.rollback(2)
    assert "include" in live(again)
    assert again.at(4).snapshot.digest == again.view().revision.digest
    again.close()


def test_a_save_from_an_older_buffer(repository: Repository) -> None:
    """It wins, since a person saved it; but it is said what it takes back."""
    repository.commit(segment(4))
    buffer = live(repository)
    write(repository, buffer.replace("1935", "1936"))
    adopted = repository.adopt()
    assert adopted is not None
    assert adopted.revision.reverts == ()
    buffer = live(repository)
    repository.commit(segment(3))
    repository.commit(segment(2))
    write(repository, buffer.replace("1936", "1937"))
    adopted = repository.adopt()
    assert adopted is not None
    assert adopted.revision.reverts == (4, 5)
    assert "takes back revision 4, 5" in adopted.revision.message
    repository.commit(segment(7))
    write(repository, live(repository).replace("1937", "1938"))
    fresh = repository.adopt()
    assert fresh is not None
    assert fresh.revision.reverts == ()


def test_hold(repository: Repository, tmp_path: Path) -> None:
    """While files are changed by many hands nothing is adopted or changed, also after a restart."""
    repository.hold("git pull")
    write(repository, MINIMAL.replace("1935", "1936"))
    assert repository.adopt() is None
    with pytest.raises(Drift, match="git pull"):
        repository.commit(segment(4))
    repository.close()
    again = opened(tmp_path)
    assert again.view().revision.number == 1
    again.hold_ends()
    resumed = again.adopt()
    assert resumed is not None
    assert resumed.revision.number == 2
    assert again.commit(segment(4)).revision.number == 3
    again.close()


def test_what_ends_a_drift(repository: Repository) -> None:
    """A file beside Server.xml can keep the engine from starting, and its removal is noticed."""
    legacy = repository.folder.path / "LastConfig.xml"
    legacy.write_text("<Server/>")
    assert repository.adopt() is None
    assert repository.drift is not None
    with pytest.raises(Drift, match="LastConfig"):
        repository.commit(segment(4))
    legacy.unlink()
    assert repository.adopt() is None
    assert repository.drift is None
    logger = repository.folder.path / "Logger.xml"
    logger.write_text("<Logger/>")
    repository.adopt()
    assert repository.drift is not None
    logger.unlink()
    assert repository.commit(segment(4)).revision.number == 2


def test_a_damaged_history(repository: Repository, tmp_path: Path) -> None:
    """It is set aside; the files go on being served, and a new history begins with them."""
    repository.commit(segment(4))
    repository.close()
    (tmp_path / "state.sqlite").write_bytes(b"no database" * 1000)
    again = opened(tmp_path)
    assert (again.view().revision.number, live(again).encode()) == (1, NEW)
    assert "damaged history is kept in" in again.view().revision.message
    assert again.commit(segment(5)).revision.number == 2
    again.close()


def test_damage_inside_the_history(repository: Repository, tmp_path: Path) -> None:
    """The same if the database is whole, but a patch in it is not."""
    repository.commit(segment(4))
    repository.close()
    database = sqlite3.connect(tmp_path / "state.sqlite")
    database.execute("UPDATE change SET patch = x'00'")
    database.commit()
    database.close()
    again = opened(tmp_path)
    assert (again.view().revision.number, live(again).encode()) == (1, NEW)
    again.close()


def test_no_history_for_now(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it cannot be opened, what lies on disk is served; nothing is changed until it can."""
    repository.commit(segment(4))
    repository.close()

    def refuse(_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(History, "_open", refuse)
        again = opened(tmp_path)
        assert again.view().checked.snapshot.files["Server.xml"] == NEW
        with pytest.raises(Unwritable, match="No space left"):
            again.commit(segment(5))
        assert again.unrecorded
    assert again.commit(segment(5)).revision.number == 3
    assert [r.number for r in again.history.newest()] == [3, 2, 1]
    again.close()


def test_a_manual_edit_that_cannot_be_recorded(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, tried again, and never lost; edits over the API wait for it."""

    def refuse(*_: object, **__: object) -> None:
        raise Unwritable("cannot write the history: database or disk is full")

    write(repository, MINIMAL.replace("1935", "1936"))
    with monkeypatch.context() as patched:
        patched.setattr(repository.history, "append", refuse)
        for _ in range(2):
            with pytest.raises(Unwritable):
                repository.commit(segment(4))
        assert "full" in repository.unrecorded
        assert repository.view().revision.number == 1
    assert repository.commit(segment(4)).revision.number == 3
    assert repository.unrecorded == ""
    assert live(repository) == MINIMAL.replace("1935", "1936").replace(">6<", ">4<")


@pytest.mark.parametrize("is_fresh", [True, False], ids=["fresh", "to be looked at"])
def test_a_record_that_cannot_be_withdrawn(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, is_fresh: bool
) -> None:
    """It is withdrawn as soon as that works, before anything else."""

    def refuse(*_: object) -> None:
        raise Unwritable("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(repository.publisher, "publish", refuse)
        patched.setattr(repository.history, "withdraw", refuse)
        with pytest.raises(Unwritable):
            repository.commit(segment(4))
        with pytest.raises(Unwritable):
            repository.commit(segment(4))
    assert repository.commit(segment(5), is_fresh=is_fresh).revision.number == 2
    wait_for(lambda: not list(repository.folder.path.glob(".omeconf*")), "what lies about to go")


def test_a_save_that_was_overtaken(repository: Repository) -> None:
    """Two saves while we publish: both are in the history, and the newer one is live."""
    real = repository.publisher.publish
    saves = [THEIRS, NEWER]

    def publish(prepared: list[Prepared]) -> None:
        if not saves:
            real(prepared)
            return
        (each,) = prepared
        each.temporary.write_bytes(saves.pop(0))  # as if displaced, and the next one live
        write(repository, saves.pop(0).decode())
        raise Busy("Server.xml was changed by somebody else meanwhile")

    repository.publisher.publish = publish  # type: ignore[method-assign]
    head = repository.commit(segment(4))
    assert live(repository).encode() == NEWER.replace(b">6<", b">4<")
    assert history(repository)[1:3] == [THEIRS, NEWER]
    assert head.revision.number == 4


def test_somebody_writes_at_the_same_moment(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Their edit becomes a revision of its own, and ours is made on top of it."""
    caplog.set_level(logging.INFO)
    publish = repository.publisher.publish
    edits = iter([MINIMAL.replace("1935", "1936")])

    def disturbed(prepared: object) -> None:
        theirs = next(edits, None)
        if theirs is not None:
            write(repository, theirs)
        publish(prepared)  # type: ignore[arg-type]

    monkeypatch.setattr(repository.publisher, "publish", disturbed)
    head = repository.commit(segment(4))
    assert live(repository) == MINIMAL.replace("1935", "1936").replace(">6<", ">4<")
    assert [r.origin for r in repository.history.newest()][:2] == [Origin.API, Origin.FILE]
    assert head.revision.number == 3


def test_somebody_who_never_stops(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few tries the caller is told; nobody's work is lost."""

    def always(_: object) -> None:
        raise Busy("Server.xml was changed by somebody else meanwhile")

    monkeypatch.setattr(repository.publisher, "publish", always)
    with pytest.raises(Conflict, match="is being written by somebody else: try again"):
        repository.commit(segment(4))
    assert live(repository) == MINIMAL


def test_a_save_behind_a_gap_in_the_history(repository: Repository) -> None:
    """What the engine runs is kept when those behind it are pruned: no patch leads from it on."""
    for value in (4, 5, 7, 8):
        repository.commit(segment(value))
    repository.history.set_marks(running=2)
    repository.history.prune(keep=2, older_than=0.0, at_once=True)
    assert [r.number for r in repository.history.newest()] == [5, 4, 2]
    write(repository, live(repository).replace("<Port>1935<", "<Port>1936<"))
    adopted = repository.adopt()
    assert adopted is not None
    assert (adopted.revision.number, adopted.revision.reverts) == (6, ())


def test_nothing_is_read_again_before_an_edit(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file system is asked whether anything was written; what we wrote ourselves is known."""
    repository.adopt()
    read: list[str] = []
    real = repository.folder.read

    def reading(file: str) -> bytes:
        read.append(file)
        return real(file)

    monkeypatch.setattr(repository.folder, "read", reading)
    for number in (7, 8, 9):
        repository.commit(segment(number))
    assert read == []
    path = repository.folder.path / "Server.xml"
    path.write_text(path.read_text().replace("1935", "1936"))
    assert repository.base().revision.origin is Origin.FILE
    assert read == ["Server.xml"]


def test_a_save_that_the_file_system_does_not_tell_of(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one tick of its clock two writes look like one: the edit is made on the save anyway."""
    repository.adopt()
    same = repository.folder.trace(repository.view().checked.snapshot)
    monkeypatch.setattr(repository.folder, "trace", lambda _: same)
    path = repository.folder.path / "Server.xml"
    path.write_text(path.read_text().replace("1935", "1936"))
    head = repository.commit(segment(9))
    assert head.revision.number == 3
    assert repository.history.get(2).origin is Origin.FILE
    assert "1936" in path.read_text()
    assert ">9<" in path.read_text()


def test_what_was_added_is_taken_back_from_beside_what_was_added_later(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/Server.xml").write_text(MINIMAL)
    repository = opened(tmp_path)

    def add(name: str) -> None:
        place = path.application("default", name)
        edit = Edit(Verb.CREATE, place, {"name": name, "type": "live"})
        repository.commit(Candidate(0, (edit,)))

    add("first")
    add("second")
    repository.revert([2], "me", "not the first")
    text = (tmp_path / "conf/Server.xml").read_text()
    assert "<Name>first</Name>" not in text
    repository.rollback(1)
    add("second")
    assert (tmp_path / "conf/Server.xml").read_text() == text
    repository.close()


@dataclass
class Storm:
    """Somebody saves to the file that our edit has just displaced, and somebody who has read ours
    saves over it once it is put back; a third may save when it is brought back.
    """

    file: Path
    first: str
    second: Callable[[str], str]
    third: Callable[[str], str] | None = None
    is_early: bool = False
    """Whether the second is there before the first is put back."""
    read: str = ""
    is_saved: bool = False

    def plant(self, patch: pytest.MonkeyPatch) -> None:
        exchange, is_quiet = steps.exchange, steps.is_quiet

        def displaced(path: Path, base: bytes | None) -> bool:
            if not self.read:
                self.read = self.file.read_text()
                path.write_text(self.first)
                if self.is_early:
                    self.is_saved = True
                    self.file.write_text(self.second(self.read))
            elif self.is_saved and self.third is not None:
                path.write_text(self.third(path.read_text()))
                self.third = None
            return is_quiet(path, base)

        def put_back(temporary: Path, target: Path, other: Callable[[], Path]) -> Path:
            found = exchange(temporary, target, other)
            if self.read and not self.is_saved:
                self.is_saved = True
                target.write_text(self.second(self.read))
            return found

        patch.setattr(steps, "is_quiet", displaced)
        patch.setattr(steps, "exchange", put_back)


def _add(text: str) -> Callable[[str], str]:
    return lambda found: found.replace("</Server>", f"{text}</Server>")


@pytest.mark.parametrize(
    "third", [None, lambda found: found.replace("<Port>1935", "<!--3--><Port>1935")]
)
@pytest.mark.parametrize("at", ["other lines", "the same line"])
@pytest.mark.parametrize("is_early", [False, True])
def test_a_save_that_was_put_back_and_saved_over_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, is_early: bool,
    third: Callable[[str], str] | None, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Who read the file while our edit was live does not know of a save that it had displaced: it
    is a revision, and on disk again, if both did not touch the same lines.
    """
    (tmp_path / "conf").mkdir()
    file = tmp_path / "conf/Server.xml"
    file.write_text(MINIMAL)
    repository = opened(tmp_path)
    is_beside = at == "other lines"
    first = (
        MINIMAL.replace("\t<Type>", "\t<!--1--><Type>", 1)
        if is_beside
        else _add("<!--1-->")(MINIMAL)
    )
    with monkeypatch.context() as patch:
        Storm(file, first, _add("<!--2-->"), third, is_early).plant(patch)
        edit = Edit(Verb.CREATE, path.application("default", "a"), {"name": "a", "type": "live"})
        with suppress(Conflict):  # the second has it, too
            repository.commit(Candidate(0, (edit,)))
        repository.adopt()
    repository.adopt()
    texts = [repository.history.files(r.number)["Server.xml"] for r in repository.history.newest()]
    assert first.encode() in texts
    assert file.read_bytes() == texts[0]
    end = file.read_text()
    assert "<!--2-->" in end
    assert ("<!--1-->" in end) is is_beside
    assert ("<!--3-->" in end) is bool(is_beside and third)
    assert ("saved over by somebody who did not see it" in caplog.text) is not is_beside
    repository.close()


def test_a_save_that_was_seen_is_not_brought_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever saves over what had been put back, and knew it, wanted that."""
    (tmp_path / "conf").mkdir()
    file = tmp_path / "conf/Server.xml"
    file.write_text(MINIMAL)
    repository = opened(tmp_path)
    first = MINIMAL.replace("\t<Type>", "\t<!--1--><Type>", 1)
    with monkeypatch.context() as patch:
        Storm(file, first, lambda _: _add("<!--2-->")(MINIMAL)).plant(patch)
        edit = Edit(Verb.CREATE, path.application("default", "a"), {"name": "a", "type": "live"})
        repository.commit(Candidate(0, (edit,)))
    repository.adopt()
    assert "<!--1-->" not in file.read_text()
    texts = [repository.history.files(r.number)["Server.xml"] for r in repository.history.newest()]
    assert first.encode() in texts
    repository.close()
