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


def milliseconds():
    """Return the processor time of this process, in milliseconds."""
    return 1000 * time.process_time()


def measure(folder, clips, every, kind="relevance", batch=8, spent=milliseconds, show=lambda *row: None):
    """Return (rows, settings): (clips done, cost per clip since the last row, resident MB) every `every` clips.

    spent: returns what was spent so far, a number or an array; the cost is what is spent more. show: told each row.
    """
    root = many_videos(folder, clips)
    network = runs.checkpoint(folder, dataset="folder", classes=["a", "b"])
    settings = runs.planned(
        folder, network, kind, dataset="folder", data_root=str(root), limit=None, batch=batch, shards=1
    )
    rows, since, real = [], [0, spent()], compute.explained

    def counted(model, header, dataset, key, block):
        table = real(model, header, dataset, key, block)
        done = block[-1][0] + 1
        if done - since[0] >= every or done == clips:
            cost = (spent() - since[1]) / (done - since[0])
            rows.append((done, cost, psutil.Process().memory_info().rss / 1e6))
            since[:] = [done, spent()]
            show(*rows[-1])
        return table

    compute.explained = counted
    try:
        compute.compute(settings, 0, runs.shard(settings, 0))
    finally:
        compute.explained = real
    return rows, settings


def show(clips, cost, memory):
    """Say one row."""
    print(f"{clips:6d} clips  {cost:6.2f} ms per clip  {memory:7.1f} MB", file=sys.stderr, flush=True)


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=1000)
    parser.add_argument("--kind", choices=tuple(compute.EXPLAIN), default="relevance")
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows, settings = measure(Path(folder), options.clips, options.every, options.kind, options.batch, show=show)
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
