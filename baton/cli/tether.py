"""Becomes another program that cannot outlive the process that started it. Run by path, so that it loads nothing.

    python tether.py PARENT_PID CORES PROGRAM ARGUMENT...

It runs on these cores (0,1), or where its parent does when none is named.

The kernel's promise (PR_SET_PDEATHSIG) survives exec, and holds when the parent is killed with no time to say goodbye.
Elsewhere than on Linux the program runs untethered.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, cores, *program = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit("the process that started this one is gone")
    if cores:
        os.sched_setaffinity(0, map(int, cores.split(",")))
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()
