"""Where everything must run, nothing is skipped in silence."""

from __future__ import annotations

import pytest

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
