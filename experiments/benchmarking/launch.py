"""Starts a command and says how long it took and how much memory it held.

    python -I -S launch.py LOG CORES COMMAND...

A small process of its own, because Linux carries the peak memory of the process that
starts a command over to the command (``ru_maxrss`` survives exec): started from a
process that once held 1 GB, every program would seem to need 1 GB.
"""

import json
import os
import signal
import sys
import time


def main(log: str, cores: str, *command: str) -> None:
    """Runs the command on these cores; its output goes to the log."""
    child: list[int] = []

    def stop(*_):
        for pid in child:
            os.kill(pid, signal.SIGKILL)
        os._exit(1)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, map(int, cores.split(",")))
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    to_log = [(os.POSIX_SPAWN_DUP2, output, number) for number in (1, 2)]
    started = time.time()
    child.append(os.posix_spawn(command[0], command, os.environ, file_actions=to_log))
    _, status, usage = os.wait4(child[0], 0)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    outcome = {
        "started": started,
        "exit_status": os.waitstatus_to_exitcode(status),
        "peak_memory_bytes": usage.ru_maxrss * unit,
    }
    print(json.dumps(outcome))


if __name__ == "__main__":
    main(*sys.argv[1:])
