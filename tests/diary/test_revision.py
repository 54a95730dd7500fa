from importlib.resources import as_file, files

from alembic.script import ScriptDirectory

from bot.diary.revision import REVISION


def test_this_release_is_at_the_newest_of_its_migrations() -> None:
    with as_file(files("bot.diary").joinpath("migrations")) as folder:
        assert ScriptDirectory(str(folder)).get_current_head() == REVISION
