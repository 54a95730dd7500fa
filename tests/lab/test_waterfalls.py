"""The drawing of a call's waterfalls, and where it is taken from."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.conversation.waterfall import Waterfall
from bot.diary.crypto import Keys, make_secret
from bot.diary.records import TurnRecord
from bot.diary.store import Store
from bot.lab import waterfalls
from bot.lab.waterfalls import drawing, kept_waterfalls, waterfalls_of

PLAIN = Waterfall(9_000, 280, 371, 400, 612, 655, 701, 741, ending="final")
PREPARED = Waterfall(19_000, 280, 371, 1_100, -120, 60, 300, 1_140, prepared=True, ending="connective")
LONG = Waterfall(29_000, 280, None, 9_100, None, None, None, 9_200, ending="bare")
SECRET = make_secret()


def turn(number: int, waterfall: Waterfall | None) -> TurnRecord:
    return TurnRecord(number, "비밀이에요", "그러셨군요", 0, 1, waterfall)


def lines_of(*drawn: Waterfall) -> list[str]:
    """The drawing without its legend."""
    return drawing([turn(number, one) for number, one in enumerate(drawn)])[2:]


def test_a_turn_is_a_line_of_figures_and_a_bar() -> None:
    assert lines_of(PLAIN) == [
        "turn ending         stop  final   over  token clause  audio  heard  1 column: 20 ms",
        "   0 final           280    371    400    612    655    701    741  |.............S...F.O.........T.C..A.H",
    ]


def test_all_turns_have_one_scale_and_what_was_prepared_stands_before_the_end_of_speech() -> None:
    assert lines_of(PLAIN, PREPARED) == [
        "turn ending         stop  final   over  token clause  audio  heard  1 column: 50 ms",
        "   0 final           280    371    400    612    655    701    741    |.....SFO...TCAH",
        "   1 connective +    280    371   1100   -120     60    300   1140  T.|C....AF..............OH",
    ]


def test_what_did_not_happen_is_a_dash_and_what_is_far_off_stands_at_the_edge() -> None:
    *_, line = lines_of(LONG)
    assert line == f"   0 bare            280      -   9100      -      -      -   9200  |.S{'.' * 29}>"


def test_every_line_fits_120_columns_and_holds_no_word() -> None:
    early = Waterfall(0, 280, 371, 400, -9_000, -8_000, -7_000, 99_999, prepared=True, ending="connective-ending")
    drawn = drawing([turn(number, one) for number, one in enumerate((PLAIN, PREPARED, LONG, early) * 300)])
    assert max(map(len, drawn)) <= 120
    assert "비밀" not in "".join(drawn) and "그러" not in "".join(drawn)


def test_turns_without_a_waterfall_are_left_out() -> None:
    assert drawing([turn(-1, None), turn(0, None)]) == []
    assert [line[:4] for line in drawing([turn(-1, None), turn(0, PLAIN), turn(1, None)])[3:]] == ["   0"]


@pytest.fixture
async def diary(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(f"sqlite:///{tmp_path / 'diary.db'}", Keys.parse(SECRET))
    await store.call_arrived("CA1", None)
    await store.owned("CA1", 1).add_said(0, "비밀이에요", 0, 9_000)
    yield store
    await store.close()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"DATABASE_URL": f"sqlite:///{tmp_path / 'diary.db'}", "DIARY_KEY": SECRET}


async def test_they_are_taken_from_the_diary_of_the_settings(diary: Store, environ: dict[str, str]) -> None:
    await diary.owned("CA1", 1).keep_waterfall(0, PLAIN)
    await diary.call_ended("CA1", "completed")
    assert (await kept_waterfalls(environ, "CA1"))[2:] == lines_of(PLAIN)


async def test_a_call_is_waited_for_until_all_of_it_is_kept(diary: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []

    async def is_ended(call_sid: str) -> bool:
        looks.append(call_sid)
        if len(looks) == 2:
            await diary.owned("CA1", 1).keep_waterfall(0, PLAIN)
        return len(looks) == 2

    monkeypatch.setattr(diary, "is_ended", is_ended)
    assert (await waterfalls_of(diary, "CA1"))[2:] == lines_of(PLAIN)


async def test_a_call_that_never_ends_is_not_waited_for_for_ever(diary: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waterfalls, "SETTLING_LOOKS", 2)
    assert await waterfalls_of(diary, "CA1") == ["no waterfalls: no answer of this call was measured"]


async def test_what_cannot_be_read_is_said_in_a_line(diary: Store, environ: dict[str, str], tmp_path: Path) -> None:
    async def said(call_sid: str = "CA1", **changes: str) -> str:
        (line,) = await kept_waterfalls(environ | changes, call_sid)
        assert line.startswith("no waterfalls: ")
        return line

    assert "nothing is kept of call CA2" in await said("CA2")
    assert "there is no diary" in await said(DATABASE_URL=f"sqlite:///{tmp_path / 'elsewhere.db'}")
    assert "DIARY_KEY does not open this diary" in await said(DIARY_KEY=make_secret())
    assert "there is no key beside" in await said(DIARY_KEY="")
    assert "DATABASE_URL" in await said(DATABASE_URL="mysql://host/diary")
    assert {name.partition("-")[0] for name in os.listdir(tmp_path)} == {"diary.db"}, "looking makes nothing"
