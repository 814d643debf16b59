"""The shortest time of several calls: what else the machine does only ever adds to it. Of ratios, the median."""

import time


def seconds(function, repeats=3, clock=time.perf_counter):
    """Return the shortest of `repeats` calls after one to warm up.

    clock: time.process_time counts this process's work alone, and all its threads'.
    """
    return in_turns(function, repeats=repeats, clock=clock)[0]


def in_turns(*functions, repeats=5, clock=time.perf_counter, of=min):
    """Return the shortest time of each function, called in turns: a slow stretch of the machine meets all alike.

    of: what is made of a function's times, statistics.median for what is typical.
    """
    for function in functions:
        function()
    times = [[] for _ in functions]
    for _ in range(repeats):
        for function, found in zip(functions, times, strict=True):
            began = clock()
            function()
            found.append(clock() - began)
    return [of(found) for found in times]
