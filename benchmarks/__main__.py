"""How fast omeconf is, beside the floor that the disk sets and beside others; all in one run.

    make bench                                    # all sizes, 50 members: takes an hour
    make bench BENCH="--quick"                    # small sizes, few edits, 3 members: minutes
    make bench BENCH="--only fleet"               # what a group costs
    .venv/bin/python -m benchmarks --sizes 1,10,100 --edits 50 --only edit,manual

The tables are printed and kept, with a plot, in benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import fleet
from benchmarks.client import BadAnswer
from benchmarks.facts import facts
from benchmarks.goals import goals
from benchmarks.plot import plot
from benchmarks.report import markdown
from benchmarks.size import Options, Result, measure

GROUPS = {
    "edit": "edits, their parts, GET, stale If-Match, and Caddy's edits, in turn",
    "manual": "edits by hand",
    "get": "GETs a second",
    "process": "starts, omeconf check and --help, xmllint, xmlstarlet, augtool",
    "start": "commands from call to end, beside an interpreter that imports nothing",
    "order": "one edit under strace",
    "fleet": "a group on etcd: commit to confirmed, bytes, joining, failing over, idle",
}
HERE = Path(__file__).parent


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=(__doc__ or "").partition("\n")[0],
        epilog="Groups: " + "; ".join(f"{name}: {what}" for name, what in GROUPS.items()) + ".",
    )
    beside = Path(sys.executable).parent / "omeconf"
    parser.add_argument("--sizes", default="1,10,100,1000,10000", help="applications, with commas")
    parser.add_argument("--edits", type=int, default=200, help="at each size (200)")
    parser.add_argument("--wrk-seconds", type=float, default=3, help="of each round (3)")
    parser.add_argument("--quick", action="store_true", help="sizes 1,10,100, 30 edits, wrk 1 s")
    parser.add_argument("--no-peers", action="store_true", help="omeconf alone")
    parser.add_argument("--only", default=",".join(GROUPS), help="groups, with commas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--omeconf", type=Path, default=beside, help="the program to measure")
    parser.add_argument("--work", type=Path, default=HERE / "results", help="on the disk to use")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    given = parser.parse_args()
    unknown = set(given.only.split(",")) - set(GROUPS)
    if unknown:
        parser.error(f"there is no group {', '.join(unknown)}; there is: {', '.join(GROUPS)}")
    if not all(size.isdecimal() and int(size) for size in given.sizes.split(",")):
        parser.error(f'--sizes are numbers of applications, such as 1,10,100, not "{given.sizes}"')
    if given.quick:
        given.sizes, given.edits, given.wrk_seconds = "1,10,100", 30, 1
    return given


def main() -> None:
    """Measure, print, and keep."""
    given = _parsed()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's Python keeps what it has compiled
    sizes = sorted({int(text) for text in given.sizes.split(",")})
    given.results.mkdir(parents=True, exist_ok=True)
    given.work.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=given.work)).resolve()
    options = Options(
        program=given.omeconf.absolute(),
        work=work,
        edits=given.edits,
        wrk_s=given.wrk_seconds,
        groups=frozenset(given.only.split(",")),
        peers=not given.no_peers,
        seed=given.seed,
    )
    found = facts(options.program, work)
    traced = 10 if 10 in sizes else sizes[0]
    begin = time.monotonic()
    results: list[Result] = []
    group = fleet.Found()

    def tell(what: str) -> None:
        seconds = time.monotonic() - begin
        print(f"[{seconds:6.1f} s] {what}", file=sys.stderr, flush=True)

    try:
        for count in sizes if options.groups - {"fleet"} else ():

            def tell_of(what: str, count: int = count) -> None:
                tell(f"{count:,}: {what}")

            results.append(Result(count))
            measure(options, results[-1], tell_of, traced=count == traced)
        if "fleet" in options.groups:
            plan = fleet.Plan.quick if given.quick else fleet.Plan
            fleet.measure(plan(options.program, work), group, tell)
    except (BadAnswer, OSError, KeyboardInterrupt) as error:
        text = f"**THE RUN ENDED EARLY: {type(error).__name__} {error}**"
        (results[-1].left_out if results and not group.sections else group.left_out).append(text)
        print(text, file=sys.stderr)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    found["load after"] = f"{os.getloadavg()[0]:.2f}"
    found["the run"] = f"{time.monotonic() - begin:.0f} s, {options.edits} edits a size"
    judged = goals(results)
    stem = given.results / time.strftime("%Y-%m-%dT%H%M%S")
    reason = plot(results, stem.with_suffix(".svg")) if results else "no plot: no sizes"
    text = markdown(found, results, judged, group) + (f"\n{reason}\n" if reason else "")
    stem.with_suffix(".md").write_text(text)
    kept = {
        "facts": found,
        "sizes": [result.as_json() for result in results],
        "fleet": group.as_json(),
        "goals": [{"goal": g.what, "measured": g.measured, "limit": g.limit, "met": g.is_met}
                  for g in judged],
    }  # fmt: skip
    stem.with_suffix(".json").write_text(json.dumps(kept, indent=2) + "\n")
    print(text)
    print(f"Kept in {stem}.md, .json{'' if reason else ', .svg'}", file=sys.stderr)


if __name__ == "__main__":
    main()
