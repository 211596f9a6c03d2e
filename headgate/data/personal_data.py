"""Kinds of personal data that a text holds; which data it is never leaves this module.

Numbers count only where their checksum is right, so that an order number is rarely taken for a card; numbers of people without any
checksum (such as the US social security number), and those written like a phone number (the NHS number), are not told.
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator
from functools import cache
from importlib import import_module
from typing import Any

import phonenumbers
from stdnum import iban, luhn

from headgate.errors import BadSettings

EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.)+[^\W\d_]{2,63}\b")
PHONE = re.compile(r"(?<![\w.,/+-])(?:\+|\(\+?|00|0|\d)[\d\s().\-/]{6,20}\d(?![\w])")
SEPARATED = re.compile(r"\d[\s().\-/]+\d")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
# Looked for at every place, since a group of four digits before a card seems to belong to it.
CARD = re.compile(r"(?<![\w.-])(?=(\d{13,19}|\d{4}(?:[ -]\d{4}){3}|3\d{3}[ -]\d{6}[ -]\d{5})(?![\w-]))")
ISSUERS = re.compile(r"4|5[1-5]|2[2-7]|3[47]|6(?:011|5)|35")
ADDRESS = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:]*)(?![\w:]|\.\d)")
DATE = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{4}|\d{4}[./-]\d{2}[./-]\d{2}")
# Ids of people whose form is telling: letters, a birth date or a fixed start beside the checksum.
NATIONAL = {
    "be.nn": r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}",
    "br.cpf": r"\d{3}\.\d{3}\.\d{3}-\d{2}",
    "ch.ssn": r"756\.?\d{4}\.?\d{4}\.?\d{2}",
    "cn.ric": r"\d{17}[\dXx]",
    "es.dni": r"\d{8}-?[A-Za-z]",
    "es.nie": r"[XYZxyz]-?\d{7}-?[A-Za-z]",
    "fi.hetu": r"\d{6}[-+A-Fa-f]\d{3}[\dA-Za-z]",
    "fr.nir": r"[1-478]\s?\d{2}\s?\d{2}\s?[\dABab]{5}\s?\d{3}\s?\d{2}|[1-478] \d{2} \d{2} [\dABab]{2} \d{3} \d{3} \d{2}",
    "it.codicefiscale": r"[A-Za-z]{6}\d{2}[A-Za-z]\d{2}[A-Za-z]\d{3}[A-Za-z]",
    "mx.curp": r"[A-Za-z]{4}\d{6}[A-Za-z]{6}[\dA-Za-z]\d",
    "no.fodselsnummer": r"\d{6} ?\d{5}",
    "pl.pesel": r"\d{11}",
    "ro.cnp": r"\d{13}",
    "se.personnummer": r"(?:\d{2})?\d{6}[-+]\d{4}",
}


def personal_data(text: str, regions: Collection[str] = ()) -> dict[str, int]:
    """How many of each kind a text holds: email, phone, iban, card, ip, national_id.

    regions: ISO 3166 codes of countries whose phone numbers count without +country; they must be written with separators or a leading 0.
    """
    if "@" not in text and not _has_digits(text):
        return {}
    known = tuple(regions)
    counts = {kind: count(text) for kind, count in KINDS.items()}
    counts |= {"phone": _phones(text, known), "national_id": _national_ids(text, known)}
    return {kind: count for kind, count in sorted(counts.items()) if count}


def checked_regions(regions: Collection[str]) -> tuple[str, ...]:
    """The regions themselves; BadSettings if phonenumbers does not know one of them."""
    if unknown := sorted({*regions} - phonenumbers.SUPPORTED_REGIONS):
        raise BadSettings(
            f"data_checks.phone_regions: expected ISO 3166 codes of countries with phone numbers, such as US or GB, "
            f"found {', '.join(map(repr, unknown))}"
        )
    return tuple(regions)


def _has_digits(text: str, least: int = 4) -> bool:
    return sum(character.isdigit() for character in text) >= least


def _emails(text: str) -> int:
    return len(EMAIL.findall(text)) if "@" in text else 0


def _ibans(text: str) -> int:
    return sum(map(iban.is_valid, _matches(IBAN, text)))


def _cards(text: str) -> int:
    """Luhn's checksum, and the start of a known issuer's range."""
    return sum(bool(ISSUERS.match(number)) and luhn.is_valid(re.sub(r"[ -]", "", number)) for number in CARD.findall(text))


def _addresses(text: str) -> int:
    return sum(map(_is_address, _matches(ADDRESS, text)))


def _is_address(found: str) -> bool:
    """Of a machine that somebody can be behind; a clock time or a version number of three parts is none."""
    try:
        return not ipaddress.ip_address(found).is_unspecified
    except ValueError:
        return False


def _national_ids(text: str, regions: tuple[str, ...]) -> int:
    """Each stretch of text once, whatever it may be an id of; what is a phone number as well is taken for that."""
    found = {match.span(): match.group() for form, valid in _national() for match in form.finditer(text) if valid(match.group())}
    return sum(not _is_phone(number, regions) for number in found.values())


@cache
def _national() -> tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...]:
    return tuple((re.compile(rf"(?<![\w.-])(?:{form})(?![\w-])"), _module(name).is_valid) for name, form in NATIONAL.items())


def _module(name: str) -> Any:
    return import_module(f"stdnum.{name}")


def _phones(text: str, regions: tuple[str, ...]) -> int:
    return sum(_is_phone(found, regions) for found in _matches(PHONE, text))


def _is_phone(found: str, regions: tuple[str, ...]) -> bool:
    if found.lstrip("(").startswith(("+", "00")):
        return _valid_phone("+" + found.lstrip("(+0"), None)
    if DATE.match(found):
        return False
    telling = found.startswith(("0", "(")) or SEPARATED.search(found)
    return bool(telling) and any(_valid_phone(found, region) for region in regions)


def _valid_phone(found: str, region: str | None) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(found, region))
    except phonenumbers.NumberParseException:
        return False


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    return (match.group() for match in pattern.finditer(text))


KINDS: dict[str, Callable[[str], int]] = {
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "ip": _addresses,
}
