"""Which text of a brief is the title, the subtitle, a detail, or the call to action; from order and content."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

from posterkit.layout.types import ROLES, Role

_ACTION = re.compile(
    r"https?://|www\.|\b[\w-]+\.(com|org|net|io|de|fr|it|es|uk|eu|ru|gr|cn|jp|kr|co)\b|^@\w|\S@\S+\.\S"
    r"|\b(book|buy|get|join|shop|order|register|reserve|rsvp|sign up|subscribe|call|scan|visit|discover|learn more|"
    r"try|start)\b(?=.*\b(now|today|tickets?|seats?|here|us|online|in|yours?|table|for free|more|menu|app)\b)"
    r"|^(rsvp|sign up|learn more|shop now|free entry|tickets?|get tickets|jetzt .*|réservez.*|reserva.*|billets?)\b"
    r"|купить|билеты|заказать|регистрация|записаться|εισιτήρια|κρατήσεις|购票|购买|报名|预订|立即|扫码|扫描|立刻|"
    r"予約|申込|購入|チケット|예매|구매|신청|예약|احجز|اشتر|سجل|הזמינו|כרטיסים",
    re.IGNORECASE,
)
_DETAIL = re.compile(
    r"\d\s?(am|pm|h|uhr)\b|\d[:.h]\d\d|\b(19|20)\d\d\b|[$€£¥₽₩]\s?\d|\d\s?[$€£¥₽₩%]|\d{1,2}[./-]\d{1,2}"
    r"|\b(mon|tue|wed|thu|fri|sat|sun)[a-z]*\b.*\d|\d+\s?(月|日|点|時|时|월|일|시)"
    r"|\d.*\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b"
    r"|\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b.*\d"
    r"|\d.*\b(января|февраля|марта|апреля|мая|июня|июля|августа|сентября|октября|ноября|декабря)\b",
    re.IGNORECASE,
)
# what introduces the title or follows it, and never is it
_ASIDE = re.compile(
    r"\b(presents?|presented by|invites? you( to)?|proudly|featuring|introducing)$"
    r"|^(a|an|the)? ?(film|play|show|concert) by\b"
    r"|^(by|with|from|feat\.?|featuring|presented by|starring|in cinemas)\b|(présente|präsentiert|presenta|apresenta)$"
    r"|представляет$|παρουσιάζει$|呈现$|呈獻$|献映$|presents:$",
    re.IGNORECASE,
)
_LONG = 70  # characters; a longer text is read, not seen


def infer_roles(texts: Sequence[str]) -> tuple[Role, ...]:
    """One role per text.

    The title is the first text that is neither a call to action, nor a date or a price, nor a paragraph, nor an aside
    such as "... presents" (else simply the first). The next such text is the subtitle; at most one call to action, the
    last text that reads like one; all else is body. A text before the title (a host's name above a show's) becomes
    the subtitle.
    """
    if not texts:
        return ()
    action = [bool(_ACTION.search(text)) and len(text) <= 40 for text in texts]
    plain = [not action[i] and not _DETAIL.search(text) and len(text) <= _LONG for i, text in enumerate(texts)]
    heads = [plain[i] and not _ASIDE.search(text.strip()) for i, text in enumerate(texts)]
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


def check_roles(roles: Sequence[str], texts: Sequence[str]) -> tuple[Role, ...]:
    """Roles that a user gives.

    Raises:
        ValueError: not one per text, an unknown role, or no title or several.
    """
    if len(roles) != len(texts):
        raise ValueError(f"{len(roles)} roles for {len(texts)} texts; give one role per text")
    checked: list[Role] = []
    for role in roles:
        if role not in ROLES:
            raise ValueError(f"unknown role {role!r}; the roles are {', '.join(ROLES)}")
        checked.append(cast(Role, role))
    if checked.count("title") > 1:
        raise ValueError("two texts have the role title; a poster has one")
    return tuple(checked)
