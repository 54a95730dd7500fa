"""Commands are whole utterances; stories that quote them are not. Spaces and punctuation never matter."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.conversation.intents import Intent, IntentKind, ends_with, intent, is_mere_reason
from bot.conversation.korean import normalise

COMMANDS = {
    IntentKind.FINISH: [
        "오늘은 여기까지 할게",
        "오늘은 여기까지 할게요.",
        "여기까지요",
        "여기까지만 할게요",
        "이제 그만할게요",
        "그만할게",
        "그만 할래요",
        "끝낼게",
        "이만 끝낼게요",
        "이제 끝!",
        "네 여기까지 하겠습니다",
        "음 그럼 오늘은 이만할게요 감사합니다",
        "더 할 말 없어요",
        "할 말 다 했어요",
        "그게 다예요",
        "일기 써 줘",
        "이제 정리해 주세요",
        "오늘은 이제 자러 갈게요",
        "이야기 그만할게요",
        "마칠게요",
        "마무리할게요",
        "어 오늘은 여기까지 하자",
        "오늘은여기까지할게",
        "오늘 은 여기 까지 할 게 요",
        "이 정도면 될 것 같아요",
        "아니요 이제 여기까지 할게요",
        "오늘 이야기는 여기까지 할게요",
    ],
    IntentKind.APPROVE: [
        "맞아요",
        "네 좋아요",
        "응 그대로 둬",
        "네",
        "네네 맞습니다",
        "그대로 저장해 주세요",
        "아주 좋네요 감사합니다",
        "고칠 거 없어요",
        "응",
        "좋아",
        "일번",
        "1번",
        "네, 그대로 두세요.",
        "다 맞아요",
        "이대로 해 주세요",
        "마음에 들어요",
        "저장해 줘",
        "안 고쳐도 돼요",
        "맞 아 요",
        "네 맞아요 좋아요",
        "고치지 마세요",
        "네 맞는 거 같아요",
        "맞게 적으셨어요",
        "네 잘 정리해 주셨네요",
        "이상 없어요",
        "음 네 괜찮아요",
    ],
    IntentKind.CORRECT: [
        "고칠게",
        "고칠게요",
        "고쳐 줘",
        "고쳐 주세요",
        "아니 틀렸어",
        "틀렸어요",
        "다시 써 줘",
        "다시 써 주세요",
        "아니요 안 맞아요",
        "안 맞아요",
        "아니요",
        "아니에요",
        "고칠 게 있어요",
        "수정해 주세요",
        "이름이 틀렸어요",
        "아니 지우지 말고 고쳐 줘",
        "마음에 안 들어요",
        "이번",
        "2번이요",
        "바꿔 주세요",
        "고칠 께",
        "잘못 적으셨어요",
        "싫어요",
    ],
    IntentKind.DISCARD: [
        "지워 줘",
        "지워 주세요",
        "다 지워",
        "다 지워 주세요",
        "저장하지 마",
        "저장하지 마세요",
        "아니 그냥 삭제해 줘",
        "지금까지 한 얘기 다 지워 주세요",
        "지워줘요",
        "싹 다 지워 줘",
        "일기 지워 줘",
        "이거 지워 주실래요",
        "삼번",
        "남기지 말아 주세요",
        "네 지워 주세요",
        "지 워 줘",
        "기록하지 마세요",
        "오늘 얘기는 저장하지 마세요",
        "이 일기 지워 줘",
        "없던 걸로 해 줘",
        "다 없던 걸로 해 주세요",
        "이 통화 내용 전부 삭제해 주세요",
        "지워 주세요 전부 다",
        "아 몰라 그냥 지워",
        "지금까지 한 말 다 지우고 싶어요",
        "이건 저장하지 마세요",
    ],
    IntentKind.REPEAT: [
        "다시",
        "다시 말해 줘",
        "다시 한번 말씀해 주세요",
        "뭐라고?",
        "뭐라고요",
        "한 번 더 읽어 주세요",
        "잘 못 들었어요",
        "못 들었어요",
        "처음부터 다시 읽어 줘",
        "네 다시 읽어 주세요",
        "안 들렸어요",
        "못 알아들었어요",
    ],
    IntentKind.SLOWER: [
        "천천히",
        "천천히요",
        "좀 천천히 말해 줘",
        "조금만 더 천천히 말씀해 주세요",
        "천천히 다시 읽어 주세요",
        "다시 천천히 말해 줘",
        "너무 빨라요",
        "말이 좀 빨라요",
        "말이 빠르세요",
        "또박또박 말해 줘",
        "속도 좀 늦춰 주세요",
        "아니 너무 빠르니까 천천히 읽어 줘",
    ],
    IntentKind.LOUDER: [
        "크게",
        "좀 크게 말해 주세요",
        "더 크게요",
        "크게 다시 한번 말해 줘",
        "잘 안 들려요",
        "안 들려요",
        "여보세요? 잘 안 들려요",
        "소리가 작아요",
        "소리가 너무 작은데요",
        "목소리 좀 키워 줘",
        "볼륨을 높여 주세요",
        "잘 안 들리는데 크게 말해 줘",
    ],
    IntentKind.WAIT: [
        "잠깐만",
        "잠깐만요",
        "잠시만요",
        "잠깐",
        "저기 잠깐만요",
        "기다려 줘",
        "잠깐만 기다려 주세요",
        "조금만 기다려 줘",
        "생각 좀 할게",
        "잠깐 생각 좀 해 볼게요",
        "생각할 시간 좀 주세요",
        "일 분만요",
        "잠깐 있어 봐",
        "금방 올게요",
    ],
    IntentKind.OFF_RECORD: [
        "오늘 일기에 이건 적지 마세요",
        "일기에 방금 한 말은 적지 마세요",
        "이건 비밀로 해 주세요",
        "방금 한 말 지우고 싶어요",
        "이건 적지 마",
        "이건 적지 마세요",
        "방금 한 말은 빼 줘",
        "방금 한 말 지워 주세요",
        "이 얘기는 쓰지 마세요",
        "이건 비밀이야, 적지 마",
        "이건 비밀이니까 일기에 적지 말아 주세요",
        "이 이야기는 일기에 쓰지 마",
        "그 얘기는 빼고 적어 주세요",
        "방금 그 말은 빼 주세요",
        "제가 방금 한 말은 기록하지 말아 주세요",
        "적지 마",
        "적지 마세요",
        "일기에 쓰지 마세요",
        "이건 안 적어도 돼요",
        "이건 안 적었으면 좋겠어요",
        "방금 한 얘기는 못 들은 걸로 해 줘",
        "아니 이건 절대 적지 말아 줘",
        "방금 말한 거 취소할게요",
        "이건 적지 말고 듣기만 해 주세요",
        "이건 오프더레코드야",
        "네 그건 빼 주세요",
        "지금 한 말은 저장하지 마",
    ],
    IntentKind.FORGET_DAY: [
        "오늘 거 지워 줘",
        "오늘 얘기 다 지워",
        "오늘 얘기 다 지워 주세요",
        "오늘 일기 삭제해 줘",
        "오늘 거는 지울게요",
        "오늘 한 얘기 전부 지워 주세요",
        "오늘 하루 기록을 모두 삭제해 주세요",
        "오늘 내가 한 말 다 지워 줘",
        "아니 그냥 오늘 일기 싹 다 지워 줘",
    ],
    IntentKind.FAREWELL: [
        "안녕히 계세요",
        "끊을게",
        "이제 끊을게요",
        "전화 끊을게요",
        "고마워요 안녕히 계세요",
        "내일 또 전화할게요",
        "들어가세요",
        "수고하세요",
        "잘 자요",
    ],
    IntentKind.GREETING: [
        "여보세요",
        "안녕하세요",
        "여보세요? 들리세요?",
        "네 안녕하세요",
        "안녕",
        "여보세요 여보세요",
    ],
}

STORIES = [
    "오늘 하루를 지우고 싶어요",
    "다 지우고 싶어요",
    "그냥 다 잊어 줘",
    "오늘 한 말을 다 지우고 싶어요",
    "친구한테 심한 말을 했는데 그 말을 지우고 싶어요",
    "엄마가 방금 거 취소해 주세요. 이렇게 말했어요.",
    "점심에 오이가 들어간 건 빼요",
    "친구를 만났어요 오늘 거 다 지워 줘",
    "네 끝났어요",
    "다 했어요",
    "네 다 했어요",
    "3번",
    "3번이요",
    "세 번이요",
    "취소할게요",
    "다 버려",
    "약속 취소",
    "쓰레기 버려 줘",
    "기억을 지우고 싶어요",
    "문신을 지우고 싶어요",
    "화장 지우고 잘게요",
    "칠판을 지워 주셨어요",
    "지워지지 않는 기억이에요",
    "그만 좀 하라고 했어요",
    "그만하면 다행이에요",
    "여기까지 오느라 힘들었어요",
    "끝까지 했어요",
    "끝이 안 보여요",
    "이제 그만 울고 싶어요",
    "오늘은 이만 원 벌었어요",
    "마칠 때까지 기다렸어요",
    "전화 끊고 울었어요",
    "친구가 사진을 지워 줘라고 했어요",
    "여기까지 걸어왔어요",
    "일이 맞아요라고 했는데",
    "일이 맞아요라고 했는데 아니었어요",
    "지우지 마",
    "지우지 마세요",
    "지우지 말아 주세요",
    "사진 지워 주세요",
    "사진을 다 지워 줘",
    "고쳐 줘서 고마웠어요",
    "고칠 게 많아요",
    "자전거 고칠 게 있어서 갔어요",
    "그만뒀어요",
    "회사를 그만뒀어요",
    "회사를 그만둘 거예요",
    "다 그만하고 싶어요",
    "이제 다 끝내고 싶어요",
    "다 끝내고 싶어",
    "다시 시작했어요",
    "다시 만났어요",
    "다시 태어나고 싶어요",
    "끝났어요 회의가",
    "회의가 끝났어요",
    "숙제를 끝냈어요",
    "맞아요 오늘 진짜 힘들었어요",
    "좋아요를 눌렀어요",
    "네 친구를 만났어요",
    "틀렸다고 했어요",
    "시험 문제를 다 틀렸어요",
    "아니요 친구랑 갔어요",
    "아니 그게 진짜 웃겼어요",
    "안녕하세요라고 인사했어요",
    "전화를 끊었어요",
    "담배를 끊을 거예요",
    "안 지워도 돼요",
    "지워도 돼요",
    "지우면 안 돼요",
    "지웠어요",
    "사진을 다 지웠어요",
    "자전거를 고쳐 줬어요",
    "컴퓨터 고쳐 줘라고 부탁했어요",
    "여기까지가 출근길이었어요",
    "그 얘기는 여기까지 들었어요",
    "오늘은 그만 먹을래요",
    "오늘은 회사에서 여기까지 했어요",
    "고칠게라고 말했어요",
    "친구가 아니라 동생이에요",
    "아니 친구가 온 거예요",
    "끝내 울었어요",
    "숙제를 다 했어요",
    "다 했어요 숙제를",
    "좋은 하루였어요",
    "좋아하는 노래를 들었어요",
    "네 시에 갔어요",
    "네가 지워 줘",
    "네 살 조카가 왔어요",
    "그만큼 힘들었어요",
    "그만 울었어요",
    "이만 원을 썼어요",
    "이만큼 컸어요",
    "맞아서 아팠어요",
    "맞은편에 살아요",
    "저장 강박이 있어요",
    "다시마를 샀어요",
    "다시다를 넣었어요",
    "한 번 더 먹었어요",
    "뭐라고 해서 화났어요",
    "엄마가 뭐라고 했어요",
    "여보세요 하고 받았어요",
    "안녕히 계세요 하고 나왔어요",
    "수고했다고 칭찬받았어요",
    "일번 출구에서 만났어요",
    "이번 주에 갔어요",
    "이번에 승진했어요",
    "삼번 버스를 탔어요",
    "아니에요 그건 어제였고 오늘은 쉬었어요",
    "확인 전화를 받았어요",
    "정리해 준 친구가 고마웠어요",
    "방을 정리했어요",
    "일기를 썼어요",
    "응급실에 갔어요",
    "예전에 만났어요",
    "음악을 들었어요",
    "어머니가 오셨어요",
    "그대로 두고 왔어요",
    "이대로 괜찮을까 걱정했어요",
    "고치고 왔어요",
    "마무리가 안 돼서 야근했어요",
    "하루 종일 정리했어요",
    "종료 버튼을 눌렀어요",
    "",
    "...",
    "음",
    "어제",
    "취소된 약속이 있었어요",
    "남자친구가 그만 만나자고 했어요",
    "엄마가 그만하라고 하셨어요",
    "왜 이렇게 크게 말해",
    "버스를 천천히 몰더라고요",
    "천천히 걸었어요",
    "친구가 천천히 먹으라고 했어요",
    "천천히 말해 줘서 고마웠어요",
    "시간이 너무 빨라요",
    "친구는 걸음이 빨라요",
    "소리가 작아서 혼났어요",
    "크게 혼났어요",
    "크게 웃었어요",
    "목소리가 크게 들렸어요",
    "할머니가 귀가 안 들려요",
    "아무 소리도 안 들려서 무서웠어요",
    "방이 너무 작아요",
    "잠깐만 기다리라고 하더라고요",
    "잠깐 산책했어요",
    "한 시간을 기다렸어요",
    "잠시 쉬었어요",
    "잠깐만 자려고 했는데 아침이었어요",
    "생각 좀 했어요",
    "조금만 먹었어요",
    "조금만요",
    "엄마가 이건 적지 마",
    "선생님이 이건 적지 마라고 하셨어요",
    "선생님이 이건 적지 말라고 하셨어요",
    "이건 쓰지 마 하면서 뺏어 갔어요",
    "이건 적지 마 그러더라고요",
    "신경 쓰지 마",
    "신경 쓰지 마세요",
    "너무 애쓰지 마",
    "돈 쓰지 마세요",
    "모자를 쓰지 마세요",
    "엄마가 너무 애쓰지 마세요 하셨어요",
    "칠판에 적지 마세요",
    "답을 적지 마세요",
    "이건 비밀이야",
    "비밀이 하나 생겼어요",
    "비밀번호를 적어 뒀어요",
    "적지 않은 돈이었어요",
    "이건 적지 않아요",
    "살 좀 빼 줘",
    "살을 빼 보려고요",
    "차를 빼 달라고 했어요",
    "오늘 거 지웠어요",
    "오늘 찍은 사진 다 지웠어요",
    "오늘 사진 다 지워 줘라고 했어요",
    "오늘 일기 썼어요",
    "오늘 화장 지웠어요",
]

CORRECTIONS = [
    ("고칠게 지민이가 아니라 지수야", "지민이가 아니라 지수야"),
    ("고칠게요. 세 시가 아니라 네 시예요", "세 시가 아니라 네 시예요"),
    ("고칠게네시예요", "네시예요"),
    ("아니 지민이 말고 지수야", "지민이 말고 지수야"),
    ("네 맞아요 근데 지민이가 아니라 지수예요", "지민이가 아니라 지수예요"),
    ("틀렸어요 부산이 아니라 대구예요", "부산이 아니라 대구예요"),
    ("이름 좀 고쳐 주세요 지수예요", "지수예요"),
    ("고쳐 줘 서울이 아니라 부산이야", "서울이 아니라 부산이야"),
    ("아니요, 커피를 녹차로 바꿔 주세요", "커피를 녹차로 바꿔 주세요"),
    ("음 고칠게요 저녁이 아니고 점심이에요.", "저녁이 아니고 점심이에요."),
]


IN_ONE_BREATH = [
    ("오늘 회사에서 잘렸어요. 이건 적지 마세요.", "오늘 회사에서 잘렸어요.", ""),
    ("오늘 회사에서 잘렸어요 이건 적지 마세요", "오늘 회사에서 잘렸어요", ""),
    ("오늘 회사에서 잘렸어 적지 마", "오늘 회사에서 잘렸어", ""),
    ("오늘 회사에서 잘렸는데 이 얘기는 쓰지 마세요", "오늘 회사에서 잘렸는데", ""),
    ("저 사실 약을 먹어요. 쓰지 마세요.", "저 사실 약을 먹어요.", ""),
    ("저 사실 약을 먹어요 일기에 쓰지 마세요", "저 사실 약을 먹어요", ""),
    ("제가 잘못한 건가. 음 근데 저는 이건 적지 않았으면 좋겠어요.", "제가 잘못한 건가.", ""),
    ("남자친구랑 헤어졌어요. 이건 비밀이야, 적지 마.", "남자친구랑 헤어졌어요.", ""),
    ("이건 적지 마세요. 사실 어제 울었어요.", "", "사실 어제 울었어요."),
    ("이건 적지 말고 들어 줘 사실 어제 울었어", "", "사실 어제 울었어"),
    (
        "회사에서 잘렸어요. 이건 적지 마세요. 그러고 나서 산책을 했어요.",
        "회사에서 잘렸어요.",
        "그러고 나서 산책을 했어요.",
    ),
    (
        "엄마가 왔어요 그리고 제가 회사에서 잘렸거든요 방금 한 말은 빼 주세요",
        "엄마가 왔어요 그리고 제가 회사에서 잘렸거든요",
        "",
    ),
]


@pytest.mark.parametrize(("text", "before", "rest"), IN_ONE_BREATH)
def test_what_is_off_the_record_is_mostly_said_in_the_same_breath(text: str, before: str, rest: str) -> None:
    found = intent(text)
    assert found and found.kind is IntentKind.OFF_RECORD
    assert (found.before, found.rest) == (before, rest)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in COMMANDS.items() for text in texts])
def test_commands(kind: IntentKind, text: str) -> None:
    assert _command(text) == Intent(kind)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in COMMANDS.items() for text in texts])
def test_commands_without_spaces_and_with_too_many(kind: IntentKind, text: str) -> None:
    compact = normalise(text)
    assert _command(compact) == _command(" ".join(compact) + " .") == Intent(kind)


def _command(text: str) -> Intent | None:
    found = intent(text)
    return found and replace(found, points=False)


@pytest.mark.parametrize(
    ("text", "points"), [("이건 적지 마", True), ("네 이거 지워 주세요", True), ("다 지워 줘", False)]
)
def test_a_wish_may_point_at_something(text: str, points: bool) -> None:
    found = intent(text)
    assert found and found.points is points


NAMED = [
    ("영화 얘기는 빼 주세요", "영화"),
    ("병원 갔다는 얘기는 지워 주세요", "병원 갔다는"),
    ("민수랑 싸운 건 적지 말아 주세요", "민수랑 싸운"),
    ("지민이 얘기는 비밀로 해 주세요", "지민이"),
    ("아까 한 얘기는 빼 주세요", "아까 한"),
    ("네 맞아요 근데 병원 얘기는 빼 주세요", "근데 병원"),
    ("아까 한 그 얘기는 빼 주세요", "아까 한"),
]


@pytest.mark.parametrize(("text", "about"), NAMED)
def test_what_is_off_the_record_may_be_named(text: str, about: str) -> None:
    assert intent(text) == Intent(IntentKind.OFF_RECORD, about=about)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("오늘은 친구를 만났어요. 오늘은 여기까지 할게요.", True),
        ("친구를 만났어요 이제 끊을게요", True),
        ("친구가 이제 끊을게요 하고 전화를 끊었어요.", False),
        ("여기까지 할게요. 라고 선생님이 말했어요.", False),
        ("오늘은 친구를 만났어요.", False),
    ],
)
def test_a_talk_may_be_ended_behind_a_story(text: str, ends: bool) -> None:
    assert ends_with(text) is ends


@pytest.mark.parametrize(
    ("text", "mere"),
    [
        *[(text, True) for text in ("그리고", "참", "저기 죄송한데요", "부끄러우니까", "남편이 알까 봐", "창피해서요")],
        *[(text, False) for text in ("회사에서 잘렸어요.", "민수랑 싸웠는데", "오랜만에 친구를 만나고 나서 싸워서")],
    ],
)
def test_a_reason_for_a_wish_is_not_what_it_means(text: str, mere: bool) -> None:
    assert is_mere_reason(text) is mere


@pytest.mark.parametrize("text", STORIES)
def test_stories_are_no_commands(text: str) -> None:
    assert intent(text) is None


@pytest.mark.parametrize("text", STORIES)
def test_stories_are_no_commands_without_spaces(text: str) -> None:
    found = intent(normalise(text))
    assert found is None


@pytest.mark.parametrize(("text", "rest"), CORRECTIONS)
def test_a_correction_in_the_same_breath_is_handed_on(text: str, rest: str) -> None:
    assert intent(text) == Intent(IntentKind.CORRECT, rest)


def test_the_tables_are_wide() -> None:
    assert sum(map(len, COMMANDS.values())) + len(STORIES) + len(CORRECTIONS) >= 150


@given(st.text(max_size=80))
@settings(max_examples=100, deadline=None)
def test_any_text_is_understood_or_not(text: str) -> None:
    found = intent(text)
    assert found is None or found.rest == "" or found.rest in text


@given(
    st.lists(
        st.sampled_from(["이건", "적지", "마", "오늘", "방금", "그", "말은", "빼", "다"]), min_size=40, max_size=80
    )
)
@settings(max_examples=20, deadline=1000)
def test_long_stories_with_signs_of_a_wish_take_no_time(words: list[str]) -> None:
    found = intent(" ".join([*words, "밥을 먹었어요"]))
    assert found is None or found.kind is IntentKind.OFF_RECORD


@given(
    st.lists(
        st.sampled_from(["음", "네", "그럼", "아니", "오늘", "그", "저기", "다시", "좋아"]), min_size=30, max_size=60
    )
)
@settings(max_examples=20, deadline=1000)
def test_long_rows_of_fillers_take_no_time(words: list[str]) -> None:
    assert intent(" ".join([*words, "밥을 먹었어요"])) is None
