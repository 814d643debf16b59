"""What a notebook found out about the papers' statements, before it is entered into the ledger."""

from typing import NamedTuple

UNTRAINED = "its networks are not trained here"


class Finding(NamedTuple):
    """One statement with what decides it; without an interval it is not testable here, for the reason given."""

    id: str
    interval: tuple | None
    rests_on: str
    dataset: str = ""


def runs_each(runs, networks, others="the others"):
    """Return `1 to 3 runs each of 4 networks`, and that networks of 1 run among others count as varying like those.

    others: those of more runs, in words.
    """
    few, most = min(runs), max(runs)
    count = f"{few} run{'s' if few > 1 else ''}" if few == most else f"{few} to {most} runs"
    alike = f" (those of 1 run as varied as {others})" if few == 1 < most else ""
    return f"{count} each of {networks} network{'s' if networks > 1 else ''}{alike}"


def of_several(rests_on, among):
    """Return what a finding rests on, with of how many comparisons it is the extreme one (`statistics.at_once`)."""
    return f"{rests_on}; covers {among} comparisons at once" if among > 1 else rests_on


class Check(NamedTuple):
    """One check of the project itself, as `Run.check` takes it."""

    what: str
    expected: object
    found: object
    passes: bool


def declare(run, findings=(), checks=()):
    """Enter findings and checks and return all claims of the notebook as a table to look at."""
    for one in findings:
        if one.interval is None:
            run.not_testable(one.id, one.rests_on, one.dataset)
        else:
            run.decide(*one)
    for one in checks:
        run.check(*one)
    return run.verdicts()
