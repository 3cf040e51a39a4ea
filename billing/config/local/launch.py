"""
The first thing that runs in every child process: it prepares the process and becomes the program.

``python -I -S launch.py PARENT SIGNAL UID GID DIRECTORY PROGRAM ARGUMENT…``

* Asks the kernel for SIGNAL when the process PARENT ends, however it ends. The wish is voiced after the change of
  user, which would cancel it.
* Takes on UID and GID and drops all other groups, unless UID is -1.
* Works in DIRECTORY, unless that is empty.

A separate program rather than code between fork and exec: the parent has threads, and after a fork a thread's lock is
held for ever. It imports nothing of ours, so that it starts in a few milliseconds.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, signal_number, uid, gid = (int(word) for word in sys.argv[1:5])
    directory, *program = sys.argv[5:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        os.umask(0o077)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:  # It ended before the kernel was asked.
        sys.exit(1)
    if directory:
        os.chdir(directory)
    try:
        os.execvp(program[0], program)  # noqa: S606 - becoming the program is the purpose
    except OSError as error:
        sys.exit(f"{program[0]} cannot be run: {error.strerror}.")


if __name__ == "__main__":
    main()
