"""The command line: `python -m bot COMMAND`. Each command lives where its work is done; here is only the way to it."""

import os
import select
import sys
from collections.abc import Callable
from importlib import import_module

USAGE = """usage: python -m bot COMMAND [ARGUMENT ...]

  serve [--workers N]         answer the telephone, with the settings of the environment
  doctor [--json]             check every setting, account and the database
  entries [--json]            print the diary          [--turns] [--caller NUMBER] [--delete CALL_SID]
  forget NUMBER               remove a caller with all calls            [--yes] [--keep-recordings]
  rotate                      bring the diary to the newest key of DIARY_KEY
  call                        phone a running bot with a recorded caller
  stream FILE                 send a file of sound to a running bot, and print what it hears      [--fast] [--json]
  replay FILE                 run a call's journal through the core, and print the talk
  bench NAME                  measure: audio, vad, turns, doors, search, chat, jobs, load, soak, abuse

Each takes --help.
"""


def _serve(arguments: list[str]) -> int:
    from bot.workers import main

    return main(arguments, os.environ)


def _entries(arguments: list[str]) -> int:
    from bot.diary.listing import main

    return main(arguments, os.environ)


def _doctor(arguments: list[str]) -> int:
    from bot.doctor.command import main

    return main(arguments, os.environ)


def _forget(arguments: list[str]) -> int:
    from bot.forget import main

    return main(arguments, os.environ)


def _rotate(arguments: list[str]) -> int:
    from bot.rotate import main

    return main(arguments, os.environ)


def _call(arguments: list[str]) -> int:
    from bot.lab.telephone import main

    return main(arguments)


def _replay(arguments: list[str]) -> int:
    from bot.lab.replay import main

    return main(arguments, os.environ)


def _stream(arguments: list[str]) -> int:
    from bot.streamer.command import main

    return main(arguments, os.environ)


def _bench(arguments: list[str]) -> int:
    if arguments and arguments[0] in BENCHES:
        found: int = import_module(f"bot.lab.bench_{arguments[0]}").main(arguments[1:])
        return found
    print(f"usage: python -m bot bench {'|'.join(BENCHES)} [--help]")
    return 0 if arguments in (["-h"], ["--help"]) else 2


BENCHES = ("audio", "vad", "turns", "doors", "search", "chat", "jobs", "load", "soak", "abuse")
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "serve": _serve,
    "doctor": _doctor,
    "entries": _entries,
    "forget": _forget,
    "rotate": _rotate,
    "call": _call,
    "stream": _stream,
    "replay": _replay,
    "bench": _bench,
}


CUT_SHORT = 141  # what a shell says of a program that SIGPIPE ended


def main() -> int:
    """Run the command that was asked for; returns the exit status."""
    try:
        status = _run(sys.argv[1:])
        if sys.stdout:  # a shell can close it
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        if not _has_enough(sys.stdout.fileno()):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python itself flushes at its end
        return CUT_SHORT


def _has_enough(output: int) -> bool:
    """Whether who read what a descriptor brings has gone, as `head` does."""
    poll = select.poll()
    poll.register(output, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _run(arguments: list[str]) -> int:
    if arguments and arguments[0] in COMMANDS:
        return COMMANDS[arguments[0]](arguments[1:])
    print(USAGE, end="", file=sys.stderr if arguments else sys.stdout)
    return 2 if arguments and arguments[0] not in ("-h", "--help") else 0


if __name__ == "__main__":
    sys.exit(main())
