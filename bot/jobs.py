"""Which handler does the jobs of which kind in this release.

The kinds are known to other releases too: one that is taken away must not be asked for by any process that still runs.
"""

from bot.diary.after_call import ENTRY, RECORDING, SEARCH
from bot.diary.entry_job import EntryJob
from bot.diary.recording_job import ERASE, EraseJob, RecordingJob, SearchJob
from bot.diary.retention import RETENTION
from bot.diary.stream_jobs import SUMMARY
from bot.diary.summary import Summariser
from bot.diary.summary_job import SummaryJob
from bot.process import Services
from bot.worker import Handler


def handlers(services: Services) -> dict[str, Handler]:
    """The handlers of a process by their kinds; a kind that it cannot do waits for a process that can."""
    store = services.store
    found: dict[str, Handler] = {
        ENTRY: EntryJob(store.database, store.keys, services.scribe, store.clock),
        SUMMARY: SummaryJob(store.database, store.keys, Summariser(services.web_model)),
    }
    if services.carrier and services.transcriber:
        found[RECORDING] = RecordingJob(store.database, store.keys, services.carrier, services.transcriber, store.clock)
        found[ERASE] = EraseJob(services.carrier, store.clock)
        found[SEARCH] = SearchJob(store.database, services.carrier, store.clock)
    if services.retention:
        found[RETENTION] = services.retention
    return found
