"""A carrier that falls silent: the socket stays open, nothing comes, nothing is heard; and what follows."""

import asyncio

from fake_app import CONNECT, HANG_UP, TOKEN, FakeApp, Stream, phone, serving

from bot.lab.script import HangUp, Say, Silent, Wait
from bot.lab.silences import silences
from bot.lab.twilio import TwilioLab


async def test_nothing_is_carried_either_way_and_then_all_goes_on() -> None:
    gaps_s: list[float] = []

    async def listen(stream: Stream) -> None:
        await stream.start()
        loop = asyncio.get_running_loop()
        last_s = loop.time()
        while (message := await stream.next()) is not None:
            if message["event"] == "media":
                gaps_s.append(loop.time() - last_s)
                last_s = loop.time()

    app = FakeApp(listen)
    report = await phone(app, [Wait(200), Silent(600), Wait(1000), HangUp()])
    assert max(gaps_s) >= 0.55
    assert sum(gap_s > 0.3 for gap_s in gaps_s) == 1
    assert report.breaches == []


async def test_what_the_app_says_meanwhile_is_not_heard_and_its_marks_do_not_come_back() -> None:
    async def speak(stream: Stream) -> None:
        await stream.start()
        await stream.say(10, "before")
        await stream.until("mark")
        await stream.until("media")
        await asyncio.sleep(0.1)
        await stream.say(10, "lost")
        await stream.drain()

    app = FakeApp(speak)
    report = await phone(app, [Wait(260), Silent(2000), Wait(1500), HangUp()])
    assert report.marks == ["before"]


async def test_when_the_app_gives_up_the_next_stream_is_sound() -> None:
    async def give_up_then_talk(stream: Stream) -> None:
        await stream.start()
        if len(app.streams) == 1:
            await asyncio.sleep(0.8)
            await stream.close()
            return
        await stream.say(20, "back")
        await stream.until("mark")
        await stream.close()

    app = FakeApp(give_up_then_talk)
    app.pages["/twilio/after"] = [CONNECT, HANG_UP]
    async with serving(app), TwilioLab(app.url, auth_token=TOKEN) as lab:
        calling = asyncio.ensure_future(lab.call([Wait(9000)]))
        while not app.streams or not app.streams[0].sid:
            await asyncio.sleep(0.01)
        assert lab.go_silent(60) == 1
        report = await calling
    assert report.marks == ["back"]
    assert report.breaches == []
    assert max(silence.ms for silence in silences(report.sounds)) >= 700
    assert lab.go_silent(60) == 0


async def test_words_that_are_said_into_the_silence_are_lost() -> None:
    heard: list[str] = []

    async def listen(stream: Stream) -> None:
        await stream.start()
        while (message := await stream.next()) is not None:
            if message["event"] == "media":
                heard.append(message["media"]["payload"])

    report = await phone(FakeApp(listen), [Silent(5000), Say(("jia-right",)), HangUp()])
    assert len(report.turns) == 1
    assert len(heard) < 5
