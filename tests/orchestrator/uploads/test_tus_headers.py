"""The headers of the tus protocol: read strictly, written as the protocol says."""

import base64
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.uploads import tus
from orchestrator.uploads.tus import InvalidHeaderError, UnsupportedVersionError, WrongContentTypeError


@pytest.mark.parametrize("given", [None, "", "1.0", "0.2.2", "1.0.0, 0.2.2", "2.0.0"])
def test_no_other_version_is_spoken(given: str | None) -> None:
    with pytest.raises(UnsupportedVersionError) as caught:
        tus.check_version(given)
    assert (caught.value.status, caught.value.headers["Tus-Version"]) == (412, "1.0.0")


@pytest.mark.parametrize("given", [None, "", "-1", "+5", "1.5", "0x10", " 5", "٣", "9" * 19, "1e3", "NaN"])
def test_only_digits_are_a_number(given: str | None) -> None:
    with pytest.raises(InvalidHeaderError, match="Upload-Length"):
        tus.number("Upload-Length", given)


@pytest.mark.parametrize("given", [None, "", "application/octet-stream", "multipart/form-data"])
def test_other_content_types_are_refused(given: str | None) -> None:
    with pytest.raises(WrongContentTypeError, match="offset"):
        tus.check_content_type(given)


def test_the_content_type_may_have_parameters_and_any_case() -> None:
    tus.check_content_type("Application/Offset+Octet-Stream; charset=binary")


def test_metadata_are_pairs_in_base64() -> None:
    header = "filename dsOpZMOpby5tcDQ=, filetype dmlkZW8vbXA0,is_confidential"
    assert tus.metadata(header) == {"filename": "védéo.mp4", "filetype": "video/mp4", "is_confidential": ""}
    assert tus.metadata(None) == tus.metadata("  ") == {}


@pytest.mark.parametrize(
    "header",
    ["filename not*base64", "filename YQ", "a YQ==,a Yg==", ",", "a YQ==,", "näme YQ==", "a " + "YQ==" * 3000],
)
def test_other_metadata_are_refused(header: str) -> None:
    with pytest.raises(InvalidHeaderError, match="Upload-Metadata"):
        tus.metadata(header)


@given(st.dictionaries(st.from_regex(r"[a-z_-]{1,20}", fullmatch=True), st.text(max_size=50), max_size=10))
def test_metadata_come_back_as_they_were_sent(values: dict[str, str]) -> None:
    header = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())
    assert tus.metadata(header) == values


@given(st.text(max_size=200))
def test_any_text_is_metadata_or_refused(header: str) -> None:
    try:
        tus.metadata(header)
    except InvalidHeaderError:
        return


def test_a_name_is_shown_and_never_a_path() -> None:
    assert tus.filename({"filename": "../../etc/passwd.mp4"}) == "passwd.mp4"
    assert tus.filename({"name": "a.mp4"}) == "a.mp4"
    assert tus.filename({}) == "untitled"


def test_times_are_written_as_http_does() -> None:
    moment = datetime(2026, 6, 1, 10, 0, tzinfo=timezone(timedelta(hours=2)))
    assert tus.date(moment) == "Mon, 01 Jun 2026 08:00:00 GMT"
    assert tus.date(datetime(2026, 6, 1, 8, 0, tzinfo=UTC)) == tus.date(moment)
