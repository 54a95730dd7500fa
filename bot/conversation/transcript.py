"""What was said and heard in this call: the model's history, and what is kept of each turn. Knows no time."""

from collections.abc import Sequence

from bot.conversation.commands import Exchange, ForgetTurn, KeepHeard, KeepSaid


class Transcript:
    """The talk so far. `turn` is the number of the caller's last turn, -1 before the first."""

    def __init__(self) -> None:
        self.history: list[Exchange] = []
        self.turn = -1
        self._said: dict[int, str] = {}
        self._before = -2
        self._heard_turn = -1
        self._heard = ""

    def resume(self, said: Sequence[str], numbers: Sequence[int], turns_before: int) -> None:
        """Go on after what was said, in the turns `numbers`, on the streams of this call before."""
        self.turn = max(turns_before, len(said)) - 1
        self._before = self.turn if said else -2
        self.history = [Exchange("caller", text) for text in said]
        self._said = dict(zip(numbers, said, strict=False))

    def said(self, text: str, from_ms: int, to_ms: int, *, same_turn: bool) -> KeepSaid:
        """The caller has said `text`; `same_turn`: in place of what was taken back."""
        self.turn += not same_turn
        self._said[self.turn] = text
        self.history.append(Exchange("caller", text))
        return KeepSaid(self.turn, text, from_ms, to_ms)

    def take_back(self) -> str:
        """The caller's turn goes on: its text is no exchange yet."""
        return self.history.pop().text

    def heard(self, turn: int, words: str) -> KeepHeard | None:
        """The caller has heard `words` since turn `turn`; None: what was heard then, on another stream, stays kept."""
        self.history.append(Exchange("bot", words))
        if turn == self._before:
            return None
        if turn != self._heard_turn:
            self._heard_turn, self._heard = turn, ""
        self._heard = f"{self._heard} {words}".strip()
        return KeepHeard(turn, self._heard)

    def take_off_record(self, text: str) -> ForgetTurn | None:
        """Remove the last turn that holds `text`, and what the bot answered to it."""
        turn = next((turn for turn, said in reversed(self._said.items()) if text in said), None)
        if turn is None:
            return None
        exchange = Exchange("caller", self._said.pop(turn))
        if exchange in self.history:
            at = len(self.history) - 1 - self.history[::-1].index(exchange)
            until = next((i for i in range(at + 1, len(self.history)) if self.history[i].who == "caller"), None)
            del self.history[at:until]
        if turn == self._heard_turn:
            self._heard = ""
        return ForgetTurn(turn)

    def forget(self) -> None:
        """Remove everything."""
        self.history.clear()
        self._said.clear()
        self._heard = ""
