"""`baton`: finds the verb and runs it. Owns exit codes and how a failure is told."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from baton.client import Unreachable
from common.types.errors import BatonError, Unavailable
from common.types.options import ConfigError

VERBS = {
    "up": "a router and its workers on this machine",
    "generate": "go on from a text",
    "chat": "talk to the model",
    "top": "the fleet, live",
    "pool": "list the fleet's members; drain or resume one",
    "keys": "make, list or remove keys of clients",
    "bench": "put load on a server and see what it makes of it",
    "doctor": "what this machine has, and what to do about what it lacks",
}
OK, FAILED, MISUSED, INTERRUPTED, UNREAD = 0, 1, 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    try:
        code = _run(sys.argv[1:] if argv is None else list(argv))
        sys.stdout.flush()
    except OSError as error:
        unread = isinstance(error, BrokenPipeError)
        if not unread:
            where = f": {error.filename}" if error.filename else ""
            print(f"baton: {error.strerror or error}{where}", file=sys.stderr)
        _forget_output()
        return UNREAD if unread else FAILED
    return code


def _forget_output() -> None:
    """What cannot be written now cannot be at exit either, where the interpreter would complain of it again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        print(usage())
        return OK if given else MISUSED
    verb, *rest = given
    if verb not in VERBS:
        print(f"baton: {verb!r} is no verb\n\n{usage()}", file=sys.stderr)
        return MISUSED
    try:
        return int(import_module(f"baton.cli.{verb}").run(rest))
    except ConfigError as error:
        print(f"baton {verb}: {error}", file=sys.stderr)
        return MISUSED
    except Unreachable as error:
        print(f"baton {verb}: {error}. Start a fleet with `baton up`, or name another address", file=sys.stderr)
        return FAILED
    except Unavailable as error:
        print(f"baton {verb}: {error}. Workers may still be loading, or be drained: see `baton pool`", file=sys.stderr)
        return FAILED
    except BatonError as error:
        print(f"baton {verb}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def usage() -> str:
    lines = [f"  baton {verb:<10} {about}" for verb, about in VERBS.items()]
    return "\n".join(["usage: baton VERB [--option value ...]", "", *lines, "", "baton VERB --help lists its options"])


if __name__ == "__main__":
    sys.exit(main())
