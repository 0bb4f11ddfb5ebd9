"""Which text of a brief is the title, the subtitle, a detail, or the call to action; from order and content."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

from posterkit.lettering import AUTO, ROLES, Role

_ACTION = re.compile(
    r"https?://|www\.|\b[\w-]+\.(com|org|net|io|de|fr|it|es|uk|eu|ru|gr|cn|jp|kr|co)\b|^@\w|\S@\S+\.\S"
    r"|\b(book|buy|get|join|shop|order|register|reserve|rsvp|sign up|subscribe|call|scan|visit|discover|learn more|"
    r"try|start)\b(?=.*\b(now|today|tickets?|seats?|here|us|online|in|yours?|table|for free|more|menu|app)\b)"
    r"|^(rsvp|sign up|learn more|shop now|free entry|tickets?|get tickets|jetzt .*|réservez.*|reserva.*|billets?)\b"
    r"|купить|билеты|заказать|регистрация|записаться|εισιτήρια|κρατήσεις|购票|购买|报名|预订|立即|扫码|扫描|立刻|"
    r"予約|申込|購入|チケット|예매|구매|신청|예약|احجز|اشتر|سجل|הזמינו|כרטיסים",
    re.IGNORECASE,
)
_WEEKDAY = (
    r"\b(?:mon(?:day)?|tue(?:s|sday)?|wed(?:nesday)?|thu(?:r|rs|rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?"
    r"|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonnabend|sonntag"
    r"|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|lunes|martes|miércoles|jueves|viernes|sábado|domingo"
    r"|lunedì|martedì|mercoledì|giovedì|venerdì|sabato"
    r"|понедельник|вторник|среда|среду|четверг|пятница|пятницу|суббота|субботу|воскресенье)\b"
)
_MONTH = (
    r"\b(?:jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|mar(?:ch|s)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?|märz|mai|juni|juli|okt(?:ober)?|dez(?:ember)?"
    r"|février|avril|juin|juillet|août|septembre|octobre|novembre|décembre"
    r"|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre"
    r"|gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre"
    r"|января|февраля|марта|апреля|мая|июня|июля|августа|сентября|октября|ноября|декабря)\b"
)
# a date, a time or a price; a word such as "Friday" or "May" only beside its number
_DETAIL = re.compile(
    r"\d{1,2}(?:[:.h]\d\d)?\s?(?:[ap]m|[ap]\.m\.|h|uhr)(?!\w)|\d[:.h]\d\d|\d{1,2}[./-]\d{1,2}"
    r"|[$€£¥₽₩]\s?\d|\d\s?[$€£¥₽₩]|\d\s?%(?:\s?off\b)?"
    rf"|\d{{1,2}}(?:st|nd|rd|th|er|\.)?\s?(?:(?:of|de|di)\s)?{_MONTH}|{_MONTH}\W{{1,2}}\d{{1,4}}(?:st|nd|rd|th)?\b"
    rf"|{_WEEKDAY}(?=\W{{1,3}}\d{{1,2}}(?!\d|\s?%))|\d+\s?[月日点點時时월일시]",
    re.IGNORECASE,
)
# what may stand beside a detail and still says nothing else
_BESIDE = re.compile(
    rf"{_WEEKDAY}|[年년]|周[一二三四五六日]|星期[一二三四五六日天]|[月火水木金土日]曜日?|[（(][月火水木金土日][)）]"
    r"|[월화수목금토일]요일|上午|下午|晚上|午前|午後|오전|오후",
    re.IGNORECASE,
)
_REST = 3  # letters, enough for "at", "from" or "bis" and too few for a title; a Han character or kana counts as two
# what introduces the title or follows it, and never is it
_ASIDE = re.compile(
    r"\b(presents?|presented by|invites? you( to)?|proudly|featuring|introducing)$"
    r"|^(a|an|the)? ?(film|play|show|concert) by\b"
    r"|^(by|with|from|feat\.?|featuring|presented by|starring|in cinemas)\b|(présente|präsentiert|presenta|apresenta)$"
    r"|представляет$|παρουσιάζει$|呈现$|呈獻$|献映$|presents:$",
    re.IGNORECASE,
)
_LONG = 70  # characters; a longer text is read, not seen


def roles_of(texts: Sequence[str], roles: Sequence[str] | None = None) -> tuple[Role, ...]:
    """One role per text: those given, or inferred where there are none.

    Raises:
        ValueError: there are no texts, one is blank, or as `check_roles`.
    """
    if not texts:
        raise ValueError("the brief has no texts to place")
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise ValueError(f"text {number} is empty")
    return infer_roles(texts) if roles is None else check_roles(roles, texts)


def infer_roles(texts: Sequence[str]) -> tuple[Role, ...]:
    """One role per text.

    The title is the first text that is neither a call to action, nor only a date or a price, nor a paragraph, nor an
    aside such as "... presents" (else simply the first). The next text without any date or price is the subtitle; at
    most one call to action, the last text that reads like one; all else is body. A text before the title (a host's
    name above a show's) becomes the subtitle.
    """
    if not texts:
        return ()
    action = [bool(_ACTION.search(text)) and len(text) <= 40 for text in texts]
    short = [not action[i] and len(text) <= _LONG for i, text in enumerate(texts)]
    plain = [short[i] and not _DETAIL.search(text) for i, text in enumerate(texts)]
    heads = [short[i] and not _only_detail(text) and not _ASIDE.search(text.strip()) for i, text in enumerate(texts)]
    title = next((flags.index(True) for flags in (heads, plain) if True in flags), 0)
    roles: list[Role] = ["body"] * len(texts)
    roles[title] = "title"
    calls = [i for i in range(len(texts)) if action[i] and i != title]
    if calls:
        roles[calls[-1]] = "cta"
    beside = [i for i in range(len(texts)) if i != title and (plain[i] or i < title) and roles[i] == "body"]
    if beside:
        roles[beside[0]] = "subtitle"
    return tuple(roles)


def _only_detail(text: str) -> bool:
    """It gives a date, a time or a price and hardly anything else."""
    rest, found = _DETAIL.subn(" ", text)
    letters = (1 + (letter >= "\u2e80") for letter in _BESIDE.sub(" ", rest) if letter.isalpha())
    return found > 0 and sum(letters) <= _REST


def check_roles(roles: Sequence[str], texts: Sequence[str]) -> tuple[Role, ...]:
    """Roles that a user gives; "auto" leaves a text's role to `infer_roles`.

    Raises:
        ValueError: not one per text, an unknown role, or several titles.
    """
    if len(roles) != len(texts):
        raise ValueError(f"{len(roles)} roles for {len(texts)} texts; give one role per text")
    for role in roles:
        if role not in (*ROLES, AUTO):
            raise ValueError(f"unknown role {role!r}; the roles are {', '.join(ROLES)}, or {AUTO}")
    if list(roles).count("title") > 1:
        raise ValueError("two texts have the role title; a poster has one")
    free = [i for i, role in enumerate(roles) if role == AUTO]
    found = dict(zip(free, infer_roles([texts[i] for i in free]), strict=True))
    once = {"title", "cta"} & set(roles)  # what a poster has one of, and somebody has it already
    beside: Role = "body" if "subtitle" in (*roles, *found.values()) else "subtitle"
    for i, role in found.items():
        if role in once:
            found[i] = beside if role == "title" else "body"
    return tuple(found.get(i, cast(Role, role)) for i, role in enumerate(roles))
