#!/usr/bin/env python3
"""The one command of Ante: ``python3 manage.py up --demo``, ``python3 manage.py test``, ``python3 manage.py help``."""

import sys


def main():  # type: ignore[no-untyped-def]  # An old Python must be able to read this file.
    # Before any import of ours: their syntax would greet an old Python with a traceback.
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.stderr.write("Ante needs Python 3.11 or newer; this is Python %d.%d.\n" % sys.version_info[:2])  # noqa: UP031
        return 1
    from billing.config.local import entry

    return entry.main(sys.argv)


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[no-untyped-call]
