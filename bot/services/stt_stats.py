"""What a call cost at the recogniser, and what keeping its socket saved. Counts only; knows nothing that was said."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class SttStats:
    """What a call cost at the recogniser."""

    sockets: int = 0
    connect_ms: float = 0.0  # in all: TCP, TLS and the handshake
    authentications: int = 0  # that happened while this call opened a socket
    finalizes: int = 0
    eos: int = 0
    interims: int = 0
    finals: int = 0
    utterances: int = 0
    reused: int = 0  # utterances that found the socket of the one before
    dropped_bytes: int = 0
    faults: int = 0  # messages that were no message, or an error
    answers_ms: list[float] = field(default_factory=list)  # from Finalize to the final that came next

    @property
    def saved_ms(self) -> float:
        """What opening a socket for each utterance would have cost on top."""
        return self.connect_ms / self.sockets * self.reused if self.sockets else 0.0

    def line(self) -> str:
        """Return the call's line in the log."""
        each = self.connect_ms / self.sockets if self.sockets else 0.0
        return (
            f"{self.sockets} socket{'s' * (self.sockets != 1)} opened, {self.reused} of {self.utterances} utterances "
            f"reused it: {each:.0f} ms to connect × {self.reused} = {self.saved_ms:.0f} ms saved"
        )
