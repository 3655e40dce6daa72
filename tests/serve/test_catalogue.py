"""What catalogue.toml may say, and what the committed one does say."""

from pathlib import Path

import pytest

from serve.catalogue import CatalogueEntry, load_catalogue
from serve.settings import CHECKOUT
from serve.weights_errors import CatalogueError

COMMITTED = CHECKOUT / "model_repo" / "catalogue.toml"
WHISPER = {
    "name": '"w"',
    "model": '"whisper"',
    "source": '"hf:a/b@main"',
    "languages": '["en"]',
    "licence": '"MIT"',
    "licence_chain": '"MIT"',
    "paid_use": "true",
}
MARIAN = WHISPER | {"name": '"m"', "model": '"opus_mt"', "source_language": '"en"', "target_language": '"es"'}
MARIAN.pop("languages")


def entry(values: dict[str, str], **changes: str | None) -> str:
    """One [[weights]] table; a change to None leaves the key out."""
    merged = values | {key: value for key, value in changes.items() if value is not None}
    lines = [f"{key} = {value}" for key, value in merged.items() if key not in changes or changes[key] is not None]
    return "[[weights]]\n" + "\n".join(lines) + "\n"


def write(folder: Path, *tables: str) -> Path:
    path = folder / "catalogue.toml"
    path.write_text("\n".join(tables), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"source": '"ftp:server/file"'}, "unknown source 'ftp:server/file'"),
        ({"source": '"/home/me/model"'}, "unknown source"),
        ({"source": '"hf:a/b"'}, "not of the form hf:owner/repository@revision"),
        ({"source": '"hf:b@main"'}, "not of the form hf:"),
        ({"source": '"pypi:thing"'}, "not of the form pypi:name==version"),
        ({"source": '"pypi:thing>=1"'}, "not of the form pypi:"),
        ({"source": '"pypi:--index-url=http://evil==1"'}, "not of the form pypi:"),
        ({"source": '"coqui:vocoder_models/en/a/b"'}, "not of the form coqui:"),
        ({"source": "[]"}, "source"),
        ({"source": "3"}, "source"),
        ({"licence": None}, "licence: Field required"),
        ({"licence": '"  "'}, "licence"),
        ({"licence_chain": None}, "licence_chain: Field required"),
        ({"licence_chain": "[]"}, "licence_chain"),
        ({"paid_use": None}, "paid_use: Field required"),
        ({"paid_use": '"yes"'}, "paid_use"),
        ({"model": '"gpt"'}, "model"),
        ({"model": None}, "model"),
        ({"name": '"../escape"'}, "name"),
        ({"name": '"Upper"'}, "name"),
        ({"name": '""'}, "name"),
        ({"languages": "[]"}, "needs languages"),
        ({"languages": '["English"]'}, "languages"),
        ({"sha256": '{ "model.bin" = "abc" }'}, "sha256.model.bin"),
        ({"sha256": '{ "model.bin" = "' + "G" * 64 + '" }'}, "sha256.model.bin"),
        ({"files": '["../evil"]'}, "files"),
        ({"files": '["a/../b", "*.bin"]'}, "files"),
        ({"files": '"/etc/*"'}, "files"),
        ({"sets": '["everything"]'}, "sets"),
        ({"convert": '"magic"'}, "convert"),
        ({"download_bytes": "-1"}, "download_bytes"),
        ({"license": '"MIT"'}, "license: Extra inputs are not permitted"),
        ({"toy": "true"}, "a toy is never cleared for paid use"),
        ({"like": '"nobody"'}, r"there is no \[like.nobody\]"),
    ],
)
def test_an_entry_that_cannot_be_meant_is_refused_naming_file_entry_and_key(
    tmp_path: Path, changes: dict[str, str | None], complaint: str
) -> None:
    path = write(tmp_path, entry(WHISPER, **changes))
    with pytest.raises(CatalogueError, match=complaint) as caught:
        load_catalogue(path)
    assert str(path) in str(caught.value)
    assert "entry 1" in str(caught.value)


@pytest.mark.parametrize("missing", ["source_language", "target_language"])
def test_a_translation_without_its_pair_is_refused(tmp_path: Path, missing: str) -> None:
    with pytest.raises(CatalogueError, match="needs source_language and target_language"):
        load_catalogue(write(tmp_path, entry(MARIAN, **{missing: None})))


@pytest.mark.parametrize(("languages", "converter"), [(None, "false"), ('["en"]', "true")])
def test_a_voice_has_languages_and_a_converter_has_none(tmp_path: Path, languages: str | None, converter: str) -> None:
    changes = {"model": '"coqui_tts"', "languages": languages, "converter": converter}
    with pytest.raises(CatalogueError, match="unless it is a converter"):
        load_catalogue(write(tmp_path, entry(WHISPER, **changes)))


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="two entries are named 'w'"):
        load_catalogue(write(tmp_path, entry(WHISPER), entry(WHISPER)))


def test_two_models_for_one_pair_in_one_set_are_refused(tmp_path: Path) -> None:
    one, two = entry(MARIAN, sets='["standard"]'), entry(MARIAN, name='"n"', sets='["standard"]')
    with pytest.raises(CatalogueError, match="'m' and 'n' are both en→es in standard"):
        load_catalogue(write(tmp_path, one, two))
    other_set = entry(MARIAN, name='"n"', sets='["starter"]')
    assert len(load_catalogue(write(tmp_path, one, other_set)).entries) == 2


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("weights = [", "not valid TOML"),
        ("[[wheights]]\nname = 1", "unknown table 'wheights'"),
        ("\x00", "not valid TOML"),
    ],
)
def test_a_file_that_is_no_catalogue_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(CatalogueError, match=complaint):
        load_catalogue(write(tmp_path, content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"cannot read the catalogue .*nowhere\.toml"):
        load_catalogue(tmp_path / "nowhere.toml")


def test_like_fills_in_and_the_entry_has_the_last_word(tmp_path: Path) -> None:
    like = '[like.mit]\nlicence = "MIT"\nlicence_chain = ["MIT: all of it"]\npaid_use = true\n'
    path = write(tmp_path, like, entry(WHISPER, like='"mit"', licence=None, licence_chain=None, paid_use="false"))
    (found,) = load_catalogue(path).entries
    assert (found.licence, found.licence_chain, found.paid_use) == ("MIT", ("MIT: all of it",), False)
    assert found.base == tmp_path.resolve()


def test_a_second_catalogue_is_merged_when_it_is_there_and_its_paths_are_its_own(tmp_path: Path) -> None:
    first = write(tmp_path, entry(WHISPER))
    folder = tmp_path / "own"
    folder.mkdir()
    second = write(folder, entry(WHISPER, name='"mine"', source='"file:voice"'))
    catalogue = load_catalogue(first, second, tmp_path / "absent.toml")
    assert [item.name for item in catalogue.entries] == ["w", "mine"]
    assert catalogue.get("mine").base == folder.resolve()


def test_an_unknown_name_is_answered_with_close_ones(tmp_path: Path) -> None:
    catalogue = load_catalogue(COMMITTED)
    with pytest.raises(CatalogueError, match=r"did you mean .*opus-mt-en-es"):
        catalogue.get("opus-en-es")


def test_the_starter_set_needs_no_hub_and_is_all_there() -> None:
    starter = load_catalogue(COMMITTED).select("starter")
    assert {item.model for item in starter} == {"whisper", "opus_mt", "coqui_tts"}
    assert all(source.startswith(("pypi:", "file:")) for item in starter for source in item.sources)
    pairs = {(item.source_language, item.target_language) for item in starter if item.model == "opus_mt"}
    assert pairs >= {("en", "es"), ("es", "en"), ("en", "de")}
    assert all(item.toy and not item.paid_use for item in starter if item.model == "opus_mt")
    assert all(item.sha256 for item in starter if any(source.startswith("pypi:") for source in item.sources))


def test_the_starter_voice_is_not_cleared_for_paid_use_because_of_what_it_was_tuned_from() -> None:
    joe = load_catalogue(COMMITTED).get("en-joe")
    assert not joe.paid_use
    assert joe.stand_in_for == "*"
    assert any("lessac" in link and "research" in link for link in joe.licence_chain)


def test_the_standard_set_translates_every_language_to_and_from_english_and_credits_opus_mt() -> None:
    standard = load_catalogue(COMMITTED).select("standard")
    marian = [item for item in standard if item.model == "opus_mt"]
    pairs = {(item.source_language, item.target_language) for item in marian}
    for code in ["es", "fr", "de", "it", "ru", "nl", "pl", "sv", "da", "fi", "cs", "uk", "ar", "hi", "zh"]:
        assert {("en", code), (code, "en")} <= pairs
    assert all(item.licence == "CC-BY-4.0" and "Helsinki" in item.attribution for item in marian)
    assert not any(item.toy for item in standard)


def test_every_entry_says_where_its_licence_comes_from() -> None:
    for item in load_catalogue(COMMITTED).entries:
        assert all(":" in link for link in item.licence_chain), item.name


def test_an_entry_cannot_be_changed() -> None:
    item = load_catalogue(COMMITTED).entries[0]
    assert isinstance(item, CatalogueEntry)
    with pytest.raises(ValueError, match="frozen"):
        item.paid_use = True
