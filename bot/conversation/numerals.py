"""Korean numbers: what a number is called, and which numbers a text holds. Knows no talk.

Native numbers (하나, 둘, 스물다섯) count things and hours, Sino-Korean ones (일, 이, 이십오) everything else.
"""

import re
from dataclasses import dataclass

from bot.conversation.texts import table, words

_NATIVE_ONES = ("", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉")
_NATIVE_TENS = ("", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")
_NATIVE_VALUES = {
    **{word: value for value, word in enumerate(_NATIVE_ONES) if word},
    **{word: value * 10 for value, word in enumerate(_NATIVE_TENS) if word},
    "하나": 1,
    "둘": 2,
    "셋": 3,
    "넷": 4,
    "스무": 20,
    "석": 3,
    "넉": 4,
}
_SINO = {word: value for value, word in enumerate("일이삼사오육칠팔구", start=1)}
_SMALL = {"십": 10, "백": 100, "천": 1000}
_BIG = {"만": 10_000, "억": 100_000_000}

_GROUPS: list[list[str]] = table("korean")["counter_groups"]
_COUNTERS = words("korean", "counters")
_NATIVE_COUNTERS = words("korean", "native_counters")

_COUNTER = "|".join(_COUNTERS)
_AFTER_NATIVE = "|".join(words("korean", "native_units"))
_AFTER_ONE_SINO = "|".join(words("korean", "sino_units"))
_TENS = "열|스물|스무|서른|마흔|쉰|예순|일흔|여든|아흔"
_ONES = "하나|한|둘|두|셋|세|석|넷|네|넉|다섯|여섯|일곱|여덟|아홉"
_NATIVE = rf"(?:(?:{_TENS})\s?(?:{_ONES})|{_TENS}|{_ONES})"
_GOES_ON = rf"(?={'|'.join(table('korean')['after_counter'])}|[^가-힣]|$)"
_NUMBER = re.compile(
    rf"(?P<digits>\d[\d,]*(?:\.\d+)?(?:[백천만억]+(?:\s?\d[\d,]*(?=[백천만억]|\s?원))?)*)\s?(?:(?P<unit>{_COUNTER}){_GOES_ON})?"
    rf"|(?<![가-힣])(?P<native>{_NATIVE})\s?(?P<native_unit>{_AFTER_NATIVE}){_GOES_ON}"
    rf"|(?<![가-힣])(?P<sino>[일이삼사오육칠팔구]?[십백천만억][일이삼사오육칠팔구십백천만억]*"
    rf"(?:\s[일이삼사오육칠팔구]?[십백천][일이삼사오육칠팔구십백천]*)*)\s?(?P<sino_unit>{_COUNTER}){_GOES_ON}"
    rf"|(?<![가-힣])(?P<one>[일이삼사오육칠팔구])\s?(?P<one_unit>{_AFTER_ONE_SINO}){_GOES_ON}"
    rf"|(?<![가-힣])(?P<alone>(?:{_TENS})(?:하나|둘|셋|넷|다섯|여섯|일곱|여덟|아홉)|둘|셋|넷)(?=이|은|을|도|[^가-힣]|$)"
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a text: its value, and the counter after it (시, 명 …) or an empty string."""

    value: float
    unit: str

    def same(self, other: "Number") -> bool:
        """Whether both may mean the same: equal values (15시 = 오후 3시), and counters that do not contradict."""
        if not (_unit_fits(self.unit, other.unit)):
            return False
        if "시" in {self.unit, other.unit}:
            return self.value % 12 == other.value % 12
        return self.value == other.value


def _unit_fits(one: str, other: str) -> bool:
    return not one or not other or one == other or any(one in group and other in group for group in _GROUPS)


def native(value: int) -> str:
    """1 to 99 as it stands before a counter: 한, 두, 스무, 스물다섯."""
    if value == 20:
        return "스무"
    return _NATIVE_TENS[value // 10] + _NATIVE_ONES[value % 10]


def read_native_counters(text: str) -> str:
    """`3시` → `세 시`: numbers of 1 to 99 before counters that take native ones (hours only to 12)."""

    def one(match: re.Match[str]) -> str:
        value, unit = int(match.group(1)), match.group(2)
        if not 1 <= value <= 99 or (unit == "시" and value > 12):
            return match.group(0)
        return f"{native(value)} {unit}"

    return re.sub(rf"(?<![\d.,:])(\d{{1,2}})\s?({'|'.join(_NATIVE_COUNTERS)})", one, text)


def _sino_value(text: str) -> int:
    total, section, digit = 0, 0, 0
    for char in text:
        if char == " ":
            continue
        if char in _SINO:
            digit = digit * 10 + _SINO[char]
        elif char in _SMALL:
            section += (digit or 1) * _SMALL[char]
            digit = 0
        else:
            total += (section + digit or 1) * _BIG[char]
            section = digit = 0
    return total + section + digit


def _digits_value(text: str) -> float:
    total, plain = 0.0, 0.0
    for part in re.findall(r"\d+(?:\.\d+)?|[백천만억]", text.replace(",", "")):
        if part in _BIG:
            total, plain = total + (plain or 1) * _BIG[part], 0.0
        elif part in _SMALL:
            total, plain = total + (plain or 1) * _SMALL[part], 0.0
        else:
            plain = float(part)
    return total + plain


def numbers(text: str) -> list[Number]:
    """The numbers of a text in order, `세 시` and `3시` alike; a bare `한` is not one, since it often means `a`."""
    found: list[Number] = []
    for match in _NUMBER.finditer(text):
        if match.group("digits"):
            found.append(Number(_digits_value(match.group("digits")), match.group("unit") or ""))
        elif word := (match.group("native") or match.group("alone")):
            value = _native_value(word)
            if value > 1:
                found.append(Number(value, match.group("native_unit") or ""))
        elif sino := match.group("sino"):
            found.append(Number(_sino_value(sino), match.group("sino_unit")))
        else:
            found.append(Number(_SINO[match.group("one")], match.group("one_unit")))
        rest = text[match.end() :]
        if found and found[-1].unit == "시" and re.match(r"\s?반(?![가-힣]*[찬장])", rest):
            found.append(Number(30, "분"))
    return found


def _native_value(word: str) -> int:
    compact = word.replace(" ", "")
    for size in (2, 1):
        tens = compact[:size]
        if tens in _NATIVE_VALUES and _NATIVE_VALUES[tens] >= 10 and compact[size:] in _NATIVE_VALUES:
            return _NATIVE_VALUES[tens] + _NATIVE_VALUES[compact[size:]]
    return _NATIVE_VALUES[compact]
