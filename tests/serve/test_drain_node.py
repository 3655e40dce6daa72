"""A node of Ray that is to stop is emptied first: no call is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, os, subprocess, sys, time
from serve.environment import prepare_environment
prepare_environment()
import ray
from ray import serve
from ray.cluster_utils import Cluster
from orchestrator.local.ports import free_ports

def node(**more):
    return {"object_store_memory": 100 * 2**20, "dashboard_agent_listen_port": free_ports(1)[0]} | more

def persistently(start):  # a busy machine may not start a node in the time that Ray gives it
    for _ in range(4):
        try:
            return start()
        except Exception as error:
            print(error, file=sys.stderr)
    return start()

cluster = persistently(lambda: Cluster(initialize_head=True, head_node_args=node(
    num_cpus=0, include_dashboard=True, dashboard_port=free_ports(1)[0])))
for _ in range(2):
    persistently(lambda: cluster.add_node(**node(num_cpus=1)))
ray.init(address=cluster.address, namespace="octavia")

@serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 1}, graceful_shutdown_timeout_s=60)
class Slow:
    async def __call__(self, seconds):
        import asyncio
        await asyncio.sleep(seconds)
        return ray.get_runtime_context().get_node_id()

handle = serve.run(Slow.bind(), route_prefix=None)
first = handle.remote(0).result()
running = handle.remote(8)
time.sleep(1)
drained = subprocess.run([sys.executable, "-m", "serve.drain_node", "60", first], capture_output=True, text=True,
                         env={**os.environ, "RAY_ADDRESS": cluster.address})
after = handle.remote(0).result()
with open(sys.argv[1], "w") as told:  # Ray prints what it likes
    json.dump({"status": drained.returncode, "said": drained.stderr[-300:], "first": first,
               "running": running.result(), "after": after}, told)
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.soak
@pytest.mark.timeout(960)
def test_a_call_that_runs_ends_on_the_node_that_goes_and_the_next_is_answered_elsewhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "told")],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads((tmp_path / "told").read_text())
    assert told["status"] == 0, told["said"]
    assert told["running"] == told["first"]
    assert told["after"] != told["first"]
