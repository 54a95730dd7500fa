"""What is noted of a call: asides are no answers, a reply in an inner pause is a cut-off, pieces are what was heard."""

import pytest

from bot.lab.acts import Act, DisturbanceBegan, DisturbanceEnded, PauseBegan, SaidFrame, TurnBegan, TurnEnded
from bot.lab.caller import Ear
from bot.lab.playback import Playback
from bot.lab.report import Aside, CallReport, Disturbance, Piece
from bot.lab.witness import Witness

LOUD = bytes([0x10, 0x90] * 80)
QUIET = b"\xff" * 160
VOICE = SaidFrame(LOUD, voiced=True)
SILENCE = SaidFrame(QUIET)


class Scene:
    """A caller and a bot, frame by frame: `bot` is sound and marks that the app sends before the frame."""

    def __init__(self) -> None:
        self.report = CallReport("CA1", "+8210")
        self.playback = Playback()
        self.ear = Ear()
        self.witness = Witness(self.report, self.ear)

    def frame(self, said: SaidFrame = SILENCE, *bot: bytes | str) -> None:
        for item in bot:
            if isinstance(item, bytes):
                self.playback.media(item)
            else:
                self.witness.passed(self.playback.mark(item))
        if said.voiced:
            self.ear.speak()
        tick = self.playback.tick()
        self.witness.hear(tick, idle=self.playback.is_idle)
        self.witness.say(said, tick)

    def frames(self, count: int, said: SaidFrame = SILENCE) -> None:
        for _ in range(count):
            self.frame(said)

    def acts(self, *acts: Act) -> None:
        for act in acts:
            self.witness.act(act)

    def clear(self) -> None:
        dropped_ms = self.playback.queued_ms
        self.witness.cleared(dropped_ms, self.playback.clear())


@pytest.fixture
def scene() -> Scene:
    return Scene()


def say(scene: Scene, *parts: str | int) -> None:
    """Say each part in 100 ms, and pause as long."""
    scene.acts(TurnBegan("말", parts))
    for part in parts:
        if isinstance(part, int):
            scene.acts(PauseBegan())
        scene.frames(5, SILENCE if isinstance(part, int) else VOICE)
    scene.acts(TurnEnded())


def test_an_aside_is_no_answer(scene: Scene) -> None:
    say(scene, "a")
    scene.frames(5)
    scene.frame(SILENCE, "aside:0", LOUD * 3, "aside:0:end")
    scene.frames(6)
    [turn] = scene.report.turns
    assert turn.heard_start_ms is None
    scene.frame(SILENCE, LOUD, "1:0")
    assert turn.voice_to_voice_ms == 240
    assert scene.report.asides == [Aside(200, 60, in_turn=False, over_voice=False)]
    assert scene.report.greeting_ms == 340


def test_a_reply_right_behind_an_aside_is_the_answer(scene: Scene) -> None:
    say(scene, "a")
    scene.frames(2)
    scene.frame(SILENCE, "aside:0", LOUD * 3, "aside:0:end", LOUD, "1:0")
    scene.frames(6)
    assert scene.report.turns[0].voice_to_voice_ms == 100
    assert scene.report.asides[0].length_ms == 60


def test_an_aside_in_a_pause_cuts_nobody_off_and_one_over_the_voice_is_told(scene: Scene) -> None:
    scene.acts(TurnBegan("말", ("a", 100, "b")))
    scene.frames(3, VOICE)
    scene.frame(VOICE, "aside:0", LOUD, "aside:0:end")
    scene.acts(PauseBegan())
    scene.frames(3)
    scene.frame(SILENCE, "aside:1", LOUD, "aside:1:end")
    scene.frames(3, VOICE)
    scene.acts(TurnEnded())
    assert [(aside.in_turn, aside.over_voice) for aside in scene.report.asides] == [(True, True), (True, False)]
    assert not scene.report.turns[0].talked_over


@pytest.mark.parametrize(("after_frames", "pause"), [(7, 0), (12, 0), (17, 1), (22, 1)])
def test_a_reply_in_a_pause_or_over_what_follows_is_a_cut_off(scene: Scene, after_frames: int, pause: int) -> None:
    scene.acts(TurnBegan("말", ("a", 100, "b", 100, "c")))
    for at, said in enumerate([VOICE, SILENCE, VOICE, SILENCE, VOICE]):
        if said is SILENCE:
            scene.acts(PauseBegan())
        for frame in range(5):
            scene.frame(said, *([LOUD * 2] if at * 5 + frame == after_frames else []))
    scene.acts(TurnEnded())
    [turn] = scene.report.turns
    assert (turn.talked_over, turn.cut_off_at, turn.pauses) == (True, {pause}, 2)


def test_a_turn_over_the_bot_is_no_cut_off_and_how_long_it_was_heard_is_told(scene: Scene) -> None:
    scene.frame(SILENCE, LOUD * 5)
    scene.frames(2)
    say(scene, "a", 100, "b")
    [turn] = scene.report.turns
    assert (turn.talked_over, turn.silenced_ms) == (False, 40)


def test_pieces_are_the_sound_before_their_marks_however_it_was_paused(scene: Scene) -> None:
    first, second = bytes([0x20]) * 320, bytes([0x30]) * 160
    scene.frame(SILENCE, first[:160])
    scene.frames(10)
    scene.frame(SILENCE, first[160:], "1:0", "aside:0", LOUD, "aside:0:end", second, "1:1")
    scene.frames(5)
    assert scene.report.pieces == [Piece("1:0", 0, first), Piece("1:1", 260, second)]


def test_a_mark_that_comes_after_its_sound_was_heard_ends_its_piece(scene: Scene) -> None:
    scene.frame(SILENCE, LOUD)
    scene.frames(3)
    scene.frame(SILENCE, "1:0", QUIET, "1:1")
    scene.frames(2)
    assert scene.report.pieces == [Piece("1:0", 0, LOUD), Piece("1:1", 80, QUIET)]


def test_what_was_cleared_is_no_piece(scene: Scene) -> None:
    scene.frame(SILENCE, LOUD * 3, "1:0")
    scene.frames(1)
    scene.clear()
    scene.frame(SILENCE, LOUD, "2:0")
    scene.frames(2)
    assert [piece.name for piece in scene.report.pieces] == ["2:0"]
    assert scene.report.cleared_ms == [40]
    assert scene.report.clears == 1


def test_where_a_reply_was_played_is_in_the_recording(scene: Scene) -> None:
    scene.frame(SILENCE, LOUD, QUIET, "1:0", "aside:0", LOUD, "aside:0:end")
    scene.frames(4)
    assert list(scene.report.recording.replying) == [1, 1, 0, 0, 0]


def test_a_disturbance_lasts_while_it_is_voiced(scene: Scene) -> None:
    scene.frame(SILENCE, LOUD * 9)
    scene.acts(DisturbanceBegan("네"))
    scene.frames(2, VOICE)
    scene.frames(2)
    scene.acts(DisturbanceEnded())
    scene.frames(10)
    scene.acts(DisturbanceBegan("cough"))
    scene.frames(1, VOICE)
    scene.acts(DisturbanceEnded())
    assert scene.report.disturbances == [
        Disturbance("네", 20, 60, over_bot=True),
        Disturbance("cough", 300, 320, False),
    ]
    assert scene.report.turns == []


def test_an_aside_whose_sound_comes_after_its_mark_is_noted_when_it_sounds(scene: Scene) -> None:
    scene.frame(SILENCE, "aside:1")
    scene.frames(2)
    scene.frame(SILENCE, LOUD, "aside:1:end")
    scene.frames(2)
    assert [(aside.start_ms, aside.length_ms) for aside in scene.report.asides] == [(60, 20)]
