from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from omeconf.core import path
from omeconf.core.edit import Candidate, Edit, Verb
from omeconf.core.revision import Origin
from omeconf.errors import BadBody, Busy, Conflict, Drift, NotReady, Refused, Stale, Unwritable
from omeconf.store.history import History
from omeconf.store.repository import Repository
from tests.support import MINIMAL, schema

APP = path.application("default", "app")


def opened(folder: Path) -> Repository:
    repository = Repository(
        folder / "conf/Server.xml", History(folder / "state.sqlite"), schema(), clock=lambda: 7.0
    )
    repository.open()
    return repository


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/Server.xml").write_text(MINIMAL)
    repository = opened(tmp_path)
    yield repository
    repository.close()


def write(repository: Repository, text: str) -> None:
    (repository.folder.path / "Server.xml").write_text(text)


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

    monkeypatch.setattr(repository.folder, "publish", refuse)
    with pytest.raises(Unwritable):
        repository.commit(segment(4))
    head = repository.history.head()
    assert head is not None
    assert head.number == repository.view().revision.number == 1


NEW = MINIMAL.replace(">6<", ">4<").encode()
THEIRS = MINIMAL.replace("1935", "1936").encode()


def crashed(
    repository: Repository, folder: Path, *, live: bytes, temporary: bytes, suffix: str = "tmp"
) -> Repository:
    """A daemon started after a crash in the middle of publishing revision 2."""
    repository.commit(segment(4))
    repository.close()
    conf = repository.folder.path
    (conf / "Server.xml").write_bytes(live)
    digest = hashlib.sha256(NEW).hexdigest()[:16]
    (conf / f".omeconf-Server.xml-1-{digest}.{suffix}").write_bytes(temporary)
    again = opened(folder)
    assert list(conf.iterdir()) == [conf / "Server.xml"]
    return again


def test_crash_before_the_exchange(repository: Repository, tmp_path: Path) -> None:
    """A recorded revision whose file waits beside the live one is published at the start."""
    again = crashed(repository, tmp_path, live=MINIMAL.encode(), temporary=NEW)
    assert live(again).encode() == NEW
    assert again.view().revision.number == 2
    again.close()


def test_crash_after_the_exchange(repository: Repository, tmp_path: Path) -> None:
    """What was displaced was the base: there is nothing to do but to clean up."""
    again = crashed(repository, tmp_path, live=NEW, temporary=MINIMAL.encode())
    assert live(again).encode() == NEW
    assert again.view().revision.number == 2
    again.close()


def test_crash_with_somebodys_save_displaced(repository: Repository, tmp_path: Path) -> None:
    """Their save is put back and adopted; ours was never acknowledged."""
    again = crashed(repository, tmp_path, live=NEW, temporary=THEIRS)
    assert live(again).encode() == THEIRS
    assert (again.view().revision.number, again.view().revision.origin) == (3, Origin.FILE)
    again.close()


def test_crash_while_writing(repository: Repository, tmp_path: Path) -> None:
    """A temporary that was never whole is removed."""
    again = crashed(repository, tmp_path, live=NEW, temporary=b"<Server ha", suffix="part")
    assert live(again).encode() == NEW
    again.close()


def test_somebody_writes_at_the_same_moment(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Their edit becomes a revision of its own, and ours is made on top of it."""
    caplog.set_level(logging.INFO)
    publish = repository.folder.publish
    edits = iter([MINIMAL.replace("1935", "1936")])

    def disturbed(prepared: object) -> None:
        theirs = next(edits, None)
        if theirs is not None:
            write(repository, theirs)
        publish(prepared)  # type: ignore[arg-type]

    monkeypatch.setattr(repository.folder, "publish", disturbed)
    head = repository.commit(segment(4))
    assert live(repository) == MINIMAL.replace("1935", "1936").replace(">6<", ">4<")
    assert [r.origin for r in repository.history.newest()][:2] == [Origin.API, Origin.FILE]
    assert head.revision.number == 3


def test_somebody_who_never_stops(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few tries the caller is told; nobody's work is lost."""

    def always(_: object) -> None:
        raise Busy("Server.xml was changed by somebody else meanwhile")

    monkeypatch.setattr(repository.folder, "publish", always)
    with pytest.raises(Conflict, match="is being written by somebody else: try again"):
        repository.commit(segment(4))
    assert live(repository) == MINIMAL
