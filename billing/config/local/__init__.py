"""
Running Ante on one machine with nothing but Python: the environment, local PostgreSQL and Valkey, and the processes.

* ``entry`` takes the command line of manage.py and hands it to one of these:
  ``bootstrap`` (makes .venv), ``up`` (everything in one foreground process), ``testing`` (pytest on throw-away
  servers), ``benching`` (the benchmark, on servers of its own), ``pins`` (the lock files), ``commands`` (any Django
  command, with the servers it needs).
* ``postgres`` and ``valkey`` know one server each; ``servers`` starts what the environment does not name.
* ``children`` starts, watches and stops processes; ``launch`` is the first thing that runs in each of them, and
  ``reaper`` ends them when the process that started them was killed.
* ``places`` is the data directory; ``accounts`` decides who the servers run as.

Up to the start of a server these modules use the standard library alone: there may be no environment yet.
"""
