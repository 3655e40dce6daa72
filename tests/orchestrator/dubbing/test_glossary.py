"""Terms of a glossary in sentences and translations."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dubbing.glossary import Term, disguises, find, missing, relevant, replaced, undisguised

DATABASE = Term("database", "base de datos")
SERVER = Term("database server", "servidor de base de datos")
NAME = Term("Elinor", "Elinor", case_sensitive=True)
TERMS = [DATABASE, SERVER, NAME]


def sources(text: str, terms: list[Term], language: str = "en") -> list[str]:
    return [found.term.source for found in find(text, terms, language)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The database is down.", ["database"]),
        ("A DATABASE SERVER and a database", ["database server", "database"]),
        ("databases and predatabase", []),
        ("the database-server", ["database"]),
        ("database  server", ["database server"]),
        ("elinor saw Elinor.", ["Elinor"]),
        ("Elinor's database!", ["Elinor", "database"]),
        ("", []),
    ],
)
def test_a_term_is_found_at_the_edges_of_words_and_the_longest_counts(text: str, found: list[str]) -> None:
    assert sources(text, TERMS) == found


def test_which_of_two_overlapping_terms_counts_does_not_depend_on_their_order() -> None:
    terms = [Term("red car", "a"), Term("car park", "b"), Term("park", "c")]
    expected = ["car park"]
    assert sources("a red car park", terms) == sources("a red car park", terms[::-1]) == expected


def test_languages_without_spaces_have_terms_inside_their_text() -> None:
    assert sources("東京都の天気", [Term("東京", "Tokyo"), Term("東京都", "Tokyo Prefecture")], "ja") == ["東京都"]
    assert sources("cat", [Term("at", "x")], "ja") == ["at"]


def test_terms_of_emoji_and_right_to_left_scripts_are_found() -> None:
    assert sources("مرحبا يا إلينور!", [Term("إلينور", "Elinor")], "ar") == ["إلينور"]
    assert sources("I am 🙂🙂 now", [Term("🙂", "contento")]) == ["🙂", "🙂"]
    assert sources("C++ and (.*) and a|b", [Term("C++", "C++"), Term("(.*)", "x"), Term("a|b", "y")]) == [
        "C++",
        "(.*)",
        "a|b",
    ]


def test_a_translation_lacks_what_it_has_too_seldom() -> None:
    sentence = "The database server is a database of Elinor."
    good = "El servidor de base de datos es una Base de datos de Elinor."
    assert missing(sentence, good, TERMS, "en", "es") == []
    assert missing(sentence, "El servidor de base de datos es de Elinor.", TERMS, "en", "es") == [DATABASE]
    assert missing(sentence, "Nada de elinor", TERMS, "en", "es") == [SERVER, DATABASE, NAME]


def test_two_terms_may_have_the_same_target() -> None:
    terms = [Term("car", "coche"), Term("auto", "coche")]
    assert missing("a car, an auto", "un coche, un coche", terms, "en", "es") == []
    assert missing("a car, an auto", "un coche", terms, "en", "es") == [terms[1]]


def test_a_disguise_is_taken_off_where_each_token_stands_once() -> None:
    spoken, token, *_ = disguises("The database of Elinor", TERMS, "en")
    assert (spoken.text, token.text) == ("The base de datos of Elinor", "The X11 of X12")
    assert undisguised("La x 11 de X12.", token) == "La base de datos de Elinor."
    assert undisguised("X11 de X12", token) == "Base de datos de Elinor"
    for broken in ("La X11", "X11 X11 X12", "X111 X12", "aX11 X12"):
        assert undisguised(broken, token) is None


def test_a_token_that_stands_in_the_sentence_is_not_used() -> None:
    assert all("X11" not in each.text.replace("X11 is", "") for each in disguises("X11 is a database", TERMS, "en"))
    assert len(disguises("X11 is a database", TERMS, "en")) == 3


def test_what_the_model_makes_of_a_term_alone_is_replaced_where_it_stands_as_often() -> None:
    alone = {DATABASE: ["Banco de datos.", "database"]}
    assert replaced("a database", "un banco de datos", [DATABASE], alone, "en", "es") == "un base de datos"
    assert replaced("a database", "dos bancos", [DATABASE], alone, "en", "es") is None
    assert replaced("a database", "banco de datos y banco de datos", [DATABASE], alone, "en", "es") is None
    assert replaced("a database", "una database", [DATABASE], alone, "en", "es") == "una base de datos"


def test_only_terms_that_some_text_has_are_relevant() -> None:
    assert relevant(TERMS, ["nothing", "my database server"], "en") == [SERVER]


WORDS = st.sampled_from(["database", "server", "Elinor", "elinor", "X11", "#12", "is", "é", "🙂", "(", "東京"])


@given(st.lists(WORDS, max_size=8), st.permutations(TERMS), st.sampled_from(["en", "ja", "ar"]))
def test_terms_found_do_not_overlap_and_a_disguise_taken_off_untranslated_has_all(
    words: list[str], terms: list[Term], language: str
) -> None:
    text = " ".join(words)
    found = find(text, terms, language)
    assert found == find(text, TERMS, language)
    assert all(one.end <= following.start for one, following in itertools.pairwise(found))
    for disguise in disguises(text, terms, language):
        back = undisguised(disguise.text, disguise)
        assert back is not None
        assert missing(text, back, terms, language, language) == []
