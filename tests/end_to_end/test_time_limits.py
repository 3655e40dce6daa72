"""Programs and models that hang: the job ends with a clear error within its time, and nothing of it goes on."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from tests.fixtures_workshop import Workshop, programs_of
from tests.standins.model_proxy import hang

pytestmark = pytest.mark.anyio

SHORT = {"extract": {"seconds": 6}, "transcribe": {"seconds": 4, "per_second": 0.5}, "speak": {"seconds": 8}}
"""The window has eight seconds. Many times what a step needs for which no model computes."""


def hanging_ffmpeg(folder: Path) -> str:
    """A PATH on which ffmpeg begins to extract sound and never ends, while there is a file `hang` in the folder."""
    folder.mkdir()
    script = folder / "ffmpeg"
    script.write_text(f"""#!/bin/sh
case "$*" in *s16le*) [ -e {folder}/hang ] && exec {shutil.which("sleep")} 600 ;; esac
exec {shutil.which("ffmpeg")} "$@"
""")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


async def test_a_hung_program_and_a_hung_model_end_their_jobs_and_keep_no_other_from_its_turn(
    workshop: Workshop, eight_seconds: Path, tmp_path: Path
) -> None:
    media = await workshop.upload(eight_seconds)
    programs = tmp_path / "bin"
    limits = {"OCTAVIA_TIME_LIMITS": json.dumps(SHORT), "PATH": hanging_ffmpeg(programs)}
    with workshop.worker("patient"):
        done = await workshop.finish(await workshop.start(media))  # from now on the models' answers are known
        assert done["status"] == "completed", done["error"]
    with workshop.worker("a", **limits) as worker:
        (programs / "hang").touch()
        hung = await workshop.finish(await workshop.start(media))
        assert programs_of(worker, "sleep") == []
        assert (hung["status"], hung["error"]["code"]) == ("failed", "stage_timeout")
        assert "Extracting the sound took longer than 6 seconds" in hung["error"]["message"]
        (programs / "hang").unlink()

        for model, step in (("whisper", "Hearing"), ("coqui_tts", "Speaking")):
            workshop.proxy.misbehave(model, hang)
            hung = await workshop.finish(await workshop.start(media))
            assert (hung["status"], hung["error"]["code"]) == ("failed", "stage_timeout")
            assert step in hung["error"]["message"]
            workshop.proxy.behave()
        done = await workshop.finish(await workshop.start(media))
        assert done["status"] == "completed", done["error"]
