"""What callers type, checked once at the edge of every operation: names, keys, e-mail addresses, times."""

import re
import unicodedata
from collections.abc import Mapping, Sequence, Sized
from datetime import UTC, datetime, timedelta

import idna

from core.errors import Invalid
from core.secret import holds_secret
from core.specifiers import Malformed, Resource
from models import now
from resolvers.passwords import LONGEST, SHORTEST

KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")
_CONTROL = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_EAST_ASIAN = {"BOPOMOFO", "CJK", "HANGUL", "HIRAGANA", "IDEOGRAPHIC", "KATAKANA", "KATAKANA-HIRAGANA"}


def name(field: str, text: str, *, most: int = 256) -> str:
    """Take a name for people to read: at least one visible character, none that hides or breaks a line."""
    clean = _shown(field, text, most)
    if not clean:
        raise Invalid(field, "must not be empty")
    return clean


def description(field: str, text: str) -> str:
    """Take a description: up to 1,024 characters, empty allowed."""
    return _shown(field, text, 1024, breaks=True)


def key(field: str, text: str) -> str:
    """Take a key: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit."""
    if not KEY.fullmatch(text):
        shown = text if len(text) <= 64 else f"{text[:64]}…"  # noqa: PLR2004 - the longest key
        raise Invalid(field, f"must be 1 to 64 of a-z, 0-9, `.`, `_`, `-`, and begin with a letter or digit: `{shown}`")
    return text


def email(field: str, text: str) -> tuple[str, str]:
    """Take an e-mail address; returns it as it is shown and as it is compared (NFKC, case-folded).

    The domain is shown as DNS has it, in ASCII: so no letter in it looks like another. It is compared so too, where
    `straße.de` is not `strasse.de`. Neither side mixes alphabets, but those that East Asia writes beside each other.
    """
    typed = _shown(field, text, 320)
    local, _, domain = typed.rpartition("@")
    ascii_domain, domain = _domain(field, domain)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", local).casefold())
    compared = f"{folded}@{domain}"
    shown = _short(field, f"{local}@{ascii_domain}", 320)
    if not _EMAIL.fullmatch(shown) or not _EMAIL.fullmatch(compared):
        raise Invalid(field, "must be an e-mail address")
    for part in re.split(r"[@.]", compared):
        if len(_alphabets(part) - _EAST_ASIAN) > 1:
            raise Invalid(field, "must not mix letters of different alphabets, which look alike")
    return shown, compared


def _domain(field: str, text: str) -> tuple[str, str]:
    """Read a domain, by IDNA 2008; returns it as DNS has it and as people write it."""
    if text.isascii() and "xn--" not in text.lower():
        return text, text.lower()
    try:
        in_dns = idna.encode(text, uts46=True).decode()
        return in_dns, idna.decode(in_dns)
    except UnicodeError:
        raise Invalid(field, "must be an e-mail address") from None


def _alphabets(text: str) -> set[str]:
    """Name the alphabets that a text has letters of, by the first word of what Unicode calls these."""
    if text.isascii():
        return set()
    return {unicodedata.name(character, "").partition(" ")[0] for character in text if character.isalpha()}


def password(field: str, text: str) -> str:
    """Take a new password: 12 to 256 characters, as NIST SP 800-63B asks no more of its shape."""
    if not SHORTEST <= len(text) <= LONGEST:
        raise Invalid(field, f"must have {SHORTEST} to {LONGEST} characters")
    return text


def future(field: str, at: datetime) -> datetime:
    """Take a time that is still to come, aware; returns it in UTC."""
    _require_zone(field, at)
    if at <= now():
        raise Invalid(field, "must be in the future")
    return _utc(field, at, "must not be after the year 9999")


def past(field: str, at: datetime, *, slack_s: int) -> datetime:
    """Take a time that is not still to come, aware; returns it in UTC. Clocks may differ by `slack_s` seconds."""
    _require_zone(field, at)
    if at > now() + timedelta(seconds=slack_s):
        raise Invalid(field, "must not be in the future")
    return _utc(field, at)


def moment(field: str, at: datetime) -> datetime:
    """Take any time, aware; returns it in UTC."""
    _require_zone(field, at)
    return _utc(field, at)


def _require_zone(field: str, at: datetime) -> None:
    if at.tzinfo is None:
        raise Invalid(field, "must name its time zone, as in `2030-01-31T12:00:00Z`")


def _utc(field: str, at: datetime, problem: str = "must be a time that a calendar has") -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise Invalid(field, problem) from None


def comment(field: str, text: str | None) -> str | None:
    """Take a comment for the audit log: up to 1,024 characters."""
    return None if text is None else description(field, text) or None


def idempotency_key(field: str, text: str | None) -> str | None:
    """Take an idempotency key: 1 to 128 printable ASCII characters."""
    if text is not None and not re.fullmatch(r"[!-~]{1,128}", text):
        raise Invalid(field, "must be 1 to 128 printable ASCII characters without spaces")
    return text


def _shown(field: str, text: str, most: int, *, breaks: bool = False) -> str:
    # Composing takes time in the square of the length, so it is measured before as well as after.
    clean = unicodedata.normalize("NFC", _short(field, text.strip(), most)).strip()
    _short(field, clean, most)
    hidden = next((c for c in clean if unicodedata.category(c) in _CONTROL and not (breaks and c in "\n\t")), None)
    if hidden is not None:
        raise Invalid(field, f"must not hold the control character U+{ord(hidden):04X}")
    refuse_secret(field, clean)
    return clean


def refuse_secret(field: str, text: str) -> None:
    """Refuse a text with a secret in it, living or not: what is written is kept, and shown to others."""
    if holds_secret(text):
        raise Invalid(field, "holds what looks like a secret")


def _short(field: str, text: str, most: int) -> str:
    if len(text) > most:
        raise Invalid(field, f"must have at most {most} characters")
    return text


def role_attributes(field: str, given: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Take role attributes: up to 50 keys, each with 1 to 100 literal names."""
    _few(field, given, 50)
    for attribute, values in given.items():
        _word(field, attribute)
        if not values:
            raise Invalid(f"{field}.{attribute}", "must hold at least one name; leave the attribute out instead")
        _few(f"{field}.{attribute}", values, 100)
        for index, value in enumerate(values):
            _word(f"{field}.{attribute}[{index}]", value)
    return {attribute: list(values) for attribute, values in given.items()}


def _few(field: str, listed: Sized, most: int) -> None:
    if len(listed) > most:
        raise Invalid(field, f"must hold at most {most}")


def _word(field: str, text: str) -> None:
    try:
        Resource.of(("member", text))
    except Malformed as problem:
        raise Invalid(field, str(problem)) from None
