"""Whole calls over real sockets in which both talk at once or a pause is long, and what is kept of them.

The bot runs in a process of its own, with the stand-ins, and phones are answered at once as in `test_calls.py`; its
callers have called before, so that the greeting is short. Latencies are only bounded here: they belong to
`python -m bot bench turns`.
"""

import asyncio
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.conversation.events import CallStarted
from bot.conversation.habit import UNKNOWN, PauseHabit
from bot.diary.crypto import Keys, make_secret
from bot.diary.records import TurnRecord
from bot.diary.schema import SEALED
from bot.diary.store import open_store
from bot.journal import decode_event, read
from bot.lab import turn_figures, utterances
from bot.lab.model_texts import reply
from bot.lab.report import CallReport
from bot.lab.script import BargeIn, Burst, HangUp, Murmur, Say, Step, WaitForBot
from bot.lab.stage import Stage, staged
from bot.lab.twilio import new_call_sid

KNOWN = utterances.load()
SEOUL = ZoneInfo("Asia/Seoul")
PAUSE_MS = 1_400
"""Longer than any ending is waited for while nothing is known of a caller."""
SETTLING_MS = 2_000
"""Quiet after a sound over the bot that is longer than the bot's own while it finds out what it was."""

OFF_RECORD = "sunja-temple-then"
TOLD = ("sunja-garden", "sunja-letter", "sunja-walk")
SOUNDS: tuple[Step, ...] = (
    Murmur(("sunja-yes",), after_ms=900),
    Burst("cough", ms=1000, from_ms=500, after_ms=900),
    Burst("street", ms=1500, from_ms=2000, after_ms=900),
)
SCRIPTS: dict[str, Sequence[Step]] = {
    "disturbed": [
        WaitForBot(),
        *(
            step
            for name, over in zip(TOLD, SOUNDS, strict=True)
            for step in (Say((name,)), over, WaitForBot(SETTLING_MS))
        ),
        HangUp(),
    ],
    "heard out": [*(step for name in TOLD for step in (WaitForBot(), Say((name,)))), WaitForBot(), HangUp()],
    "off the record": [
        WaitForBot(),
        Say(("sunja-strawberries",)),
        BargeIn((OFF_RECORD,), after_ms=1500),
        WaitForBot(),
        Say(("sunja-off-record",)),
        WaitForBot(),
        HangUp(),
    ],
    "a word at the goodbye": [WaitForBot(), Say(("jia-finish",)), Murmur(("jia-yes",), after_ms=1500)],
    "more at the goodbye": [
        WaitForBot(),
        Say(("minho-finish",)),
        BargeIn(("minho-cat",), after_ms=1500),
        WaitForBot(),
        HangUp(),
    ],
    "slow": [
        WaitForBot(),
        Say(("jia-called", PAUSE_MS, "jia-crowded", PAUSE_MS, "jia-crowded-then")),
        WaitForBot(quiet_ms=0),
        HangUp(),
    ],
    "slow again": [WaitForBot(), Say(("jia-busy", PAUSE_MS, "jia-busy-then")), WaitForBot(quiet_ms=0), HangUp()],
}
NUMBERS = {name: f"+82103000{index:04d}" for index, name in enumerate(SCRIPTS)}
NUMBERS["slow again"] = NUMBERS["slow"]
AFTER = {"slow again": "slow"}
"""Which call a call waits for; all others are made at once."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the calls, by name: what the telephone saw, what the diary holds, every text in its file."""

    reports: dict[str, CallReport]
    turns: dict[str, list[TurnRecord]]
    entries: dict[str, dict[str, Any]]
    habits: dict[str, PauseHabit]
    began: dict[str, CallStarted]
    texts: list[str]
    reply_tokens: int
    breaches: list[str]
    log: list[str]


class Diary:
    """The diary of a stage, and its journals, read from outside of the bot's process."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ilgi.db"
        self._journals = folder / "journals"
        self._secret = make_secret()
        self._keys = Keys.parse(self._secret)
        self.settings = {"DIARY_KEY": self._secret, "JOURNAL_DIR": str(self._journals)}

    async def __aenter__(self) -> "Diary":
        self.store = await open_store(f"sqlite:///{self._file}", self._secret, SEOUL)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.close()

    async def has_called(self, number: str) -> None:
        """The number has told something in a call before."""
        call_sid = new_call_sid()
        await self.store.call_arrived(call_sid, number)
        await self.store.owned(call_sid, 1).add_said(0, "어제는 푹 쉬었어요", 0, 1_000)
        await self.store.call_ended(call_sid, "approved")

    async def has_written(self) -> None:
        """Wait until no entry is still to be written."""
        async with asyncio.timeout(60):
            while True:
                with closing(sqlite3.connect(self._file)) as database:
                    (left,) = database.execute("SELECT count(*) FROM jobs WHERE state IN ('ready', 'run')").fetchone()
                if not left:
                    return
                await asyncio.sleep(0.5)

    def began(self, call_sid: str) -> CallStarted | None:
        """With what the talk of a call began; None when its journal is gone."""
        for journal in self._journals.glob(f"{call_sid}-*.journal"):
            for record in read(journal, self._keys):
                if record.wire == "event" and isinstance(event := decode_event(record.message), CallStarted):
                    return event
        return None

    def texts(self) -> list[str]:
        """Every encrypted text of every table."""
        with closing(sqlite3.connect(self._file)) as database:
            queries = [f"SELECT {column.name} FROM {table.name}" for table, _, some in SEALED for column in some]
            found = [value for query in queries for (value,) in database.execute(query)]
        return [self._keys.decrypt(value) for value in found if value is not None]


async def phone(stage: Stage) -> dict[str, CallReport]:
    """Make all calls."""
    made: dict[str, asyncio.Task[CallReport]] = {}

    async def one(name: str) -> CallReport:
        if name in AFTER:
            await made[AFTER[name]]
            await asyncio.sleep(0.5)
        return await stage.twilio.call(list(SCRIPTS[name]), number=NUMBERS[name])

    async with asyncio.TaskGroup() as calls:
        for name in SCRIPTS:
            made[name] = calls.create_task(one(name))
    return {name: call.result() for name, call in made.items()}


async def all_calls(folder: Path) -> Outcome:
    async with Diary(folder) as diary:
        for number in set(NUMBERS.values()):
            await diary.has_called(number)
        async with staged(folder, settings=diary.settings) as stage:
            reports = await phone(stage)
            await diary.has_written()
            entries = {entry["call_sid"]: entry for entry in await stage.bot.entries()}
        sids = {name: report.call_sid for name, report in reports.items()}
        assert stage.openai
        return Outcome(
            reports,
            {name: await diary.store.turns(sid) for name, sid in sids.items()},
            {name: entries[sid] for name, sid in sids.items() if sid in entries},
            {name: await diary.store.habit(sid) for name, sid in sids.items()},
            {name: began for name, sid in sids.items() if (began := diary.began(sid))},
            diary.texts(),
            stage.openai.report.reply_tokens,
            [*stage.twilio.breaches, *stage.rtzr.breaches, *stage.openai.report.breaches],
            stage.bot.log,
        )


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    yield asyncio.run(all_calls(tmp_path_factory.mktemp("listening")))


def text_of(name: str) -> str:
    return KNOWN[name].text


def test_no_protocol_was_breached_and_nothing_broke(outcome: Outcome) -> None:
    assert outcome.breaches == []
    assert not [line for line in outcome.log if "ERROR" in line or "Traceback" in line]


def test_a_listeners_word_a_cough_and_a_noise_cost_a_reply_no_word(outcome: Outcome) -> None:
    disturbed, heard_out = outcome.reports["disturbed"], outcome.reports["heard out"]
    found = [turn_figures.outcome(disturbed, each) for each in disturbed.disturbances]
    assert [each.over_bot for each in disturbed.disturbances] == [True] * len(SOUNDS)
    assert disturbed.clears == 0
    assert found[0].paused_ms > 0
    assert all(each.resumed_ms is not None and each.resumed_ms <= 1_000 for each in found)
    assert turn_figures.differences([disturbed], [heard_out]) == (len(TOLD), [])
    assert [turn.said for turn in outcome.turns["disturbed"][1:]] == [text_of(name) for name in TOLD]


def test_every_mark_of_a_disturbed_reply_comes_back_once_and_in_order(outcome: Outcome) -> None:
    disturbed, heard_out = (
        [tuple(map(int, mark.split(":"))) for mark in outcome.reports[name].marks if not mark.startswith("aside")]
        for name in ("disturbed", "heard out")
    )
    assert disturbed == sorted(set(disturbed))
    assert [index for _, index in disturbed] == [index for _, index in heard_out]


@pytest.mark.parametrize("name", ["off the record", "more at the goodbye"])
def test_real_words_over_the_bot_silence_it(outcome: Outcome, name: str) -> None:
    report = outcome.reports[name]
    [over] = [turn for turn in report.turns if turn.silenced_ms is not None]
    assert report.clears == 1
    assert not turn_figures.was_ignored(report, over)
    assert turn_figures.silenced_ms(report, over, KNOWN) <= 800


def test_of_a_reply_that_was_cut_off_the_diary_holds_what_was_heard(outcome: Outcome) -> None:
    all_of_it = reply(text_of("sunja-strawberries"))
    heard = outcome.turns["off the record"][1].heard
    assert heard and all_of_it.startswith(heard) and len(heard.split()) < len(all_of_it.split()) // 2


def test_what_is_off_the_record_is_nowhere(outcome: Outcome) -> None:
    secret = text_of(OFF_RECORD).split()[0]
    kept = {turn.turn: turn for turn in outcome.turns["off the record"]}
    assert (kept[1].said, kept[1].heard, kept[1].waterfall) == (None, None, None)
    assert kept[0].said == text_of("sunja-strawberries") and kept[2].said == text_of("sunja-off-record")
    assert any(kept[0].said in text for text in outcome.texts)
    assert not [text for text in outcome.texts if secret in text]
    entry = outcome.entries["off the record"]
    assert "딸기" in entry["body"] and secret not in entry["title"] + entry["body"]
    assert set(outcome.began) == SCRIPTS.keys() - {"off the record"}


def test_a_listeners_word_over_the_goodbye_does_not_keep_the_line_open(outcome: Outcome) -> None:
    report = outcome.reports["a word at the goodbye"]
    assert (report.ended_by, report.clears) == ("app", 0)
    assert [each.over_bot for each in report.disturbances] == [True]
    assert [turn.said for turn in outcome.turns["a word at the goodbye"]] == [None, text_of("jia-finish")]


def test_real_words_over_the_goodbye_cancel_the_hang_up(outcome: Outcome) -> None:
    report = outcome.reports["more at the goodbye"]
    assert report.ended_by == "caller"
    assert outcome.turns["more at the goodbye"][-1].said == text_of("minho-cat")
    assert "고양이" in outcome.entries["more at the goodbye"]["body"]


def test_every_answered_turn_has_the_waterfall_that_the_telephone_saw(outcome: Outcome) -> None:
    """Within 60 ms, but for what a busy machine makes the telephone notice late."""
    apart_ms = []
    for name, report in outcome.reports.items():
        kept = {turn.said: turn.waterfall for turn in outcome.turns[name] if turn.said}
        for turn in report.turns:
            if turn.said_text != text_of(OFF_RECORD):
                waterfall = kept[turn.said_text]
                assert waterfall and waterfall.heard_ms is not None and turn.voice_to_voice_ms is not None
                apart_ms.append(abs(waterfall.heard_ms - turn.voice_to_voice_ms))
    assert median(apart_ms) <= 60
    assert max(apart_ms) <= 250


def test_the_log_counts_tokens_and_tells_nothing_of_what_was_said(outcome: Outcome) -> None:
    log = "\n".join(outcome.log)
    told = re.findall(r"tokens: ([\d,]+) kept, ([\d,]+) of (\d+) dropped replies", log)
    assert len(told) == len(SCRIPTS)
    kept, dropped, _ = (int(number.replace(",", "")) for number in told[-1])
    assert kept > 0 and kept + dropped == pytest.approx(outcome.reply_tokens, rel=0.1)
    said = {word for report in outcome.reports.values() for turn in report.turns for word in turn.said_text.split()}
    heard = {word for turns in outcome.turns.values() for turn in turns for word in (turn.heard or "").split()}
    assert not [word for word in said | heard if len(word) > 2 and word in log]
    assert not [number for number in NUMBERS.values() if number[3:] in log]


def test_long_pauses_are_learned_and_waited_for_in_the_next_call(outcome: Outcome) -> None:
    slow, again = (outcome.reports[name].turns[0] for name in ("slow", "slow again"))
    assert outcome.began["slow"].habit == UNKNOWN
    assert slow.talked_over and outcome.turns["slow"][-1].said == slow.said_text
    learned = outcome.began["slow again"].habit
    assert learned.after_other_ms > 1_100 and learned.seen >= 2
    assert not again.talked_over and outcome.turns["slow again"][-1].said == again.said_text
    assert outcome.habits["heard out"] == UNKNOWN
