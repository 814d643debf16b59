"""`paperlib` with the toy data set, in processes of its own: `zoo train` here starts trainers that know it too."""

import sys

from paperlib import cli, data
from paperlib.training import crew

data.LOADERS["toy_bars"] = ("tests.toy", "load")
crew.TRAINER = [sys.executable, "-m", "tests.training.toy_crew", "--trainer"]

if __name__ == "__main__":
    trainer = sys.argv[1:2] == ["--trainer"]
    sys.exit(crew.main(sys.argv[2:]) if trainer else cli.main())
