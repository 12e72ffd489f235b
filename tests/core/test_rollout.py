"""What a rollout does next, and each member in it: rule by rule."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from omeconf.core.rollout import (
    Do,
    Duty,
    Outcome,
    Phase,
    Policy,
    Rollout,
    Says,
    Stand,
    View,
    Word,
    abort,
    batches,
    begin,
    decide,
    duty,
    labelled,
)

POLICY = Policy(canary=1, max_unavailable=2, vote_s=30, apply_s=120, soak_s=0, confirm_s=60)
CHECKING = Rollout(4, target=9, base=8, policy=POLICY)
APPLYING = replace(CHECKING, phase=Phase.APPLYING, batches=(("a",), ("b", "c")))
REVERTING = replace(APPLYING, phase=Phase.REVERTING, step=1, reason="b: it is ill")
ALL = ("a", "b", "c")


def group(rollout: Rollout | None, *present: str, paused: bool = False, **says: Says) -> View:
    """What is on record: who is there, and who says what."""
    number = rollout.id if rollout else 0
    words = {node: Word(number, said, f"{node} knows why") for node, said in says.items()}
    there = dict.fromkeys(present or ALL, ())
    return View(9, 8, rollout, words, there, "a", is_paused=paused)


def decided(view: View, waited_s: float = 0, steady_s: float = 0) -> Rollout:
    """What becomes of the rollout; it must not stay as it is."""
    found = decide(view, waited_s=waited_s, steady_s=steady_s)
    assert found is not None
    return found


def stays(view: View, waited_s: float = 0, steady_s: float = 0) -> bool:
    """Whether the rollout stays as it is."""
    return decide(view, waited_s=waited_s, steady_s=steady_s) is None


# -- beginning and ending ----------------------------------------------------------------------


def test_what_is_new_begins() -> None:
    """A head that is not confirmed is rolled out, from what is; ids grow."""
    first = begin(group(None), POLICY)
    assert first == Rollout(1, target=9, base=8, policy=POLICY)
    again = begin(group(replace(APPLYING, phase=Phase.CONFIRMED)), POLICY)
    assert again is not None
    assert again.id == 5


def test_what_does_not_begin() -> None:
    """Nothing begins if nothing is new, while one is under way, or in a pause."""
    assert begin(replace(group(None), stable=9), POLICY) is None
    assert begin(replace(group(None), head=0, stable=0), POLICY) is None
    assert begin(group(None, paused=True), POLICY, is_asked=True) is None
    for rollout in (CHECKING, APPLYING, REVERTING):
        assert begin(group(rollout), POLICY, is_asked=True) is None


@pytest.mark.parametrize("phase", [Phase.REFUSED, Phase.REVERTED])
def test_what_failed_is_not_tried_again(phase: Phase) -> None:
    """What ended badly is tried again only if somebody asks; what came after it, once settled."""
    bad = replace(APPLYING, phase=phase)
    assert begin(group(bad), POLICY) is None
    assert begin(group(bad), POLICY, is_asked=True) is not None
    assert begin(replace(group(bad), head=10), POLICY) is None
    settled = replace(bad, settled="kept")
    assert begin(group(settled), POLICY) is None
    found = begin(replace(group(settled), head=10), POLICY)
    assert found is not None
    assert (found.id, found.target, found.base) == (5, 10, 8)


def test_somebody_ends_it() -> None:
    """Before anybody applied it, it is refused, then reverted; later there is nothing to do."""
    ended = abort(CHECKING, "by me")
    assert ended == replace(CHECKING, phase=Phase.REFUSED, reason="by me")
    assert abort(APPLYING, "by me") == replace(APPLYING, phase=Phase.REVERTING, reason="by me")
    assert abort(REVERTING, "by me") is None
    for phase in (Phase.CONFIRMED, Phase.REVERTED, Phase.REFUSED):
        over = replace(APPLYING, phase=phase)
        assert over.has_ended
        assert abort(over, "by me") is None
        assert stays(group(over), 1000, 1000)
    assert stays(group(None), 1000, 1000)


# -- batches -----------------------------------------------------------------------------------


def test_batches() -> None:
    """The canaries, then so many at once."""
    members: dict[str, tuple[str, ...]] = dict.fromkeys("edcba", ())
    assert batches(members, Policy(canary=1, max_unavailable=2)) == (("a",), ("b", "c"), ("d", "e"))
    assert batches(members, Policy(canary=0, max_unavailable=3)) == (("a", "b", "c"), ("d", "e"))
    assert batches(members, Policy(canary=9)) == (("a", "b", "c", "d", "e"),)
    assert batches({"a": (), "b": ()}, Policy(canary=0, max_unavailable=0)) == (("a",), ("b",))
    assert batches({}, Policy()) == ()


def test_batches_by_labels() -> None:
    """Members go in the order of their first label that is named; others come last."""
    members = {"a": (), "b": ("edge",), "c": ("origin", "edge"), "d": ("other",), "e": ("edge",)}
    policy = Policy(canary=1, max_unavailable=2, order=("origin", "edge"))
    assert batches(members, policy) == (("c",), ("b", "e"), ("a", "d"))


def test_labels() -> None:
    """Labels have no blanks around them, and each counts once."""
    assert labelled([" edge", "origin ", "", "edge"]) == ("edge", "origin")


# -- checking ----------------------------------------------------------------------------------


def test_all_accept() -> None:
    """Once all that are there accept, it goes on."""
    assert stays(group(CHECKING, a=Says.ACCEPTS, b=Says.ACCEPTS))
    view = group(CHECKING, a=Says.ACCEPTS, b=Says.ACCEPTS, c=Says.ACCEPTS)
    assert decided(view) == replace(APPLYING, step=0)
    assert decided(view).begun == ("a",)
    assert decided(view).members == ALL


def test_one_refuses() -> None:
    """One that refuses is enough, at once, in a pause, and if it has gone away since."""
    for view in (
        group(CHECKING, b=Says.REFUSES),
        group(CHECKING, b=Says.REFUSES, paused=True),
        group(CHECKING, "a", "c", a=Says.ACCEPTS, c=Says.ACCEPTS, b=Says.REFUSES),
    ):
        assert decided(view) == replace(CHECKING, phase=Phase.REFUSED, reason="b: b knows why")


def test_who_cannot_say_is_skipped() -> None:
    """Who says nothing for too long, or is unable, does not take part."""
    view = group(CHECKING, a=Says.ACCEPTS, b=Says.UNABLE)
    assert stays(view, 29)
    found = decided(view, 30)
    assert found.batches == (("a",),)
    assert found.skipped == {"b": "b knows why", "c": "did not say whether it can"}
    assert stays(replace(view, is_paused=True), 30)


def test_nobody_can() -> None:
    """While nobody can apply it, it waits; what was said in another rollout is not heard."""
    assert stays(group(CHECKING, a=Says.UNABLE, b=Says.UNABLE, c=Says.UNABLE), 1000)
    old = {node: Word(3, Says.ACCEPTS) for node in ALL}
    assert stays(replace(group(CHECKING), words=old), 1000)


# -- applying ----------------------------------------------------------------------------------


def test_batch_after_batch() -> None:
    """Once a batch is healthy the next begins; after the last it is confirmed."""
    assert stays(group(APPLYING, a=Says.ACCEPTS, b=Says.ACCEPTS, c=Says.ACCEPTS))
    second = replace(APPLYING, step=1)
    assert decided(group(APPLYING, a=Says.HEALTHY)) == second
    assert stays(group(second, a=Says.HEALTHY, b=Says.HEALTHY, c=Says.ACCEPTS))
    found = decided(group(second, a=Says.HEALTHY, b=Says.HEALTHY, c=Says.HEALTHY))
    assert found == replace(second, phase=Phase.CONFIRMED)


def test_soak_and_pause() -> None:
    """A batch has to be healthy for a while; in a pause none follows."""
    soaking = replace(APPLYING, policy=replace(POLICY, soak_s=10))
    view = group(soaking, a=Says.HEALTHY)
    assert stays(view, 500, 9)
    assert decided(view, 500, 10).step == 1
    assert stays(replace(view, is_paused=True), 500, 500)


@pytest.mark.parametrize("says", [Says.FAILED, Says.EXPIRED, Says.REVERTED])
def test_one_that_went_back(says: Says) -> None:
    """One that went back takes all back: at once, in a pause, and if it has gone away since."""
    last = replace(APPLYING, step=1)
    reason = "c: c knows why"
    for view in (
        group(last, a=Says.HEALTHY, b=Says.HEALTHY, c=says),
        group(last, a=Says.HEALTHY, c=says, paused=True),
        group(last, "a", "b", a=Says.HEALTHY, b=Says.HEALTHY, c=says),
    ):
        assert decided(view) == replace(last, phase=Phase.REVERTING, reason=reason)


def test_one_that_is_not_healthy_in_time() -> None:
    """A member has so long to be healthy."""
    view = group(replace(APPLYING, step=1), a=Says.HEALTHY, b=Says.ACCEPTS, c=Says.HEALTHY)
    assert stays(view, 119)
    found = decided(view, 120)
    assert (found.phase, found.reason) == (Phase.REVERTING, "b: not healthy in 120 s")


def test_members_that_go_away() -> None:
    """Who goes away, or cannot any more, is skipped; who comes back takes part again."""
    last = replace(APPLYING, step=1, skipped={"b": "went away"})
    found = decided(group(last, "a", "c", a=Says.HEALTHY, b=Says.HEALTHY, c=Says.UNABLE))
    assert found.phase is Phase.CONFIRMED
    assert found.skipped == {"b": "went away", "c": "c knows why"}
    assert stays(group(last, a=Says.HEALTHY, b=Says.ACCEPTS, c=Says.HEALTHY))
    found = decided(group(last, a=Says.HEALTHY, b=Says.HEALTHY, c=Says.HEALTHY))
    assert found.skipped == {}


def test_nobody_is_left() -> None:
    """What nobody runs is not confirmed."""
    found = decided(group(APPLYING, "b", "c", a=Says.HEALTHY))
    assert (found.phase, found.reason) == (
        Phase.REVERTING,
        "nobody is left that runs it: a went away",
    )
    alone = replace(APPLYING, batches=(("a",),))
    assert decided(group(alone, a=Says.UNABLE)).phase is Phase.REVERTING


def test_the_first_cannot_take_part_after_all() -> None:
    """Who has not touched it tells nothing against it: the next are the first."""
    found = decided(group(APPLYING, a=Says.UNABLE))
    assert (found.phase, found.step) == (Phase.APPLYING, 1)
    assert found.skipped["a"] == "a knows why"


# -- reverting ---------------------------------------------------------------------------------


def test_all_are_back() -> None:
    """It has ended when all that are there have said that they are back, also in a pause."""
    assert stays(group(REVERTING, a=Says.REVERTED, b=Says.FAILED, c=Says.HEALTHY))
    assert stays(group(REVERTING, a=Says.REVERTED, b=Says.FAILED, c=Says.ACCEPTS))
    for c in (Says.EXPIRED, Says.UNABLE, Says.REVERTED, Says.FAILED):
        view = group(REVERTING, a=Says.REVERTED, b=Says.FAILED, c=c, paused=True)
        assert decided(view) == replace(REVERTING, phase=Phase.REVERTED)
    assert decided(group(REVERTING, "a", a=Says.REVERTED)).phase is Phase.REVERTED


def test_one_does_not_say_that_it_is_back() -> None:
    """It is not waited for without end, and only for those that may have applied it."""
    view = group(REVERTING, a=Says.REVERTED, b=Says.FAILED, c=Says.HEALTHY)
    assert stays(view, 119)
    assert decided(view, 120).skipped == {"c": "has not said that it went back"}
    first = replace(REVERTING, step=0)
    assert decided(group(first, a=Says.FAILED, b=Says.ACCEPTS)).phase is Phase.REVERTED


# -- a member's duty ---------------------------------------------------------------------------

TRIAL = Stand(4, target=9, back=8, word=Word(4, Says.ACCEPTS))
CATCHING = Stand(0, target=8, back=7, word=Word(0, Says.ACCEPTS))


def does(
    view: View,
    stand: Stand | None = None,
    placed: int = 8,
    outcome: Outcome = Outcome.HEALTHY,
    obstacle: str = "",
) -> Duty:
    """What c has to do."""
    return duty(
        "c", view, placed=placed, stand=stand, outcome=outcome, output="ill", obstacle=obstacle
    )


def says(said: Says, reason: str = "", do: Do = Do.SAY) -> Duty:
    """A duty that ends with a word in the rollout."""
    return Duty(do, Word(4, said, reason))


def test_nothing_to_do() -> None:
    """Who has what is confirmed rests."""
    assert does(group(None)) == Duty()
    assert does(View(0, 0), placed=0) == Duty()
    for phase in (Phase.REFUSED, Phase.REVERTED):
        assert does(group(replace(APPLYING, phase=phase), c=Says.ACCEPTS)) == Duty()


@pytest.mark.parametrize("placed", [0, 5])
def test_catching_up(placed: int) -> None:
    """Who is behind takes up what is confirmed, between rollouts and before it checks."""
    for rollout in (None, CHECKING, replace(APPLYING, phase=Phase.CONFIRMED)):
        assert does(group(rollout), placed=placed) == Duty(Do.CATCH_UP)
        assert does(group(rollout), placed=placed, obstacle="held").do is not Do.CATCH_UP
    assert does(group(APPLYING), placed=placed) == Duty()


def test_caught_up() -> None:
    """What was caught up with is kept once it is healthy, or not the newest; or it goes back."""
    view = group(None)
    assert does(view, CATCHING, outcome=Outcome.RUNNING) == Duty()
    assert does(view, CATCHING) == Duty(Do.KEEP)
    later = replace(view, stable=9)
    assert does(later, CATCHING, outcome=Outcome.RUNNING) == Duty(Do.KEEP)
    back = does(view, CATCHING, outcome=Outcome.FAILED)
    assert back == Duty(Do.GO_BACK, Word(0, Says.FAILED, "ill"))


def test_catching_up_is_ended() -> None:
    """A crash between the stand and the files: it goes on, whatever the others do meanwhile."""
    for rollout in (CHECKING, APPLYING, REVERTING):
        assert does(group(rollout), CATCHING, placed=6) == Duty(Do.CATCH_UP)
        assert does(group(rollout), CATCHING, placed=6, obstacle="held").do is not Do.CATCH_UP
    ready = group(replace(APPLYING, step=1), c=Says.ACCEPTS)
    assert does(ready, replace(CATCHING, target=7)) == says(Says.ACCEPTS, do=Do.APPLY)


def test_checking() -> None:
    """A member checks once, when its engine is at rest; what hinders it is said, once."""
    assert does(group(CHECKING)) == Duty(Do.CHECK)
    assert does(group(CHECKING), outcome=Outcome.RUNNING) == Duty()
    assert does(group(CHECKING, c=Says.ACCEPTS)) == Duty()
    assert does(group(CHECKING, c=Says.REFUSES)) == Duty()
    assert does(group(CHECKING), obstacle="held") == says(Says.UNABLE, "held")
    assert does(group(CHECKING, c=Says.ACCEPTS), obstacle="held") == says(Says.UNABLE, "held")
    unable = group(CHECKING, c=Says.UNABLE)
    assert does(unable, obstacle="c knows why") == Duty()
    assert does(unable) == Duty(Do.CHECK)


def test_applying() -> None:
    """A member applies it when its batch has come, and it has accepted, and nothing hinders it."""
    ready = group(replace(APPLYING, step=1), c=Says.ACCEPTS)
    assert does(ready) == says(Says.ACCEPTS, do=Do.APPLY)
    assert does(ready, TRIAL) == says(Says.ACCEPTS, do=Do.APPLY)  # a crash came before the files
    assert does(ready, obstacle="held") == says(Says.UNABLE, "held")
    assert does(group(APPLYING, c=Says.ACCEPTS)) == Duty()
    assert does(group(replace(APPLYING, step=1))) == Duty()
    assert does(group(replace(APPLYING, step=1), c=Says.UNABLE)) == Duty()
    assert does(group(replace(APPLYING, step=1, batches=(("a",),)), c=Says.ACCEPTS)) == Duty()


def test_on_trial() -> None:
    """A member says what comes of it, and goes back if that is nothing good."""
    view = group(replace(APPLYING, step=1), c=Says.ACCEPTS)
    healthy = replace(TRIAL, word=Word(4, Says.HEALTHY))
    assert does(view, TRIAL, 9, Outcome.RUNNING) == Duty()
    assert does(view, TRIAL, 9) == says(Says.HEALTHY)
    failed = says(Says.FAILED, "ill", Do.GO_BACK)
    assert does(view, TRIAL, 9, Outcome.FAILED) == failed
    assert does(view, healthy, 9, Outcome.FAILED) == failed
    assert does(view, TRIAL, 9, obstacle="held") == says(Says.HEALTHY)


def test_healthy_is_said_until_it_is_heard() -> None:
    """What a member wrote down that it says, it says again if the record has something else."""
    healthy = replace(TRIAL, word=Word(4, Says.HEALTHY))
    view = group(replace(APPLYING, step=1), c=Says.ACCEPTS)
    assert does(view, healthy, 9) == says(Says.HEALTHY)
    heard = replace(view, words={"c": Word(4, Says.HEALTHY)})
    assert does(heard, healthy, 9) == Duty()


def test_the_end_of_a_trial() -> None:
    """What is confirmed is kept; else a member goes back."""
    view = group(REVERTING, c=Says.HEALTHY)
    back = says(Says.REVERTED, do=Do.GO_BACK)
    assert does(view, TRIAL, 9) == back
    assert does(group(replace(REVERTING, phase=Phase.REVERTED)), TRIAL, 9) == back
    confirmed = replace(group(replace(APPLYING, phase=Phase.CONFIRMED)), stable=9)
    assert does(confirmed, TRIAL, 9) == Duty(Do.KEEP)
    assert does(confirmed, TRIAL, 9, Outcome.FAILED) == Duty(Do.KEEP)


def test_a_trial_of_an_older_rollout() -> None:
    """Who was away knows by what is confirmed whether to keep it; it does not go back twice."""
    later = group(replace(APPLYING, id=5), c=Says.HEALTHY)
    assert does(later, TRIAL, 9) == Duty(Do.CATCH_UP)
    assert does(replace(later, stable=9), TRIAL, 9) == Duty(Do.KEEP)
    assert does(replace(group(None), stable=9), TRIAL, 9) == Duty(Do.KEEP)


def test_back_before_it_was_applied() -> None:
    """Who was to apply it, and had not, says so; others have nothing to say."""
    assert does(group(REVERTING, c=Says.ACCEPTS)) == says(Says.REVERTED, "had not applied it")
    assert does(group(replace(REVERTING, step=0), c=Says.ACCEPTS)) == Duty()


def test_going_back_is_ended() -> None:
    """A crash while it went back: it goes back first, and says then what it had to."""
    expired = replace(TRIAL, word=Word(4, Says.EXPIRED, "alone"))
    again = Duty(Do.GO_BACK, expired.word)
    for rollout in (None, APPLYING, REVERTING, replace(REVERTING, phase=Phase.REVERTED)):
        assert does(group(rollout), expired, 9) == again
    assert does(group(APPLYING), expired, 8) == Duty(Do.SAY, expired.word)
    said = replace(group(APPLYING), words={"c": expired.word})
    assert does(said, expired, 8) == Duty()
    assert does(replace(group(None), stable=9), expired, 9) == Duty()
    assert does(group(None), replace(expired, back=0), 9) == Duty(Do.CATCH_UP)


def test_what_a_stand_is() -> None:
    """A stand is open as long as it may still be taken back."""
    assert TRIAL.is_open
    assert replace(TRIAL, word=Word(4, Says.HEALTHY)).is_open
    for said in (Says.FAILED, Says.EXPIRED, Says.REVERTED, Says.UNABLE):
        assert not replace(TRIAL, word=Word(4, said)).is_open


# -- the record --------------------------------------------------------------------------------


def test_what_is_on_record_is_read_again() -> None:
    """A rollout and a word are the same after a way through JSON."""
    policy = replace(POLICY, order=("origin", "edge"), soak_s=1.5)
    full = replace(REVERTING, policy=policy, skipped={"d": "held"}, settled="kept")
    for rollout in (CHECKING, APPLYING, full):
        assert Rollout.parse(json.loads(json.dumps(rollout.as_json()))) == rollout
    for word in (Word(4, Says.HEALTHY), Word(5, Says.FAILED, "ill")):
        assert Word.parse(json.loads(json.dumps(word.as_json()))) == word
    assert Word.parse({"rollout": 4, "says": "healthy"}) == Word(4, Says.HEALTHY)


def test_what_counts_as_said() -> None:
    """A word counts in the rollout in which it was said."""
    view = group(APPLYING, a=Says.HEALTHY)
    assert view.word("a") == Word(4, Says.HEALTHY, "a knows why")
    assert view.word("b") is None
    assert replace(view, rollout=replace(APPLYING, id=5)).word("a") is None
    assert replace(view, rollout=None).word("a") is None
