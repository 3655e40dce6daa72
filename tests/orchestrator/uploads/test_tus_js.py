"""A real tus-js-client, the one that browsers and programs use, through a line that is cut."""

import asyncio
import hashlib
import json
import subprocess
from pathlib import Path

import httpx
import pytest

from orchestrator.settings import Settings
from tests.fixtures_api import MemoryWatch, api_process
from tests.fixtures_node import installed
from tests.orchestrator.media.padded import padded
from tests.standins.forwarder import Forwarder

pytestmark = [pytest.mark.anyio, pytest.mark.soak]

CLIENT = Path(__file__).parents[2] / "tus_js"
SIZE, CUTS, MOST_GROWTH = 300 * 2**20, 5, 64 * 2**20


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    """A token outlives the upload also on a slow machine."""
    return app_settings.model_copy(update={"access_token_minutes": 120})


@pytest.fixture(scope="module")
def client_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tus-js-client, as its lock file says, ready to run."""
    return installed(CLIENT, tmp_path_factory.mktemp("tus_js"))


@pytest.fixture(params=["folder", "S3"])
def variables(request: pytest.FixtureRequest) -> dict[str, str]:
    """What leads the API to its storage."""
    if request.param == "folder":
        return {}
    s3, bucket = request.getfixturevalue("s3"), request.getfixturevalue("bucket")
    return {**s3.environment(), "OCTAVIA_STORAGE_URL": f"s3://{bucket}/files"}


async def test_tus_js_client_uploads_300_mb_through_five_cuts_in_bounded_memory(
    app_settings: Settings, token: str, clips: Path, client_folder: Path, variables: dict[str, str], tmp_path: Path
) -> None:
    content = padded((clips / "v.mp4").read_bytes(), SIZE)
    expected = hashlib.sha256(content).hexdigest()
    (tmp_path / "large.mp4").write_bytes(content)
    del content
    cuts = [SIZE * number // (CUTS + 1) for number in range(1, CUTS + 1)]
    started = api_process(app_settings, tmp_path / "api.log", variables)
    with started as api, Forwarder(api.address, cuts) as line:
        command = ["node", "upload.mjs", f"http://{line.address}/v1/uploads", token, str(tmp_path / "large.mp4")]
        with MemoryWatch(api.process.pid) as memory:
            run = await asyncio.to_thread(
                subprocess.run, command, cwd=client_folder, timeout=1800, capture_output=True, text=True
            )
        assert run.returncode == 0, run.stderr
        said = json.loads(run.stdout)
        path = said["url"].partition(line.address)[2]
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
            media = (await client.get(api.url + path.replace("uploads", "media"))).json()
    print(f"\n{line.made} cuts, {said['retries']} retries, {line.carried / 2**20:.0f} MiB sent for {SIZE / 2**20:.0f};")
    print(f"the server's memory grew by {memory.growth / 2**20:.1f} MiB from {memory.start / 2**20:.1f}")
    assert (media["size"], media["sha256"]) == (SIZE, expected)
    assert line.made == CUTS
    assert memory.growth < MOST_GROWTH
