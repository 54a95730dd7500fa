"""Whether the recogniser at the other end of one connection is still there, and whether it still listens.

A connection can die without a word: the network forgets it, the server hangs. TCP notices after minutes; a caller who
has spoken waits for an answer. So where an answer is due and nothing comes, the other end is asked (a WebSocket ping,
which costs nothing), and a connection that does not even answer that is `dead`. One that answers, but has no word for
a voice, is `deaf`, if it is not noise: nobody here can tell, so that is to be tried seldom.

Times are seconds of any clock that only goes forward. Knows no sockets.
"""

PROBE_AFTER_S = 0.4
"""A voice, or a Finalize behind one, went out so long ago and nothing came back: ask. Interims come every 300 ms."""

ANSWER_S = 3.0
"""So long a Finalize may get an answer; afterwards none will come (there was nothing to say)."""

DEAF_VOICE_MS = 1_200.0
DEAF_AFTER_S = 1.5
"""A recogniser that has had so much voice, and has found no word in it so much later, may be deaf."""

AFTER_FINALIZE_MS = 1_200.0
"""What is called a voice behind a Finalize may for so long be the wait for its answer."""

DEAF_REST_S = 30.0
DEAF_TRIES = 3
"""So many other connections are tried, so far apart; when no word came on any of them, none will come on a next."""


class Watch:
    """One connection, from its handshake on."""

    def __init__(self) -> None:
        self._waiting_since_s: float | None = None
        self._answer_until_s: float | None = None
        self._deaf_at_s: float | None = None
        self._voice_ms = 0.0  # without any text
        self._no_voice_ms = 0.0
        self._interim_open = False

    def sent(self, audio_ms: float, voice_ms: float, now_s: float) -> None:
        """Note that so much audio was sent, and so much of it voice."""
        passed_over = min(self._no_voice_ms, audio_ms)
        self._no_voice_ms -= passed_over
        if not voice_ms:
            return
        self._wait(now_s)
        before, self._voice_ms = self._voice_ms, self._voice_ms + max(0.0, voice_ms - passed_over)
        if before < DEAF_VOICE_MS <= self._voice_ms:
            self._deaf_by(now_s + DEAF_AFTER_S)

    def finalized(self, now_s: float) -> None:
        """Note that a Finalize (or the stream's EOS) was sent."""
        if not self._voice_ms and not self._interim_open:
            return
        self._wait(now_s)
        self._answer_until_s = now_s + ANSWER_S
        self._no_voice_ms = AFTER_FINALIZE_MS
        if self._interim_open:
            self._deaf_by(now_s + ANSWER_S)

    def text(self, now_s: float, *, final: bool) -> None:
        """Note that the recogniser said something."""
        self._interim_open = not final
        self._voice_ms, self._deaf_at_s = 0.0, None
        if final:
            self._answer_until_s = None
        elif self._answer_until_s is not None:
            self._deaf_at_s = now_s + ANSWER_S
        self.alive(now_s)

    def alive(self, now_s: float) -> None:
        """Note any other sign of life."""
        self._waiting_since_s = None
        if self._answer_until_s is not None:
            if now_s < self._answer_until_s:
                self._waiting_since_s = now_s
            else:
                self._answer_until_s = None

    def waits(self, now_s: float) -> bool:
        """Whether an answer is due for so long that one should ask."""
        return self._waiting_since_s is not None and now_s - self._waiting_since_s >= PROBE_AFTER_S

    def is_deaf(self, now_s: float) -> bool:
        """Whether words are due for so long that another connection should be tried."""
        return self._deaf_at_s is not None and now_s >= self._deaf_at_s

    def _wait(self, now_s: float) -> None:
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s

    def _deaf_by(self, at_s: float) -> None:
        self._deaf_at_s = at_s if self._deaf_at_s is None else min(self._deaf_at_s, at_s)


class DeafTries:
    """How often and how seldom another connection is tried for one that is deaf."""

    def __init__(self) -> None:
        self._in_vain = 0
        self._until_s: float | None = None

    def allows(self, now_s: float) -> bool:
        """Whether it is time for a try."""
        return self._until_s is None or now_s >= self._until_s

    @property
    def exhausted(self) -> bool:
        """Whether all tries were in vain."""
        return self._in_vain >= DEAF_TRIES

    def tried(self, now_s: float) -> None:
        """Note a try."""
        self._in_vain += 1
        self._until_s = now_s + DEAF_REST_S

    def helped(self) -> None:
        """Note that words came."""
        self._in_vain = 0
