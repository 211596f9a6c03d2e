import pytest

from headgate.data.encodings import decoded
from headgate.data.parsing import parse_file

WESTERN = "text,label\nMerci, à bientôt. Le café est très bien,x\nGrüße aus München,x\n"


def test_utf_8_is_read_without_a_remark() -> None:
    assert decoded(b"\xef\xbb\xbf" + WESTERN.encode()).text == WESTERN
    assert decoded(WESTERN.encode()).remark is None


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Merci, à bientôt. Le café est très bien, “vraiment”"),
        ("cp1252", "Grüße aus München, wir können später sprechen"),
        ("cp1251", "Здравствуйте, не интересно, спасибо. Отпишите меня от рассылки."),
        ("cp1250", "Dziękuję, nie jestem zainteresowany. Proszę o wypisanie mnie z listy. Źródło żółć"),
        ("shift_jis", "お問い合わせありがとうございます。興味がありません。"),
        ("gb18030", "您好。我们不感兴趣。谢谢。请取消订阅。"),
        ("euc_kr", "관심이 없습니다. 감사합니다."),
    ],
)
def test_an_older_encoding_is_detected_and_told(encoding: str, text: str) -> None:
    found = decoded(f"text,label\n{text},x\n".encode(encoding))
    assert found.text == f"text,label\n{text},x\n"
    assert found.remark is not None
    assert found.remark.startswith(f"not UTF-8: read as {encoding}, which was detected")
    assert found.remark.endswith(f"look at its accented letters: {(text + ',x')[:80]!r}")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_its_mark_is_known_by_its_zeros(encoding: str) -> None:
    found = decoded(WESTERN.encode(encoding))
    assert (found.text, found.remark) == (WESTERN, f"read as {encoding.upper()}, which its zero bytes show; it has no byte order mark")


def test_a_damaged_utf_8_file_is_not_taken_for_another_encoding() -> None:
    data = WESTERN.encode() + b"caf\xe9,y\n"
    found = parse_file("a.csv", data.replace(b"Merci, ", b"Merci "))
    assert len(found.rows) == 2
    assert [str(row) for row in found.bad] == [
        "a.csv, line 4: expected UTF-8, found the byte 0xe9; as Windows-1252 it would read 'café,y\\n'; "
        "save the file as UTF-8 and land it again"
    ]
    assert found.notices == ("a.csv: UTF-8 with damaged bytes; the rows that hold them are refused",)


def test_a_long_line_costs_time_in_its_length_only() -> None:
    assert decoded(b"a long text " * 250_000 + b"caf\xe9").text.endswith("café")
