"""Print processor time per clip and memory of one worker as it goes through thousands of clips.

    python tests/benchmarks/shards_scale.py --clips 10000

The clips are videos on disk (one file under many names), the network is tiny, the shard is one: what grows with
the number of clips, in the worker or in what it writes, shows here.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from paperlib.shards import compute, shard_files  # noqa: E402
from tests.data import videos  # noqa: E402
from tests.shards import runs  # noqa: E402


def many_videos(folder, count):
    """Make a data set of `count` videos of two classes out of eight files."""
    kinds = [
        videos.write(folder / "kinds" / f"{k}.mp4", n=8, width=32, height=32, colour=(20 * k, 90, 160))
        or folder / "kinds" / f"{k}.mp4"
        for k in range(8)
    ]
    for k in range(count):
        name = folder / "data" / "val" / "ab"[k % 2] / f"{k:06d}.mp4"
        name.parent.mkdir(parents=True, exist_ok=True)
        os.link(kinds[k % 8], name)
    return folder / "data"


def measure(folder, clips, every, kind="relevance", batch=8):
    """Return (rows, settings): (clips done, CPU ms per clip since the last row, resident MB) every `every` clips."""
    root = many_videos(folder, clips)
    network = runs.checkpoint(folder, dataset="folder", classes=["a", "b"])
    settings = runs.planned(
        folder, network, kind, dataset="folder", data_root=str(root), limit=None, batch=batch, shards=1
    )
    rows, since, real = [], [0, time.process_time()], compute.explained

    def counted(model, header, dataset, key, block):
        table = real(model, header, dataset, key, block)
        done = block[-1][0] + 1
        if done - since[0] >= every or done == clips:
            spent = time.process_time() - since[1]
            rows.append((done, 1000 * spent / (done - since[0]), psutil.Process().memory_info().rss / 1e6))
            since[:] = [done, time.process_time()]
            print("{:6d} clips  {:6.2f} ms per clip  {:7.1f} MB".format(*rows[-1]), file=sys.stderr, flush=True)
        return table

    compute.explained = counted
    try:
        compute.compute(settings, 0, runs.shard(settings, 0))
    finally:
        compute.explained = real
    return rows, settings


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=1000)
    parser.add_argument("--kind", choices=tuple(compute.EXPLAIN), default="relevance")
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows, settings = measure(Path(folder), options.clips, options.every, options.kind, options.batch)
        began, before = time.process_time(), psutil.Process().memory_info().rss
        shard_files.gather(settings, settings["out"], [runs.shard(settings, 0)])
        print(
            f"gather: {time.process_time() - began:.1f} s, {(psutil.Process().memory_info().rss - before) / 1e6:.1f}"
            f" MB more, {os.path.getsize(settings['out']) / 1e6:.1f} MB on disk"
        )
    middle = len(rows) // 2
    halves = [sum(cost for _, cost, _ in part) / len(part) for part in (rows[:middle], rows[middle:]) if part]
    print(f"second half over first: cost {halves[-1] / halves[0]:.2f}, memory {rows[-1][2] / rows[0][2]:.2f}")
    return rows


if __name__ == "__main__":
    main()
