"""What is measured of a process, for Prometheus: here alone is decided what, under which name and in which buckets.

Calls, services and durable work tell it what happens, a turn at a time and never a frame. Nothing that was said, no
number and no id is in a label. Where PROMETHEUS_MULTIPROC_DIR names a folder before this is imported, the figures of
all processes that share it are told as one. It must not know what any of this is for.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from bot.conversation.commands import Command, HandOver, HangUp, KeepSaid, KeepWaterfall, RecordRest, WriteEntry
from bot.conversation.events import EntryWritten, Event, SttLost, SttReady
from bot.conversation.waterfall import Waterfall
from bot.diary.outbox import Job, Later
from bot.errors import LeaseLost
from bot.services.stt_feed import PCM_BYTES_PER_MS
from bot.settings import SHARED_FOLDER
from bot.tracing import Spans, Tracing

DOORS = ("telephone", "browser")
STAGES = ("stop", "final", "over", "token", "clause", "audio", "heard")
"""What a turn waits for, in the usual order: fields of `Waterfall`."""
FALLBACKS = ("reply", "voice", "record")

LAG = "ilgi_event_loop_lag_seconds"
LAG_S = (.001, .002, .003, .005, .0075, .01, .015, .02, .03, .05, .075, .1, .15, .2, .3, .5, 1, 2.5)  # fmt: skip
STAGE_S = (.05, .1, .15, .2, .25, .3, .35, .4, .45, .5, .6, .7, .8, .9, 1, 1.25, 1.5, 2, 3, 5)  # fmt: skip
OPEN_S = (.01, .025, .05, .075, .1, .15, .2, .3, .5, 1, 2)  # fmt: skip
ENTRY_S = (.1, .25, .5, 1, 2, 3, 5, 7)  # fmt: skip
JOB_S = (.01, .05, .1, .5, 1, 5, 10, 30, 60, 300)  # fmt: skip

disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """What is measured of this process; with `tracing` each stream of a call and each turn is a span too."""

    def __init__(self, tracing: Tracing | None = None) -> None:
        self.tracing = tracing
        self._shown = CollectorRegistry()
        own: CollectorRegistry | None = self._shown
        if folder := os.environ.get(SHARED_FOLDER):
            MultiProcessCollector(self._shown, folder)  # type: ignore[no-untyped-call]
            self._shown.register(_Processes(Path(folder)))
            own = None
        else:
            ProcessCollector(registry=self._shown)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"ilgi_{name}", what, labels, registry=own)

        def histogram(name: str, what: str, buckets_s: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, what, labels, buckets=buckets_s, registry=own)

        self.begun = counter("calls_begun", "Streams of calls that were let in, new or taken up again", "door", "how")
        self.ended = counter("calls_ended", "Streams of calls that are over, by how", "door", "how")
        self.live = Gauge(
            "ilgi_calls_live", "Calls that are live", ("door",), registry=own, multiprocess_mode="livesum"
        )
        self.breakdowns = counter("call_breakdowns", "Calls that a bug of ours has ended")
        self.turns = counter("turns", "Turns of callers", "door")
        self.stages = histogram(
            "ilgi_turn_stage_seconds",
            "From the caller's last voiced frame to each stage of the answer; 0: prepared before",
            STAGE_S,
            "door",
            "stage",
        )
        self.opened = histogram("ilgi_recogniser_open_seconds", "To open a socket of the recogniser", OPEN_S)
        self.reconnects = counter("recogniser_reconnects", "Sockets of the recogniser that replaced one in a call")
        self.lost = counter("recogniser_lost", "Calls for which no recogniser could be had", "why")
        self.unheard = counter("recogniser_dropped_seconds", "Sound that no socket of the recogniser was sent")
        self.fallbacks = counter("fallbacks", "What the built-in reply, espeak-ng or a recording stood in for", "what")
        self.entry = histogram("ilgi_entry_seconds", "To write the entry that a caller waits for", ENTRY_S)
        self.jobs = histogram("ilgi_job_seconds", "Tries of the outbox's jobs, by how they ended", JOB_S, "kind", "how")
        self.lag = histogram(LAG, "How late the event loop wakes a task that is due at fixed moments", LAG_S)
        for door in DOORS:
            self.live.labels(door)
            self.turns.labels(door)
        for what in FALLBACKS:
            self.fallbacks.labels(what)
        self.stage = {door: [(name, f"{name}_ms", self.stages.labels(door, name)) for name in STAGES] for door in DOORS}

    def exposition(self) -> bytes:
        """All of it in Prometheus's text format; may take milliseconds."""
        return generate_latest(self._shown)

    def call(self, door: str, now_ms: Callable[[], int]) -> "CallMeter":
        """The meter of one stream of a call that came through one of `DOORS`; `now_ms` is the call clock."""
        return CallMeter(self, door, now_ms)

    def fell_back(self, what: str) -> None:
        """One of `FALLBACKS` stands in for what failed, or rests."""
        self.fallbacks.labels(what).inc()

    def recogniser_opened(self, seconds: float) -> None:
        """A socket of the recogniser is open."""
        self.opened.observe(seconds)

    def recogniser_dropped(self, pcm_bytes: int) -> None:
        """So much sound was too old to be sent to any socket."""
        self.unheard.inc(pcm_bytes / PCM_BYTES_PER_MS / 1000)

    @contextmanager
    def job(self, job: Job) -> Iterator[None]:
        """Around one try of a job; what it raises tells how it ended, and is passed on."""
        began_s, how = time.monotonic(), "dead" if job.is_last_try else "failed"
        try:
            yield
            how = "done"
        except Later:
            how = "later"
            raise
        except LeaseLost:
            how = "overtaken"
            raise
        except asyncio.CancelledError:
            how = "given back"
            raise
        finally:
            self.jobs.labels(job.kind, how).observe(time.monotonic() - began_s)

    def woke(self, late_ms: float) -> None:
        """The event loop woke a task so much later than it was due."""
        self.lag.observe(late_ms / 1000)


class CallMeter:
    """The meter of one stream of a call: it is told what happens and what is decided, and does nothing about it."""

    def __init__(self, metrics: Metrics, door: str, now_ms: Callable[[], int]) -> None:
        self._metrics = metrics
        self._door = door
        self._now_ms = now_ms
        self._spans: Spans | None = None
        self._is_live = self._is_connected = False
        self._turn = -1
        self._asked: tuple[int, float] | None = None

    def begin(self, call_sid: str, stream: int) -> None:
        """It was let in, as stream number `stream` of its call."""
        self._is_live = True
        self._metrics.begun.labels(self._door, "new" if stream == 1 else "taken up").inc()
        self._metrics.live.labels(self._door).inc()
        if self._metrics.tracing:
            self._spans = self._metrics.tracing.call(call_sid, stream)

    def tell(self, event: Event) -> None:
        """An event came from a service."""
        match event:
            case SttReady():
                if self._is_connected:
                    self._metrics.reconnects.inc()
                self._is_connected = True
                self._note("recogniser ready")
            case SttLost(loss):
                self._metrics.lost.labels(loss.value).inc()
                self._note("recogniser lost")
            case EntryWritten(draft):
                if self._asked and self._asked[0] == draft:
                    self._metrics.entry.observe(time.monotonic() - self._asked[1])

    def decided(self, command: Command) -> None:
        """The talk has decided this; what it decides for each frame is not told."""
        match command:
            case KeepSaid(turn):
                # A turn that goes on is kept again.
                if turn > self._turn:
                    self._turn = turn
                    self._metrics.turns.labels(self._door).inc()
            case KeepWaterfall(turn, waterfall):
                self._answered(turn, waterfall)
            case WriteEntry(draft):
                self._asked = draft, time.monotonic()

    def _answered(self, turn: int, waterfall: Waterfall) -> None:
        times: dict[str, int] = {}
        for name, field, histogram in self._metrics.stage[self._door]:
            if (at_ms := getattr(waterfall, field)) is not None:
                times[name] = at_ms
                histogram.observe(max(0, at_ms) / 1000)
        if self._spans:
            ended_ago_ms = self._now_ms() - waterfall.ended_at_ms
            self._spans.turn(turn, time.time_ns() - ended_ago_ms * 1_000_000, times)

    def broke_down(self) -> None:
        """A bug of ours ends it."""
        self._metrics.breakdowns.inc()

    def over(self, leaves: HangUp | HandOver | RecordRest | None) -> None:
        """It is over, and all of it is kept. One that was never let in was none."""
        if not self._is_live:
            return
        self._is_live = False
        if isinstance(leaves, RecordRest):
            self._metrics.fell_back("record")
        how = leaves.why if isinstance(leaves, HangUp | RecordRest) else "handed over"
        self._metrics.ended.labels(self._door, how).inc()
        self._metrics.live.labels(self._door).dec()
        if self._spans:
            self._spans.end()

    def _note(self, what: str) -> None:
        if self._spans:
            self._spans.note(what)


class _Processes(Collector):
    """CPU, memory and files of each process that shares the folder: the library's collector knows only its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        found: dict[str, Metric] = {}
        for pid in sorted(path.stem.rpartition("_")[2] for path in self._folder.glob("gauge_livesum_*.db")):
            for family in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                whole = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    whole.add_sample(sample.name, {"pid": pid}, sample.value)
        return found.values()
