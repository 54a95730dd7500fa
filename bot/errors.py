"""Everything that can go wrong by name; finer kinds of these stand beside the code that raises them.

IlgiError
├── SettingError              a setting is malformed, or half of a pair: the process does not start
├── ProtocolError
│   ├── LocalProtocolError    we misused a protocol object: our bug
│   └── RemoteProtocolError   the peer broke the protocol: drop the message or the peer
├── ServiceError              an outside service failed: an event of the talk
│   ├── RecogniserError       the recogniser cannot be had now
│   │   ├── RecogniserFull    … because every channel is taken (HTTP 429)
│   │   └── TranscriptionGone … because it knows no such transcription (any more): submit the file again
│   ├── ModelError            the chat model failed, or was too slow
│   │   ├── ModelRests        … so often that it was not even asked
│   │   └── ModelBusy         … because it has enough of us for now (HTTP 429)
│   ├── VoiceError            no speech could be made
│   └── CarrierError          the telephone company's API failed, or refused us
│       └── CarrierNotReady   … because what was asked for is not there yet
├── OpinionError              no second opinion on what is speech can be had
└── StoreError                the diary could not be read or written
    ├── WrongKey              DIARY_KEY does not open what is stored
    └── LeaseLost             another process has taken over what this one still thinks is its own
"""

_MOST_PLACES = 6


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


class TranscriptionGone(RecogniserError):
    """A transcription failed, or is not known (any more): the file is to be submitted again."""


class ModelError(ServiceError):
    """The chat model failed, or took too long to begin."""


class ModelRests(ModelError):
    """The chat model failed several times in a row, and is not asked for a while."""


class ModelBusy(ModelError):
    """The chat model's server takes no more requests of ours at once, or in this minute."""


class VoiceError(ServiceError):
    """No speech could be made."""


class CarrierError(ServiceError):
    """The telephone company's API failed, or refused; `status` is the HTTP status of its answer, if there was one."""

    def __init__(self, why: str, *, status: int | None = None) -> None:
        super().__init__(why)
        self.status = status


class CarrierNotReady(CarrierError):
    """What was asked for is not there yet: ask again later."""


class OpinionError(IlgiError):
    """The model that tells speech from noise cannot be loaded."""


class StoreError(IlgiError):
    """The diary could not be read or written."""


class WrongKey(StoreError):
    """No key of DIARY_KEY opens what is stored."""


class LeaseLost(StoreError):
    """Another stream, or another worker, owns it now: nothing was written."""


def where(error: BaseException) -> str:
    """The kind of an error and the lines it came through, innermost first: one line, for the log.

    Its text is left out, since it may hold what was said; of a group the first error is told.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    kind = type(error).__name__
    return f"{kind} at {' < '.join(reversed(places[-_MOST_PLACES:]))}" if places else kind
