"""The one script that makes everything under `fixtures/` that is made and not written: `python -m bot.lab.fixtures`."""

from bot.lab import messages, noises, utterances
from bot.lab.utterances import FIXTURES


def main() -> None:
    """Write utterances, noises and messages; print how many."""
    print(f"{len(utterances.render())} utterances")
    print(f"{len(noises.write(FIXTURES / 'noises'))} noises")
    print(f"{len(messages.write(FIXTURES / 'messages'))} messages")


if __name__ == "__main__":
    main()
