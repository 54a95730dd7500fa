"""The one script that makes everything under `fixtures/` that is made and not written: `python -m bot.lab.fixtures`.

Utterances, noises and messages come out byte for byte as they are; the recorded calls (`--calls`, three minutes) are
phoned anew, so their SIDs and the small delays of the line differ.
"""

import argparse
import asyncio

from bot.lab import messages, noises, recording, utterances
from bot.lab.utterances import FIXTURES


def main() -> None:
    """Write the fixtures; print how many."""
    parser = argparse.ArgumentParser(prog="python -m bot.lab.fixtures", description=__doc__)
    parser.add_argument("--calls", action="store_true", help="also phone the recorded calls anew")
    arguments = parser.parse_args()
    print(f"{len(utterances.render())} utterances")
    print(f"{len(noises.write(FIXTURES / 'noises'))} noises")
    print(f"{len(messages.write(FIXTURES / 'messages'))} messages")
    if arguments.calls:
        asyncio.run(recording.record(FIXTURES / "calls", recording.CALLS))
        print(f"{len(recording.CALLS)} recorded calls")


if __name__ == "__main__":
    main()
