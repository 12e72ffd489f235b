"""Where everything must run, nothing is skipped in silence."""

from __future__ import annotations

import pytest

from tests.support import member, network
from tests.support.etcd import MUST_RUN, need_etcd

SKIPPED: type[BaseException] = pytest.skip.Exception
FAILED: type[BaseException] = pytest.fail.Exception


@pytest.mark.parametrize(("must_run", "outcome"), [("", SKIPPED), ("1", FAILED)])
def test_no_etcd(
    monkeypatch: pytest.MonkeyPatch, must_run: str, outcome: type[BaseException]
) -> None:
    """Without etcd a test is skipped, and fails where it must run."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv(MUST_RUN, must_run)
    with pytest.raises(outcome, match="etcd and etcdctl: not installed"):
        need_etcd()


@pytest.mark.parametrize(("must_run", "outcome"), [("", SKIPPED), ("1", FAILED)])
def test_no_network_and_no_faketime(
    monkeypatch: pytest.MonkeyPatch, must_run: str, outcome: type[BaseException]
) -> None:
    """The same where nobody can be cut off, and where no clock can be wrong."""
    monkeypatch.setattr(network, "why_not", lambda: "not root")
    monkeypatch.setattr(member, "FAKETIME", "nowhere")
    monkeypatch.setenv(MUST_RUN, must_run)
    with pytest.raises(outcome, match="not root"):
        network.need_network()
    with pytest.raises(outcome, match="nowhere: not installed"):
        member.need_faketime()
