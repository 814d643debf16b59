"""Put together what the steps of gpu.sh found, and take it into figures/benchmarks.csv.

    python -m tests.benchmarks.gpu_results gather PARTS OUT     OUT/results.csv and OUT/results.json
    python -m tests.benchmarks.gpu_results take OUT/results.csv

`gather` needs neither torch nor pandas: gpu.sh calls it after every step, so that nothing is lost.
"""

import csv
import json
import sys
from pathlib import Path

LOG = 8000  # characters kept of the end of each step's log


def gather(parts, out):
    """Write OUT/results.csv, all rows, and OUT/results.json: how the steps ended, what else they found, their logs.

    parts: folder with <step>.csv, <step>.json and <step>.log; steps.csv has each step's limit, seconds and exit code.
    """
    parts, out = Path(parts), Path(out)
    header, rows = ["test", "device", "quantity", "value"], []
    for file in sorted(parts.glob("*.csv")):
        if file.name != "steps.csv":
            with open(file, newline="", encoding="utf-8") as opened:
                rows += list(csv.reader(opened))[1:]
    _write(out / "results.csv", lambda opened: csv.writer(opened, lineterminator="\n").writerows([header, *rows]))
    found = {"steps": []}
    with open(parts / "steps.csv", newline="", encoding="utf-8") as opened:
        for step, limit, seconds, code in csv.reader(opened):
            ended = {"0": "ok", "124": "stopped at its limit", "137": "killed at its limit"}.get(
                code, f"failed: {code}"
            )
            more, log = parts / f"{step}.json", parts / f"{step}.log"
            found["steps"].append(
                {
                    "step": step,
                    "limit": int(limit),
                    "seconds": int(seconds),
                    "ended": ended,
                    "found": json.loads(more.read_text(encoding="utf-8")) if more.is_file() else {},
                    "log": log.read_text(encoding="utf-8", errors="replace")[-LOG:] if log.is_file() else "",
                }
            )
    found["rows"] = [dict(zip(header, row, strict=True)) for row in rows]
    _write(out / "results.json", lambda opened: json.dump(found, opened, indent=1))


def _write(file, content):
    """Write a file whole: a run that is killed meanwhile leaves the one before."""
    whole = file.with_name(f".{file.name}.part")
    with open(whole, "w", newline="", encoding="utf-8") as opened:
        content(opened)
    whole.replace(file)


def take(results, kept=None):
    """Put the rows of a results.csv into figures/benchmarks.csv; returns how many. Rows of --dry are refused."""
    from .measured import keep

    with open(results, newline="", encoding="utf-8") as opened:
        rows = list(csv.reader(opened))[1:]
    if any("--dry" in row[0] for row in rows):
        sys.exit(f"{results} comes from gpu.sh --dry: nothing in it was measured on a GPU")
    keep(rows, kept)
    return len(rows)


def main(arguments):
    """Gather, or take and say how much."""
    if len(arguments) == 3 and arguments[0] == "gather":
        gather(*arguments[1:])
    elif len(arguments) == 2 and arguments[0] == "take":
        print(f"{take(arguments[1])} rows taken into figures/benchmarks.csv")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
