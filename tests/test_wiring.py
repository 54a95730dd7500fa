"""bot/wiring.py: what cannot be had is told at the start."""

import pytest

from bot import wiring
from bot.doors.live import LiveCalls
from bot.errors import SettingError
from bot.settings import load
from bot.wiring import call_factory, open_services


def settings(folder, journal_dir):
    return load(
        {
            "RTZR_CLIENT_ID": "id",
            "RTZR_CLIENT_SECRET": "secret",
            "DATABASE_URL": f"sqlite:///{folder}/diary.db",
            "JOURNAL_DIR": str(journal_dir),
        }
    )


async def test_the_journal_folder_is_made_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(wiring, "FIRST_LINES", ())
    folder = tmp_path / "deep" / "journals"
    async with open_services(settings(tmp_path, folder)):
        assert list(folder.iterdir()) == []
        assert folder.stat().st_mode & 0o777 == 0o700


async def test_what_the_services_record_of_a_call_they_can_remove(tmp_path, monkeypatch):
    monkeypatch.setattr(wiring, "FIRST_LINES", ())
    folder = tmp_path / "journals"
    async with open_services(settings(tmp_path, folder)) as services:
        services.journal("CA1", "MZ1").close()
        services.journal("CA2", "MZ2").close()
        services.forget_journals("CA1")
        assert [path.name for path in folder.iterdir()] == ["CA2-MZ2.journal"]


@pytest.mark.parametrize("folder", ["/dev/null/journals", "x" * 300])
async def test_a_journal_folder_that_cannot_be_made_is_named_before_anything_is_opened(tmp_path, folder):
    with pytest.raises(SettingError, match=r"^JOURNAL_DIR: cannot be written to: "):
        async with open_services(settings(tmp_path, folder)):
            pass
    assert list(tmp_path.iterdir()) == []


async def test_a_journal_folder_where_no_file_can_be_written_is_named(tmp_path, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bot.wiring.tempfile.TemporaryFile", full)
    with pytest.raises(SettingError, match=r"^JOURNAL_DIR: cannot be written to: No space left on device$"):
        async with open_services(settings(tmp_path, tmp_path)):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_call_is_told_how_to_be_alone(monkeypatch):
    given = {}
    monkeypatch.setattr(wiring, "Call", lambda *_, **more: given.update(more))
    live = LiveCalls(None, None)
    call_factory(None, live)(None, None)
    assert given == {"alone": live.alone}
