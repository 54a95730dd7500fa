"""What was said and heard in this call: the model's history, and what is kept of each turn. Knows no time."""

from bot.conversation.commands import Exchange, ForgetTurn, KeepHeard, KeepSaid
from bot.conversation.events import Before


class Transcript:
    """The talk so far. `turn` is the number of the caller's last turn, -1 before the first."""

    def __init__(self) -> None:
        self.history: list[Exchange] = []
        self.turn = -1
        self._said: list[tuple[int, str]] = []
        self._heard_turn = -1
        self._heard = ""
        self._kept = ""

    def resume(self, before: Before, last_turn: int) -> None:
        """Go on after what was said and heard on the streams of this call before, and after turn `last_turn`."""
        self.turn = self._heard_turn = max(before.next_turn - 1, last_turn)
        for turn in before.turns:
            if turn.said:
                self._said.append((turn.turn, turn.said))
                self.history.append(Exchange("caller", turn.said))
            if turn.heard:
                self.history.append(Exchange("bot", turn.heard))

    @property
    def all_said(self) -> list[str]:
        """What the caller has said, one turn each."""
        return [text for _, text in self._said]

    def said(self, text: str, from_ms: int, to_ms: int, *, same_turn: bool) -> KeepSaid:
        """The caller has said `text`; `same_turn`: in place of what was taken back."""
        if same_turn and self._said and self._said[-1][0] == self.turn:
            self._said.pop()
        self.turn += not same_turn
        self._said.append((self.turn, text))
        self.history.append(Exchange("caller", text))
        return KeepSaid(self.turn, text, from_ms, to_ms)

    def take_back(self) -> str:
        """The caller's turn goes on: its text is no exchange yet."""
        return self.history.pop().text

    def reword(self, text: str) -> None:
        """The caller's last turn reads `text`."""
        self._said[-1] = (self.turn, text)
        self.history[-1] = Exchange("caller", text)

    def hearing(self, turn: int, words: str) -> KeepHeard | None:
        """The caller has heard `words` of what is still being said since turn `turn`; None: that is kept already."""
        self._listens_since(turn)
        return self._keep(f"{self._heard} {words}".strip())

    def heard(self, turn: int, words: str) -> KeepHeard | None:
        """The caller has heard `words` since turn `turn`, and no more will come of that; else as `hearing`."""
        self._listens_since(turn)
        self.history.append(Exchange("bot", words))
        self._heard = f"{self._heard} {words}".strip()
        return self._keep(self._heard)

    def _listens_since(self, turn: int) -> None:
        if turn != self._heard_turn:
            self._heard_turn, self._heard, self._kept = turn, "", ""

    def _keep(self, text: str) -> KeepHeard | None:
        if text == self._kept:
            return None
        self._kept = text
        return KeepHeard(self._heard_turn, text)

    def take_off_record(self, text: str) -> ForgetTurn | None:
        """Remove the last turn that holds `text`, and what the bot answered to it."""
        at = next((at for at in reversed(range(len(self._said))) if text in self._said[at][1]), None)
        if at is None:
            return None
        turn, said = self._said.pop(at)
        exchange = Exchange("caller", said)
        if exchange in self.history:
            begin = len(self.history) - 1 - self.history[::-1].index(exchange)
            until = next((i for i in range(begin + 1, len(self.history)) if self.history[i].who == "caller"), None)
            del self.history[begin:until]
        if turn == self._heard_turn:
            self._heard = self._kept = ""
        return ForgetTurn(turn)

    def forget(self) -> None:
        """Remove everything."""
        self.history.clear()
        self._said.clear()
        self._heard = self._kept = ""
