"""Settings and the one secret they keep."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from orchestrator.settings import Settings


def test_settings_come_from_the_environment_under_our_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTAVIA_API_PORT", "9000")
    assert Settings().api_port == 9000


def test_a_signing_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new")
    key = settings.signing_key()
    assert len(key) >= 43
    assert settings.signing_key() == key
    assert stat.S_IMODE((tmp_path / "new" / "secret").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["secret"]


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: settings.signing_key(), range(64)))) == 1


def test_a_given_secret_is_used_and_none_is_written(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, jwt_secret=SecretStr("k" * 32))
    assert settings.signing_key() == "k" * 32
    assert not list(tmp_path.iterdir())


def test_a_short_secret_is_refused_without_being_shown() -> None:
    with pytest.raises(ValidationError) as refusal:
        Settings(jwt_secret=SecretStr("tooshort"))
    assert "tooshort" not in str(refusal.value)


def test_a_secret_does_not_show_in_a_representation() -> None:
    assert "kkkk" not in repr(Settings(jwt_secret=SecretStr("k" * 32)))
