"""Personal data is told by kind, where its form and checksum are right."""

import pytest

from headgate.data.encoding_damage import is_damaged
from headgate.data.label_names import misspelt
from headgate.data.personal_data import checked_regions, personal_data
from headgate.errors import BadSettings

REGIONS = ("US", "GB")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("write to bob.o-neil+x@sub.example.co.uk.", {"email": 1}),
        ("call +44 20 7946 0958 or +1 (650) 253-0000", {"phone": 2}),
        ("0044 20 7946 0958", {"phone": 1}),
        ("my office: (650) 253-0000", {"phone": 1}),
        ("DE89 3704 0044 0532 0130 00", {"iban": 1}),
        ("card 4111 1111 1111 1111, exp 12/29", {"card": 1}),
        ("from 192.168.1.10 and fe80::1", {"ip": 2}),
        ("DNI 12345678Z", {"national_id": 1}),
        ("PESEL: 44051401359", {"national_id": 1}),
        ("codice fiscale RSSMRA85T10A562S.", {"national_id": 1}),
        ("personnummer 811228-9874", {"national_id": 1}),
    ],
)
def test_personal_data_is_counted_by_kind(text: str, found: dict[str, int]) -> None:
    assert personal_data(text, REGIONS) == found


@pytest.mark.parametrize(
    "text",
    [
        "order 732201349959 of 18/03/2026 14:05, ticket 12345678",
        "card 4111 1111 1111 1112",
        "DE88 3704 0044 0532 0130 00",
        "version 1.2.3 at 10:30:15, 300.1.1.1",
        "44051401358 and 12345678A",
        "1,000,000.00 or 10 000 000",
        "twitter @headgate, see a@b",
    ],
)
def test_numbers_with_a_wrong_checksum_dates_and_prices_are_none(text: str) -> None:
    assert personal_data(text, REGIONS) == {}


def test_numbers_without_a_country_count_where_the_country_is_named() -> None:
    assert personal_data("030 901820", ("DE",)) == {"phone": 1}
    assert personal_data("(650) 253-0000") == {}


@pytest.mark.parametrize("text", ["fÃ¼r", "lâ€™Ã©tÃ©", "Ã\x83Â¼ber", "caf\N{REPLACEMENT CHARACTER}"])
def test_broken_characters_are_seen(text: str) -> None:
    assert is_damaged(text)


@pytest.mark.parametrize("text", ["für l\u2019été \u2013 naïve «ok»", "Здравствуйте", "今日は雨ですか", "plain", "🎉 €5", "İstanbul'da"])
def test_whole_characters_of_any_language_are_not_broken(text: str) -> None:
    assert not is_damaged(text)


@pytest.mark.parametrize("label", ["Objection/Budget", "objection-budget", "objection/bugdet", "objection/budge", "objection/budgett"])
def test_a_label_in_another_spelling_is_named_with_the_known_one(label: str) -> None:
    assert misspelt([label], ["positive", "objection/budget"]) == [(label, "objection/budget")]


@pytest.mark.parametrize("label", ["objection/timing", "objection/budget/2", "negative", "objection"])
def test_another_label_is_none_of_them(label: str) -> None:
    assert misspelt([label], ["positive", "objection/budget"]) == []


def test_digits_and_short_words_tell_labels_apart_and_new_ones_are_compared_with_one_another() -> None:
    assert misspelt(["plan a", "plan b", "level1", "level2", "yes", "yet"], []) == []
    assert misspelt(["Refund", "refund"], []) == [("refund", "Refund")]


def test_a_region_without_phone_numbers_is_refused() -> None:
    assert checked_regions(("US", "GB")) == ("US", "GB")
    with pytest.raises(BadSettings) as told:
        checked_regions(("US", "UK", "AA"))
    assert str(told.value) == (
        "data_checks.phone_regions: expected ISO 3166 codes of countries with phone numbers, such as US or GB, found 'AA', 'UK'"
    )
