"""A real Triton over model_repo/, on loopback: loads each model, says which it serves and why it serves no others, and
runs a command against it, which finds it in OCTAVIA_TRITON_GRPC and OCTAVIA_TRITON_HTTP. Without one it serves until
Ctrl-C.

python -m scripts.triton [COMMAND ...]      needs .venv-triton (scripts/install_triton.sh)
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from orchestrator.local.ports import free_ports
from serve.repository import read_repository

CHECKOUT = Path(__file__).resolve().parent.parent
ENVIRONMENT = CHECKOUT / ".venv-triton"
PACKAGES = ENVIRONMENT / "lib" / "python3.11" / "site-packages"
SERVER = PACKAGES / "pytriton" / "tritonserver"
MODEL_REPO = CHECKOUT / "model_repo"
LOG = ENVIRONMENT / "triton.log"
START_S, STOP_S = 60.0, 60.0


class TritonError(RuntimeError):
    """Triton did not start; its log says why."""


def arguments(http: int, grpc: int, metrics: int) -> list[str]:
    """Triton's command line. Models are loaded later, one by one, so that one that cannot be stops no other."""
    return [
        str(SERVER / "bin" / "tritonserver"),
        f"--model-repository={MODEL_REPO}",
        f"--backend-directory={SERVER / 'backends'}",
        "--model-control-mode=explicit",
        "--strict-readiness=false",
        "--disable-auto-complete-config",
        "--http-address=127.0.0.1",
        f"--http-port={http}",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={grpc}",
        "--metrics-address=127.0.0.1",
        f"--metrics-port={metrics}",
    ]


def variables() -> dict[str, str]:
    """The server's environment: its python backend takes Python from PATH, and `serve` from this checkout."""
    path = f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ['PATH']}"
    libraries = str(PACKAGES / "nvidia_pytriton.libs")
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "LD_LIBRARY_PATH")}
    ours = {"PATH": path, "PYTHONPATH": str(CHECKOUT), "LD_LIBRARY_PATH": libraries, "OMP_NUM_THREADS": "1"}
    return {**kept, **ours}


@contextmanager
def running(http: int, grpc: int, metrics: int) -> Iterator[triton.InferenceServerClient]:
    """Triton without any model yet, and a client of it. Stopped at the end."""
    with LOG.open("w") as log:
        process = subprocess.Popen(arguments(http, grpc, metrics), env=variables(), stdout=log, stderr=log)
    try:
        with triton.InferenceServerClient(f"127.0.0.1:{grpc}") as client:
            wait_until_live(client, process)
            yield client
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_until_live(client: triton.InferenceServerClient, process: "subprocess.Popen[bytes]") -> None:
    """TritonError when it ends or is not live in time."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(InferenceServerException):
            if client.is_server_live():
                return
        time.sleep(0.2)
    raise TritonError(f"Triton did not start; its log is {LOG}")


def load(client: triton.InferenceServerClient) -> None:
    """Loads every model of the repository, ensembles last, with a line for each."""
    specs = read_repository(MODEL_REPO)
    for name in sorted(specs, key=lambda name: (bool(specs[name].steps), name)):
        began = time.monotonic()
        try:
            client.load_model(name)
        except InferenceServerException as error:
            print(f"triton: {name} is not served: {' '.join(str(error.message()).split())[:300]}")
        else:
            print(f"triton: {name} is served ({time.monotonic() - began:.1f} s)", flush=True)


def main(command: list[str]) -> int:
    """The command's exit status."""
    http, grpc, metrics = free_ports(3)
    addresses = {"GRPC": f"127.0.0.1:{grpc}", "HTTP": f"127.0.0.1:{http}"}
    with running(http, grpc, metrics) as client:
        version = client.get_server_metadata().version
        print(f"triton: {version} on gRPC {addresses['GRPC']}, HTTP {addresses['HTTP']}, log {LOG}", flush=True)
        load(client)
        named = {f"OCTAVIA_TRITON_{kind}": address for kind, address in addresses.items()}
        if command:
            return subprocess.run(command, env={**os.environ, **named}, check=False).returncode
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TritonError as failure:
        sys.exit(f"triton: {failure}")
