"""The licence gate: what it clears, what it refuses, and that nothing loads past it."""

import logging
from pathlib import Path

import pytest

from serve.app import assemble
from serve.catalogue import CatalogueEntry, load_catalogue
from serve.licences import admit, cleared, notice, reason
from serve.settings import CHECKOUT, ServeSettings
from serve.terms import objection, objections
from serve.triton_backend import PythonModel
from serve.weights import ensure, selection, selection_for
from serve.weights_errors import CatalogueError, LicenceRefusedError
from serve.weights_pull import pull

COMMITTED = CHECKOUT / "model_repo" / "catalogue.toml"


def settings(**values: object) -> ServeSettings:
    return ServeSettings.model_validate({"weights": "starter"} | values)


def entry(**more: object) -> CatalogueEntry:
    values = {"name": "x", "model": "whisper", "source": "file:m", "languages": ["en"], "licence": "MIT"}
    return CatalogueEntry.model_validate(values | {"licence_chain": "MIT: all", "paid_use": True} | more)


@pytest.mark.parametrize(
    "term",
    [
        "CC-BY-NC-4.0: MMS by Meta",
        "CC BY-NC-ND: YourTTS",
        "cc-by-nc-sa-4.0",
        "CPML: XTTS-v2, weights and outputs",
        "Coqui Public Model License",
        "research only: Lessac",
        "for research purposes: Blizzard 2013",
        "non-commercial: a corpus",
        "noncommercial use",
        "academic licence",
        "personal use",
        "no commercial use",
        "commercial use prohibited",
        "unknown: scraped",
        "not stated: its data",
        "proprietary: a studio's recordings",
        "none",
        "?",
    ],
)
def test_a_chain_with_one_link_that_forbids_paid_use_cannot_be_cleared(tmp_path: Path, term: str) -> None:
    assert objection(term)
    path = tmp_path / "catalogue.toml"
    path.write_text(
        '[[weights]]\nname = "w"\nmodel = "whisper"\nsource = "file:m"\nlanguages = ["en"]\nlicence = "MIT"\n'
        f'licence_chain = ["MIT: conversion", "{term}", "CC0-1.0: data"]\npaid_use = true\n'
    )
    with pytest.raises(CatalogueError, match="paid_use = true contradicts its licences") as refused:
        load_catalogue(path)
    assert term in str(refused.value)
    path.write_text(path.read_text().replace("paid_use = true", "paid_use = false"))
    assert not cleared(load_catalogue(path).get("w"))


@pytest.mark.parametrize(
    "term", ["MIT: Encoder", "CC-BY-4.0: NCI", "Apache-2.0: research group of Helsinki", "CC0-1.0"]
)
def test_a_licence_is_not_mistaken_for_one_that_forbids(term: str) -> None:
    assert objection(term) is None


def test_the_licence_itself_counts_as_its_chain_does_and_no_chain_clears_nothing() -> None:
    with pytest.raises(ValueError, match=r"'CC-BY-NC-4\.0' is non-commercial"):
        entry(licence="CC-BY-NC-4.0")
    with pytest.raises(ValueError, match="licence_chain"):
        entry(licence_chain=[" "])
    assert objections("MIT", ()) == ["the chain of licences it was made from is not stated"]
    assert not cleared(entry().model_copy(update={"licence_chain": ()}))


def test_without_billing_everything_is_admitted() -> None:
    starter = selection(settings())
    assert any(not item.paid_use for item in starter)
    for item in starter:
        admit(item, settings())


def test_with_billing_what_is_not_cleared_is_refused_unless_opted_in_by_name() -> None:
    joe = load_catalogue(COMMITTED).get("en-joe")
    with pytest.raises(LicenceRefusedError, match=r"lessac.*OCTAVIA_ALLOW_WEIGHTS"):
        admit(joe, settings(billing=True))
    admit(joe, settings(billing=True, allow_weights=["en-joe"]))


def test_a_toy_translation_never_loads_under_billing_even_when_opted_in() -> None:
    name = "starter-opus-mt-en-es"
    toy = load_catalogue(COMMITTED).get(name)
    with pytest.raises(LicenceRefusedError, match="never loads while billing is on"):
        admit(toy, settings(billing=True, allow_weights=[name]))


def test_with_billing_the_starter_set_shrinks_to_what_is_cleared_and_each_refused_one_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert [item.name for item in selection(settings(billing=True))] == ["whisper-base"]
    assert "en-joe is not cleared" in caplog.text
    assert "starter-opus-mt-en-es is a toy" in caplog.text


def test_a_refused_entry_is_neither_fetched_by_name_nor_loaded_where_it_lies(tmp_path: Path) -> None:
    with pytest.raises(LicenceRefusedError):
        list(pull(settings(billing=True, weights_dir=tmp_path), ["en-joe"]))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "m").mkdir()
    mine = entry(base=tmp_path, licence_chain="research only: mine", paid_use=False)
    assert ensure(mine, settings()).folder == tmp_path / "m"
    with pytest.raises(LicenceRefusedError, match="x is not cleared for paid use"):
        ensure(mine, settings(billing=True))


def test_a_plane_that_billing_leaves_without_weights_for_a_model_does_not_start_and_names_the_refused() -> None:
    assert [item.name for item in selection_for(["whisper", "vad"], settings(billing=True))] == ["whisper-base"]
    with pytest.raises(
        LicenceRefusedError, match=r"opus_mt is left without weights.*en-es: a toy translation"
    ) as refused:
        selection_for(["whisper", "opus_mt"], settings(billing=True))
    assert "starter-opus-mt-en-de" in str(refused.value)
    with pytest.raises(LicenceRefusedError, match=r"coqui_tts is left without weights.*en-joe.*research only"):
        assemble(settings(billing=True), {})


def test_triton_does_not_load_what_billing_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    class Voices(PythonModel):
        model = "coqui_tts"

    monkeypatch.setattr("serve.triton_backend.import_module", lambda _: None)
    monkeypatch.setattr("serve.triton_backend.get_settings", lambda: settings(billing=True))
    with pytest.raises(LicenceRefusedError, match="coqui_tts is left without weights"):
        Voices().initialize({"model_repository": str(CHECKOUT / "model_repo" / "coqui_tts")})


def test_every_entry_that_is_cleared_has_nothing_against_it_and_every_other_has_a_reason() -> None:
    for item in load_catalogue(COMMITTED).entries:
        assert cleared(item) == item.paid_use, item.name
        assert (reason(item) is None) == item.paid_use, item.name


def test_what_asks_for_credit_gets_author_licence_link_and_what_was_changed() -> None:
    opus = load_catalogue(COMMITTED).get("opus-mt-en-es")
    assert notice(opus) == (
        "Opus-MT by the Language Technology Research Group at the University of Helsinki. "
        "Licence: CC BY 4.0, https://creativecommons.org/licenses/by/4.0/. "
        "Changed: converted to CTranslate2 with 8-bit weights."
    )
    assert notice(entry()) == ""
