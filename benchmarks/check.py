"""How long a check takes: in the daemon (schema loaded) and as a command, good files and bad.

    .venv/bin/python benchmarks/check.py [--runs 20]

Machines differ and are noisy: compare the figures of one run. The floor of a command is what an
interpreter that imports nothing takes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from omeconf.core.check import check
from omeconf.core.snapshot import Snapshot
from omeconf.store.disk import Folder, shipped_schema

ORIGIN = Path(__file__).parents[1] / "examples/origin/Server.xml"
APPLICATION = """<Application><Name>app{0}</Name><Type>live</Type>
\t<!-- number {0} -->
\t<OutputProfiles><OutputProfile><Name>p</Name><OutputStreamName>${{OriginStreamName}}_p</OutputStreamName>
\t\t<Encodes><Video><Name>v</Name><Codec>h264</Codec><Bitrate>2500000</Bitrate><Width>1280</Width>
\t\t\t<Height>720</Height><Framerate>30</Framerate><Preset>faster</Preset></Video>
\t\t<Audio><Name>a</Name><Codec>aac</Codec><Bitrate>128000</Bitrate></Audio></Encodes>
\t\t<Playlist><Name>abr</Name><FileName>abr</FileName><Rendition><Name>r</Name><Video>v</Video>
\t\t\t<Audio>a</Audio></Rendition></Playlist>
\t</OutputProfile></OutputProfiles>
\t<Providers><RTMP/><SRT/><WebRTC/></Providers>
\t<Publishers><WebRTC><Timeout>30000</Timeout></WebRTC><LLHLS><ChunkDuration>0.5</ChunkDuration>
\t\t<SegmentDuration>6</SegmentDuration><SegmentCount>10</SegmentCount></LLHLS></Publishers>
</Application>
"""


def files() -> dict[str, bytes]:
    """What is measured: the example, good and with mistakes, and files with many applications."""
    good = ORIGIN.read_bytes()
    wrong = good.replace(b"<SegmentDuration>", b"<SegmentDuratoin>", 1)
    wrong = wrong.replace(b"</SegmentDuration>", b"</SegmentDuratoin>", 1)
    wrong = wrong.replace(b"<Type>live<", b"<Type>Live<").replace(b"1935", b"99999")
    found = {"the example": good, "the example, bad": wrong}
    for count in (10, 100, 1000):
        many = "".join(APPLICATION.format(number) for number in range(count)).encode()
        found[f"{count} applications more"] = good.replace(
            b"</Applications>", many + b"</Applications>", 1
        )
    return found


def measured(run: Callable[[], object], runs: int) -> tuple[float, float]:
    """Median and best of some runs, in milliseconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times), min(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    schema = shipped_schema()
    print(f"{'':28}{'KB':>8}{'errors':>8}{'median ms':>12}{'best ms':>10}")
    with tempfile.TemporaryDirectory() as folder:
        source, path = Folder(Path(folder)), Path(folder) / "Server.xml"
        for name, data in files().items():
            path.write_bytes(data)

            def in_daemon() -> int:
                return len(check(Snapshot.take(source, folder=folder), schema).errors)

            def command() -> None:
                line = [sys.executable, "-m", "omeconf", "check", folder]
                subprocess.run(line, capture_output=True, check=False)

            size, errors = len(data) / 1000, in_daemon()
            for how, run in (("in the daemon", in_daemon), ("as a command", command)):
                if how == "as a command" and "example" not in name:
                    continue
                median, best = measured(run, runs)
                print(f"{name:28}{size:8.0f}{errors:8}{median:12.1f}{best:10.1f}  {how}")
    median, best = measured(lambda: subprocess.run([sys.executable, "-c", "pass"]), runs)
    print(f"{'an interpreter alone':28}{'':16}{median:12.1f}{best:10.1f}")


if __name__ == "__main__":
    main()
