"""The shortest time of several calls: what else the machine does only ever adds to it."""

import time


def seconds(function, repeats=3, clock=time.perf_counter):
    """Return the shortest of `repeats` calls after one to warm up.

    clock: time.process_time counts this process's work alone, and all its threads'.
    """
    function()
    times = []
    for _ in range(repeats):
        began = clock()
        function()
        times.append(clock() - began)
    return min(times)
