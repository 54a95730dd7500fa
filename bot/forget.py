"""The command `forget`: remove a person with all calls.

It needs the diary's settings, and the telephone account's if there is one, for recordings that are still there. It must
not print what was said, or a number in full.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence

from sqlalchemy import select

from bot.diary import outside, rotation
from bot.diary.browser_talks import is_talk
from bot.diary.database import sqlite_file
from bot.diary.outside import Recordings
from bot.diary.records import typed_number
from bot.diary.schema import callers, calls
from bot.diary.store import Store, open_store
from bot.errors import CarrierError, IlgiError
from bot.services.carrier import Carrier
from bot.settings import StoreSettings, TwilioSettings, load_store, load_twilio

CANNOT, BAD_USAGE = 1, 2


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `forget` with the arguments behind its name; returns the exit status.

    1 after a failure or for nobody, 2 for bad usage.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bot forget",
        description="Remove a caller: every call, what was said in it, its entry, its journals, and its recordings.",
    )
    parser.add_argument("number", metavar="NUMBER", help="whose, in E.164 form, such as +821012345678")
    parser.add_argument("--yes", action="store_true", help="do not ask first")
    parser.add_argument("--keep-recordings", action="store_true", help="do not look for recordings at Twilio")
    arguments = parser.parse_args(argv)
    number = typed_number(arguments.number)
    if number is None:
        sys.stderr.write("forget: NUMBER must look like +821012345678\n")
        return BAD_USAGE
    try:
        store = load_store(environ)
        twilio = None if arguments.keep_recordings else load_twilio(environ)
        return asyncio.run(_forget(number, store, twilio, ask=not arguments.yes))
    except CarrierError as error:
        sys.stderr.write(f"forget: Twilio: {error}; not all is removed: run it again, or with --keep-recordings\n")
    except IlgiError as error:
        sys.stderr.write(f"forget: {error}\n")
    return CANNOT


async def _forget(number: str, settings: StoreSettings, twilio: TwilioSettings | None, *, ask: bool) -> int:
    """`twilio` None: recordings are left where they are."""
    file = sqlite_file(settings.database_url)
    if file is not None and not file.exists():
        # Looking must not make a diary where there is none.
        return _nobody()
    store = await open_store(settings.database_url, settings.diary_keys, settings.timezone)
    carrier = Carrier(twilio) if twilio is not None and twilio.auth_tokens else None
    try:
        known, sids = await _calls_of(store, number)
        if not known:
            return _nobody()
        if twilio is not None and carrier is None and await outside.kept_recordings(store.database, sids):
            raise CarrierError("no account is set, and there are recordings")
        if ask and not await _is_sure(len(sids)):
            sys.stderr.write("forget: nothing was removed\n")
            return CANNOT
        journals, recordings = await _remove_outside(store, settings, carrier, sids)
        removed = await store.forget_number(number)
        late = sorted(set(removed) - set(sids))
        more = await _remove_outside(store, settings, carrier, late)
        counted = f"{len(removed)} calls, {journals + more[0]} journals and {recordings + more[1]} recordings"
        sys.stdout.write(f"removed the caller: {counted}\n")
        return 0
    finally:
        if carrier is not None:
            await carrier.close()
        await store.close()


def _nobody() -> int:
    sys.stderr.write("forget: nothing is kept of this number\n")
    return CANNOT


async def _is_sure(count: int) -> bool:
    """Ask the person at the terminal; there is no way back."""
    sys.stdout.write(f"Remove this caller and {count} calls, for good? Type yes: ")
    sys.stdout.flush()
    answer: str = await asyncio.to_thread(sys.stdin.readline)
    return answer.strip().lower() == "yes"


async def _calls_of(store: Store, number: str) -> tuple[bool, list[str]]:
    """Whether a number is known, and the sids of its calls."""
    async with store.database.read() as connection:
        number_hash = store.keys.number_hash(number, await rotation.number_key(connection, to_write=False))
        caller_id = await connection.scalar(select(callers.c.id).where(callers.c.number_hash == number_hash))
        query = select(calls.c.call_sid).where(calls.c.caller_id == caller_id).order_by(calls.c.call_sid)
        return caller_id is not None, list((await connection.scalars(query)).all())


async def _remove_outside(
    store: Store, settings: StoreSettings, carrier: Recordings | None, call_sids: Sequence[str]
) -> tuple[int, int]:
    """Remove what lies outside the diary; returns how many journals and recordings there were."""
    recordings: set[str] = set()
    if carrier is not None and call_sids:
        recordings = await outside.kept_recordings(store.database, call_sids)
        for call_sid in call_sids:
            if is_talk(call_sid):
                continue
            recordings.update(await carrier.recordings_of(call_sid))
        for recording_sid in sorted(recordings):
            await carrier.delete_recording(recording_sid)
    return await outside.remove_journals(settings.journal_dir, call_sids), len(recordings)
