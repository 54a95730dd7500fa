"""Everything that can go wrong by name.

IlgiError
├── SettingError              a setting is malformed, or half of a pair: the process does not start
├── ProtocolError
│   ├── LocalProtocolError    we misused a protocol object: our bug
│   └── RemoteProtocolError   the peer broke the protocol: drop the message or the peer
├── ServiceError              an outside service failed: an event of the talk
│   ├── RecogniserError       the recogniser cannot be had now
│   │   └── RecogniserFull    … because every channel is taken (HTTP 429)
│   ├── ModelError            the chat model failed, or was too slow
│   └── VoiceError            no speech could be made
└── StoreError                the diary could not be read or written
    └── WrongKey              DIARY_KEY does not open what is stored
"""


class IlgiError(Exception):
    """The root: catch this to catch everything of ours."""


class SettingError(IlgiError):
    """A setting that cannot be used."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


class ProtocolError(IlgiError):
    """A wire protocol was broken by one of its two sides."""


class LocalProtocolError(ProtocolError):
    """We misused a protocol object."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what the protocol does not allow."""


class ServiceError(IlgiError):
    """An outside service failed."""


class RecogniserError(ServiceError):
    """The recogniser cannot be had now."""


class RecogniserFull(RecogniserError):
    """Every channel of the recogniser is taken."""


class ModelError(ServiceError):
    """The chat model failed, or took too long to begin."""


class VoiceError(ServiceError):
    """No speech could be made."""


class StoreError(IlgiError):
    """The diary could not be read or written."""


class WrongKey(StoreError):
    """No key of DIARY_KEY opens what is stored."""
