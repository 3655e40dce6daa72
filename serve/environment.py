"""Environment of the model plane: what Ray and the model libraries read when they are imported."""

import os

ENVIRONMENT = {  # read by Ray and the libraries when they are imported
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on Linux too: the node is 127.0.0.1 and its servers listen there only
    "RAY_ENABLE_AUTO_CONNECT": "0",  # what asks Ray for something after its end shall not start another
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",  # else SIGTERM prints a C++ stack
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.protocol.proxy:prepare",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",  # a stuck batch would hold up a graceful stop
    "RAY_DEDUP_LOGS": "0",
    "RAY_COLOR_PREFIX": "0",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # transformers heeds it too
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PYANNOTE_METRICS_ENABLED": "false",
    "COQUI_TOS_AGREED": "0",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8",
    "TOKENIZERS_PARALLELISM": "false",
    "MALLOC_ARENA_MAX": "2",
}


def prepare_environment(**more: str) -> None:
    """Sets what is not set yet, before Ray or a model library is imported. Ray hands it on to its processes."""
    for name, value in {**ENVIRONMENT, **more}.items():
        os.environ.setdefault(name, value)
