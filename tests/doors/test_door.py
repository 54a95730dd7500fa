"""bot/doors/door.py and places.py: what the doors have in common."""

import pytest

from bot.doors.door import Door
from bot.doors.places import Places


def test_a_door_works_with_what_it_was_given_and_with_nothing_before() -> None:
    door: Door[str] = Door()
    with pytest.raises(RuntimeError, match="not open yet"):
        _ = door.running
    door.start("the diary")
    assert door.running == "the diary"


def test_each_owner_has_so_many_places_and_gets_them_back_however_they_end() -> None:
    places = Places(2)
    with places.taken("me") as first, places.taken("me") as second, places.taken("you") as other:
        assert (first, second, other) == (True, True, True)
        with places.taken("me") as third:
            assert not third
        with pytest.raises(KeyError), places.taken("you"):
            raise KeyError
        with places.taken("you") as again:
            assert again
        with places.taken("me") as third:
            assert not third
    with places.taken("me") as first, places.taken("me") as second:
        assert first and second
    assert not places._taken
