"""What reports of calls say about turn-taking: cut-offs, barge-ins, and what became of a reply that was disturbed.

Pure: it must not know the bot, or how the calls were made. Times are ms on a call's own timeline.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bot.audio.frames import FRAME_MS, MULAW_FRAME_BYTES
from bot.lab.level import is_audible
from bot.lab.report import CallReport, Disturbance, Turn
from bot.lab.utterances import Utterance

NO_WORDS = frozenset({"네", "예", "음", "어", "아", "응", "그", "저기", "뭐냐", "그렇죠", "맞아요", "맞아"})
"""What a listener says too: a caller who says more than these wants the floor."""

SHORTEST_GAP_MS = 60
"""Less is not heard as a pause."""

STOPS_WITHIN_MS = 600
"""So long after a disturbance a reply may stop because of it."""

PATIENCE_MS = 5_000
"""What does not go on so long after a disturbance is lost."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the reply over which there was a disturbance.

    `paused_ms`: how long nothing of it was played; 0: it did not stop. `resumed_ms`: from the end of the disturbance to
    the first sound after that, negative when it went on before; None: it never did. `killed`: it was cleared.
    """

    what: str
    paused_ms: int
    resumed_ms: int | None
    killed: bool


def real_words_at_ms(turn: Turn, known: Mapping[str, Utterance]) -> int:
    """When the first word of a turn begins that is more than a listener's."""
    at_ms = turn.said_start_ms
    for part in turn.parts:
        if isinstance(part, int):
            at_ms += -(-part // FRAME_MS) * FRAME_MS
            continue
        begin_ms = 0
        for word in known[part].words:
            if word.text not in NO_WORDS:
                return at_ms + begin_ms
            begin_ms = word.end_ms
        at_ms += known[part].length_ms
    return at_ms


def silenced_ms(report: CallReport, turn: Turn, known: Mapping[str, Utterance]) -> int:
    """From the first real word of a turn over the bot to the end of the last sound of a reply during that turn."""
    begin_ms = real_words_at_ms(turn, known)
    end_ms = turn.said_end_ms if turn.said_end_ms is not None else report.recording.length_ms
    audible = [at_ms for at_ms in _replying(report, begin_ms, end_ms) if is_audible(_frame(report, at_ms))]
    return audible[-1] + FRAME_MS - begin_ms if audible else 0


def was_ignored(report: CallReport, turn: Turn) -> bool:
    """Whether the bot went on with its reply after a turn that was said over it."""
    until_ms = turn.heard_start_ms if turn.heard_start_ms is not None else report.recording.length_ms
    return not any(turn.said_start_ms <= at_ms <= until_ms for at_ms in report.cleared_ms)


def outcome(report: CallReport, disturbance: Disturbance) -> Outcome:
    """What became of the reply over which `disturbance` came."""
    horizon_ms = _horizon_ms(report, disturbance)
    killed = any(disturbance.start_ms <= at_ms <= horizon_ms for at_ms in report.cleared_ms)
    paused_ms, resumed_at_ms, last_ms = 0, disturbance.start_ms, disturbance.start_ms
    for at_ms in _replying(report, disturbance.start_ms, horizon_ms):
        gap_ms = at_ms - last_ms
        if gap_ms >= SHORTEST_GAP_MS and last_ms <= disturbance.end_ms + STOPS_WITHIN_MS:
            paused_ms, resumed_at_ms = paused_ms + gap_ms, at_ms
        last_ms = at_ms + FRAME_MS
    went_on = resumed_at_ms > disturbance.start_ms or last_ms > disturbance.end_ms
    return Outcome(disturbance.what, paused_ms, resumed_at_ms - disturbance.end_ms if went_on else None, killed)


def answers(report: CallReport) -> dict[str, bytes]:
    """All that was heard to its end between each turn and the next, by what was said; of the same words the first."""
    heard: dict[str, bytes] = {}
    for turn, next_ms in _with_next(report):
        begin_ms = turn.said_end_ms if turn.said_end_ms is not None else turn.said_start_ms
        pieces = [piece.mulaw for piece in report.pieces if begin_ms <= piece.start_ms < next_ms]
        heard.setdefault(turn.said_text, b"".join(pieces))
    return heard


def differences(reports: Iterable[CallReport], undisturbed: Iterable[CallReport]) -> tuple[int, list[str]]:
    """How many disturbed answers were compared with the same answer undisturbed, and what was said before those that
    differ: with sound that is missing, or that was heard twice."""
    known: dict[str, bytes] = {}
    for report in undisturbed:
        known = answers(report) | known
    compared, wrong = 0, []
    for report in reports:
        heard = answers(report)
        for turn, next_ms in _with_next(report):
            disturbed = any(turn.said_start_ms < each.start_ms < next_ms for each in report.disturbances)
            if disturbed and turn.said_text in known:
                compared += 1
                if heard[turn.said_text] != known[turn.said_text]:
                    wrong.append(turn.said_text)
    return compared, wrong


def _with_next(report: CallReport) -> Iterable[tuple[Turn, int]]:
    """Every turn, and when the next one begins."""
    begins_ms = [turn.said_start_ms for turn in report.turns[1:]]
    return zip(report.turns, [*begins_ms, report.recording.length_ms + FRAME_MS], strict=True)


def _horizon_ms(report: CallReport, disturbance: Disturbance) -> int:
    """Until when what happens is to be put down to a disturbance."""
    others = [each.start_ms for each in report.disturbances] + [turn.said_start_ms for turn in report.turns]
    following = [at_ms for at_ms in others if at_ms > disturbance.start_ms]
    return min([*following, disturbance.end_ms + PATIENCE_MS, report.recording.length_ms])


def _replying(report: CallReport, begin_ms: int, end_ms: int) -> Iterable[int]:
    """The times of the frames, from `begin_ms` to `end_ms`, in which sound of a reply was played."""
    flags = report.recording.replying
    first, last = begin_ms // FRAME_MS, min(-(-end_ms // FRAME_MS), len(flags))
    return (at * FRAME_MS for at in range(first, last) if flags[at])


def _frame(report: CallReport, at_ms: int) -> bytes:
    begin = at_ms // FRAME_MS * MULAW_FRAME_BYTES
    return bytes(report.recording.bot[begin : begin + MULAW_FRAME_BYTES])
