"""Languages go by every name that people call them, and nothing else passes for one."""

import re
import unicodedata

import pytest

from qkv import languages
from qkv.errors import QkvError

KNOWN = ("cs", "de", "en", "fr", "ko", "pt-BR", "zh_Hans", "zh_Hant")


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        *((name, "de") for name in ("de", "DE", "De", " de ", "deu", "DEU", "ger", "german", "German", "GERMAN")),
        *((name, "de") for name in ("Deutsch", "deutsch")),
        *((name, "fr") for name in ("fra", "fre", "French", "français", "Français", "francais", "FRANÇAIS")),
        (unicodedata.normalize("NFD", "français"), "fr"),
        *((name, "cs") for name in ("ces", "cze", "czech", "Čeština", "cestina", "česky")),
        *((name, "ko") for name in ("kor", "Korean", "한국어", unicodedata.normalize("NFD", "한국어"))),
        *((name, "pt-BR") for name in ("pt-BR", "pt-br", "pt_BR", "PT_br", "por-BR", "pt", "por", "Portuguese")),
        *((name, "zh_Hans") for name in ("zh-hans", "zho_Hans", "cmn-Hans", "ZH_HANS")),
    ],
)
def test_a_language_is_known_by_all_its_names(asked: str, meant: str) -> None:
    assert languages.find(asked, KNOWN) == meant


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("dee", "no 'dee'; did you mean 'de'? choose from cs, de, en"),
        ("germn", "no 'germn'; did you mean 'german'? choose from"),
        ("Detusch", "no 'Detusch'; did you mean 'deutsch'? choose from"),
        ("de-AT", "no 'de-AT'; did you mean 'de'? choose from"),
        ("pt-PT", "no 'pt-PT'; did you mean 'pt-BR'? choose from"),
        ("zh", "'zh' may be zh_Hans or zh_Hant; choose from"),
        ("Chinese", "'Chinese' may be zh_Hans or zh_Hant; choose from"),
        ("xx", "no 'xx'; choose from cs, de, en, fr, ko, pt-BR, zh_Hans, zh_Hant"),
        ("japanese", "no 'japanese'; "),
        ("", "no ''; choose from"),
    ],
)
def test_what_is_not_known_or_ambiguous_is_refused(asked: str, said: str) -> None:
    with pytest.raises(QkvError, match=f"^{re.escape(said)}"):
        languages.find(asked, KNOWN, "no")


def test_a_name_of_the_data_goes_before_the_table() -> None:
    assert languages.find("german", ("german", "de")) == "german"
    assert languages.find("klingon", ("klingon", "english")) == "klingon"
    assert languages.find("EN", ("klingon", "english")) == "english"
    assert languages.find("Klingon", ("klingon", "english")) == "klingon"
    assert languages.find("eng", ("eng_Latn", "deu_Latn")) == "eng_Latn"
    assert languages.find("german", ("eng_Latn", "deu_Latn")) == "deu_Latn"


@pytest.mark.parametrize(
    ("name", "code"),
    [("German", "de"), ("DE", "de"), ("DEU", "de"), ("de", "de"), ("deu", "deu"), ("pt-BR", "pt-BR"), ("한국어", "ko")]
    + [(own, own) for own in ("klingon", "src", "tgt", "old", "modern", "zh_Hans", "xx", "simple english")],
)
def test_names_of_new_data_become_codes_and_made_up_ones_stay(name: str, code: str) -> None:
    assert languages.code(name) == code


@pytest.mark.parametrize("name", ["germn", "Englisch!", "frnech", "koraen"])
def test_nearly_a_name_is_refused(name: str) -> None:
    with pytest.raises(QkvError, match=rf"^there is no language '{name}'; did you mean '\w+'\? Its code is \w\w$"):
        languages.code(name)


def test_no_two_languages_of_the_table_share_a_name() -> None:
    lines = [re.split(": |, ", line) for line in languages._TABLE.strip().splitlines()]
    keys = [key for codes, *names in lines for key in set(map(languages._key, [*codes.split(), *names]))]
    assert len(keys) == len({*keys}) and len(lines) > 80
    firsts = [codes.split()[0] for codes, *_ in lines]
    assert firsts == sorted(firsts)
    assert all(re.fullmatch("[a-z]{2,3}", code) for codes, *_ in lines for code in codes.split())
    assert all(languages.find(word, firsts) == codes.split()[0] for codes, *names in lines for word in names)
