"""A worker of another version, or one that a certain text kills: a process like the real one, which it is otherwise."""

import os
import signal
from pathlib import Path
from typing import Any

from orchestrator.inference import Inference, Utterance
from orchestrator.jobs import durable, worker

VERSION = "ODD_VERSION"
POISON = "ODD_POISON"
"""A file. Once it is there, speaking a text that holds the words in it ends the process as a crash does."""

_synthesize = Inference.synthesize


async def _deadly(self: Inference, utterance: Utterance) -> Any:
    file = Path(os.environ[POISON])
    if file.exists() and file.read_text() in utterance.text:
        os.kill(os.getpid(), signal.SIGKILL)
    return await _synthesize(self, utterance)


def main() -> None:
    durable.VERSION = os.environ.get(VERSION, durable.VERSION)
    if POISON in os.environ:
        Inference.synthesize = _deadly  # type: ignore[method-assign]
    worker.main()


if __name__ == "__main__":
    main()
