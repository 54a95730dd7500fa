"""What the replies cost: the tokens of those that were heard, and of those that were made for nothing.

It must not know a word of what was sent or said.
"""

from dataclasses import dataclass

TOKENS_PER_LETTER = 0.6
"""Of a Korean prompt, as long as no server has counted one: about what the tokenisers of today's models make of it."""


@dataclass(slots=True)
class Tokens:
    """Requests, and the tokens that went into them and came out."""

    requests: int = 0
    prompt: int = 0
    completion: int = 0

    @property
    def total(self) -> int:
        """All tokens."""
        return self.prompt + self.completion

    def add(self, other: "Tokens", sign: int = 1) -> None:
        """Add `other`; with `sign` -1 take it off again."""
        self.requests += sign * other.requests
        self.prompt += sign * other.prompt
        self.completion += sign * other.completion


class TokenUsage:
    """The books of one process."""

    def __init__(self) -> None:
        self.kept = Tokens()
        self.dropped = Tokens()
        self._letters = 0
        self._tokens = 0

    def open(self) -> "Bill":
        """Begin the bill of one reply."""
        return Bill(self)

    def line(self) -> str:
        """Say it in one line for the log."""
        kept, dropped = self.kept.total, self.dropped.total
        share = dropped / (kept + dropped) if dropped else 0
        return f"tokens: {kept:,} kept, {dropped:,} of {self.dropped.requests:,} dropped replies ({share:.0%})"

    def learn(self, letters: int, tokens: int) -> None:
        """Take from a server how many tokens it made of a prompt of so many letters."""
        self._letters += letters
        self._tokens += tokens

    def estimate(self, letters: int) -> int:
        """Guess the tokens of a prompt that no server counted."""
        return round(letters * (self._tokens / self._letters if self._letters else TOKENS_PER_LETTER))


class Bill:
    """What one reply has cost so far. Booked once `close` is called: as dropped, unless `keep` was or is called."""

    def __init__(self, usage: TokenUsage) -> None:
        self._usage = usage
        self._letters = 0
        self._deltas = 0
        self._counted: tuple[int, int] | None = None
        self._is_kept = False
        self._booked: Tokens | None = None

    def sent(self, letters: int) -> None:
        """A prompt of so many letters went out; 0: it was refused and cost nothing."""
        self._letters = letters

    def delta(self) -> None:
        """A piece of the answer came: one token, as servers send them."""
        self._deltas += 1

    def counted(self, prompt: int, completion: int) -> None:
        """The server told the tokens itself."""
        self._counted = prompt, completion

    def keep(self) -> None:
        """The reply is heard."""
        if self._booked is not None and not self._is_kept:
            self._usage.dropped.add(self._booked, -1)
            self._usage.kept.add(self._booked)
        self._is_kept = True

    def close(self) -> None:
        """No more will come."""
        if not self._letters:
            return
        if self._counted is not None:
            self._usage.learn(self._letters, self._counted[0])
        self._booked = Tokens(1, *(self._counted or (self._usage.estimate(self._letters), self._deltas)))
        (self._usage.kept if self._is_kept else self._usage.dropped).add(self._booked)
