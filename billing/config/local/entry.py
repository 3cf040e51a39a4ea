"""The command line of ``manage.py``: what belongs to running Ante on this machine is done here, the rest by Django."""

import os
import sys

from billing.config.local import bootstrap
from billing.config.local.problems import Problem


def main(argv: list[str]) -> int:
    """Run the command and return its exit code; whatever a person can mend is said in one sentence."""
    try:
        return _dispatch(argv)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _dispatch(argv: list[str]) -> int:
    arguments = _take_data_dir(argv[1:])
    command = arguments[0] if arguments else "help"

    if command == "up":
        from billing.config.local import options, up

        asked = options.parse(arguments[1:])
        up.refuse_early(asked)  # A taken port is said before half a minute of installing.
        bootstrap.ensure(bootstrap.RUNTIME_LOCK)
        return up.run(asked)

    bootstrap.ensure(bootstrap.DEV_LOCK if command in {"test", "lock"} else bootstrap.RUNTIME_LOCK)
    if command == "test":
        from billing.config.local import testing

        return testing.run(arguments[1:])
    if command == "lock":
        from billing.config.local import pins

        return pins.run(arguments[1:])
    if command == "bench" and not {"-h", "--help"} & set(arguments):
        from billing.config.local import benching

        return benching.run(arguments[1:])

    from billing.config.local import commands

    return commands.run([argv[0], *arguments])


def _take_data_dir(arguments: list[str]) -> list[str]:
    """``--data-dir DIR`` means DATA_DIR for every command; Django's own commands do not know the option."""
    rest = []
    words = iter(arguments)
    for word in words:
        if word == "--data-dir":
            directory = next(words, "")
        elif word.startswith("--data-dir="):
            directory = word.removeprefix("--data-dir=")
        else:
            rest.append(word)
            continue
        if not directory:
            raise Problem("--data-dir needs a directory.")
        os.environ["DATA_DIR"] = directory
    return rest
