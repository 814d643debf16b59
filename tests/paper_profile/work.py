"""Run by test_profile.py in a project folder of its own (PAPERLIB_HOME): make the fixtures, execute notebooks.

The cells are executed in this process, one notebook after the other: a kernel each would take most of the time.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

import matplotlib

REPOSITORY = Path(__file__).parents[2]
PROFILE = str(Path(__file__).with_name("profile.yaml"))


def execute(name, profile, root):
    """Execute a notebook's cells; returns (status, message)."""
    import matplotlib.pyplot as plt

    from paperlib.companion import stale
    from paperlib.papers import report

    space = {"__name__": "__main__"}
    try:
        for kind, text, tags in stale.cells(name):
            if kind == "code":
                exec(compile(text, f"{name}.ipynb", "exec"), space)
            if "parameters" in tags:
                space.update(profile=profile, data_root=root, device="cpu")
        return "ok", ""
    except report.Skipped as skipped:
        return "skipped", str(skipped)
    except Exception as error:
        return "failed", f"{error!r}\n{traceback.format_exc()}"
    finally:
        plt.close("all")


def main(action, *names):
    matplotlib.use("Agg")
    home = Path(os.environ["PAPERLIB_HOME"])
    os.environ["PAPERLIB_DATA"] = str(home / "root")
    if action == "make":
        from . import fixtures

        print(json.dumps({k: str(v) for k, v in fixtures.project(home, PROFILE, REPOSITORY).items()}))
        return
    for name in names:
        begun = time.process_time()
        status, message = execute(name, PROFILE, str(home / "root"))
        with open(home / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(
                json.dumps(
                    {
                        "name": name,
                        "status": status,
                        "message": message,
                        "seconds": round(time.process_time() - begun, 1),
                    }
                )
                + "\n"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
