"""Writes the Grafana dashboards of monitoring/dashboards/ from PANELS.  `python -m scripts.make_dashboards`

A panel is a title, a unit of Grafana's, and queries with the legend of each. What every API process tells alike is
taken by `max`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "monitoring" / "dashboards"
WIDTH, HEIGHT, COLUMNS = 8, 7, 3
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
INTERVAL = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Panel:
    """`queries`: PromQL, each with the legend of its series; `I` stands for Grafana's interval of rates."""

    title: str
    unit: str
    queries: Mapping[str, str]


def quantile(share: float, metric: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket[I])))"


def rate(metric: str, by: str = "") -> str:
    return f"sum by ({by}) (rate({metric}[I]))" if by else f"sum(rate({metric}[I]))"


DASHBOARDS: Mapping[str, Sequence[Panel]] = {
    "overview": (
        Panel("Processes up", "short", {"sum by (job) (up)": "{{job}}"}),
        Panel("Requests", "reqps", {rate("octavia_http_requests_total", "status"): "{{status}}"}),
        Panel(
            "Share of errors of ours",
            "percentunit",
            {
                '(sum(rate(octavia_http_requests_total{status=~"5.."}[I])) or vector(0))'
                " / sum(rate(octavia_http_requests_total[I]))": "5xx"
            },
        ),
        Panel("Open jobs", "short", {"sum by (status) (max by (kind, status, stage) (octavia_jobs))": "{{status}}"}),
        Panel("Oldest job that waits", "s", {"max by (paid) (octavia_queue_age_seconds)": "paid {{paid}}"}),
        Panel(
            "Attempts decided", "short", {"sum by (outcome) (increase(octavia_job_outcomes_total[I]))": "{{outcome}}"}
        ),
        Panel("Workers", "short", {"max by (state) (octavia_workers)": "{{state}}"}),
        Panel("Model calls", "reqps", {rate("octavia_model_calls_total", "model, result"): "{{model}} {{result}}"}),
        Panel("Database answers", "bool", {"max(octavia_database_up)": "up"}),
        Panel(
            "Room on disks",
            "percentunit",
            {"octavia_disk_free_bytes / octavia_disk_size_bytes": "{{instance}} {{folder}}"},
        ),
        Panel(
            "Versions",
            "short",
            {"count by (version, workflows, process) (octavia_build_info)": "{{process}} {{version}}"},
        ),
        Panel("Memory", "bytes", {'process_resident_memory_bytes{job=~"octavia-.*"}': "{{job}} {{instance}}"}),
    ),
    "jobs": (
        Panel(
            "Open jobs by stage",
            "short",
            {"max by (kind, status, stage) (octavia_jobs)": "{{kind}} {{status}} {{stage}}"},
        ),
        Panel("Jobs that wait", "short", {"max by (paid) (octavia_queue_length)": "paid {{paid}}"}),
        Panel("Oldest job that waits", "s", {"max by (paid) (octavia_queue_age_seconds)": "paid {{paid}}"}),
        Panel("Wait for a worker", "s", {quantile(0.95, "octavia_job_wait_seconds", "paid"): "p95, paid {{paid}}"}),
        Panel(
            "Time from start to completion",
            "s",
            {
                quantile(0.5, "octavia_job_duration_seconds", "kind"): "p50 {{kind}}",
                quantile(0.95, "octavia_job_duration_seconds", "kind"): "p95 {{kind}}",
            },
        ),
        Panel("Outcomes", "short", {"sum by (outcome) (increase(octavia_job_outcomes_total[I]))": "{{outcome}}"}),
        Panel("Failures by code", "short", {"sum by (code) (increase(octavia_job_errors_total[I]))": "{{code}}"}),
        Panel("Steps", "ops", {rate("octavia_steps_total", "step, result"): "{{step}} {{result}}"}),
        Panel("Time of steps", "s", {quantile(0.95, "octavia_step_duration_seconds", "step"): "p95 {{step}}"}),
        Panel("Steps tried again", "ops", {rate("octavia_step_retries_total", "step, code"): "{{step}} {{code}}"}),
        Panel(
            "Places of workers",
            "short",
            {
                "sum by (room, state) (octavia_places)": "{{room}} {{state}}",
                "sum by (room) (octavia_places_size)": "{{room}} in all",
            },
        ),
        Panel("Processes of ffmpeg", "short", {"sum by (program) (octavia_media_processes)": "{{program}}"}),
        Panel("Workers", "short", {"max by (state) (octavia_workers)": "{{state}}"}),
        Panel("Since the last beat", "s", {"time() - octavia_worker_beat_timestamp_seconds": "{{instance}}"}),
        Panel("Workflows taken over", "short", {"sum(increase(octavia_workflows_taken_over_total[I]))": "taken over"}),
        Panel(
            "Stuck and stranded",
            "short",
            {"max(octavia_jobs_stuck)": "jobs stuck", "max(octavia_workflows_stranded)": "workflows stranded"},
        ),
    ),
    "api": (
        Panel(
            "Requests by route", "reqps", {rate("octavia_http_requests_total", "method, route"): "{{method}} {{route}}"}
        ),
        Panel("Errors by route", "reqps", {rate('octavia_http_requests_total{status=~"5.."}', "route"): "{{route}}"}),
        Panel(
            "Refusals",
            "reqps",
            {rate('octavia_http_requests_total{status=~"4.."}', "status"): "{{status}}"},
        ),
        Panel(
            "Time to the answer",
            "s",
            {
                quantile(0.5, "octavia_http_request_duration_seconds"): "p50",
                quantile(0.99, "octavia_http_request_duration_seconds"): "p99",
            },
        ),
        Panel(
            "Time to the answer by route, p99",
            "s",
            {quantile(0.99, "octavia_http_request_duration_seconds", "method, route"): "{{method}} {{route}}"},
        ),
        Panel("Requests in progress", "short", {"octavia_http_requests_in_progress": "{{instance}}"}),
        Panel("Event streams", "short", {"octavia_event_followers": "{{instance}}"}),
        Panel("Uploads", "Bps", {rate("octavia_upload_bytes_total"): "taken in"}),
        Panel(
            "Connections of pools",
            "short",
            {
                "octavia_database_pool_connections": "{{job}} {{instance}} {{state}}",
                "octavia_database_pool_size": "{{job}} {{instance}} in all",
            },
        ),
        Panel(
            "Connections of the database",
            "short",
            {"max(octavia_database_connections)": "taken", "max(octavia_database_connections_most)": "in all"},
        ),
        Panel("CPU", "percentunit", {'rate(process_cpu_seconds_total{job=~"octavia-.*"}[I])': "{{job}} {{instance}}"}),
        Panel("Open files", "short", {'process_open_fds{job=~"octavia-.*"}': "{{job}} {{instance}}"}),
    ),
    "models": (
        Panel("Requests answered", "reqps", {rate("nv_inference_request_success", "model"): "{{model}}"}),
        Panel(
            "Requests failed", "reqps", {rate("nv_inference_request_failure", "model, reason"): "{{model}} {{reason}}"}
        ),
        Panel("Waiting in replicas", "short", {"sum by (model) (nv_inference_pending_request_count)": "{{model}}"}),
        Panel(
            "Mean wait for a batch",
            "µs",
            {
                f"{rate('nv_inference_queue_duration_us', 'model')}"
                f" / {rate('nv_inference_request_success', 'model')}": "{{model}}"
            },
        ),
        Panel(
            "Mean time of computing",
            "µs",
            {
                f"{rate('nv_inference_compute_infer_duration_us', 'model')}"
                f" / {rate('nv_inference_request_success', 'model')}": "{{model}}"
            },
        ),
        Panel(
            "Mean batch",
            "short",
            {f"{rate('nv_inference_count', 'model')} / {rate('nv_inference_exec_count', 'model')}": "{{model}}"},
        ),
        Panel("Memory of replicas", "bytes", {"sum by (model, kind) (nv_model_memory_bytes)": "{{model}} {{kind}}"}),
        Panel(
            "Memory of GPUs",
            "bytes",
            {
                "max by (NodeAddress, gpu) (nv_gpu_memory_used_bytes)": "GPU {{gpu}} used",
                "max by (NodeAddress, gpu) (nv_gpu_memory_total_bytes)": "GPU {{gpu}} in all",
            },
        ),
        Panel(
            "Calls as workers see them, p95",
            "s",
            {quantile(0.95, "octavia_model_call_duration_seconds", "model"): "{{model}}"},
        ),
        Panel(
            "Results of calls", "reqps", {rate("octavia_model_calls_total", "model, result"): "{{model}} {{result}}"}
        ),
        Panel(
            "Replicas",
            "short",
            {"sum by (deployment) (ray_serve_deployment_replica_healthy)": "{{deployment}}"},
        ),
    ),
    "money": (
        Panel("Credits that jobs hold", "short", {"max(octavia_credits_held)": "held"}),
        Panel("Credits moved", "short", {"sum by (kind) (increase(octavia_credits_posted_total[I]))": "{{kind}}"}),
        Panel(
            "Captured of what was settled",
            "percentunit",
            {
                'sum(increase(octavia_credits_posted_total{kind="capture"}[I]))'
                ' / sum(increase(octavia_credits_posted_total{kind=~"capture|release"}[I]))': "captured"
            },
        ),
        Panel("Polar's webhooks not handled", "short", {"max(octavia_polar_inbox_open)": "open"}),
        Panel("The oldest of them", "s", {"max(octavia_polar_inbox_age_seconds)": "age"}),
        Panel("Polar's webhooks that failed", "short", {"max(octavia_polar_inbox_failed)": "failed"}),
        Panel(
            "Purchases and webhooks of Polar's",
            "reqps",
            {
                rate('octavia_http_requests_total{route=~"/v1/billing/.*|/webhooks/polar"}', "route, status"): (
                    "{{route}} {{status}}"
                )
            },
        ),
        Panel(
            "Users' webhooks",
            "short",
            {
                "max(octavia_webhook_deliveries_open)": "on their way",
                "max(octavia_webhook_deliveries_failed)": "given up in the last hour",
            },
        ),
        Panel("Attempts at users' webhooks", "ops", {rate("octavia_webhook_attempts_total", "result"): "{{result}}"}),
        Panel("The oldest webhook without an attempt", "s", {"max(octavia_webhook_delivery_age_seconds)": "age"}),
        Panel("E-mails", "ops", {rate("octavia_mail_attempts_total", "result"): "{{result}}"}),
        Panel(
            "E-mails to be sent",
            "short",
            {"max(octavia_mails_open)": "open", "max(octavia_mail_age_seconds)": "age of the oldest in s"},
        ),
    ),
}


def dashboard(name: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """A dashboard as Grafana imports it; which Prometheus it asks is chosen there."""
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    return {
        "uid": f"octavia-{name}",
        "title": f"Octavia: {name}",
        "tags": ["octavia"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [source]},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + at), "datasource": DATASOURCE, "expr": query.replace("[I]", f"[{INTERVAL}]")}
        | {"legendFormat": legend}
        for at, (query, legend) in enumerate(panel.queries.items())
    ]
    row, column = divmod(number, COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": DATASOURCE,
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": row * HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": targets,
    }


def written(name: str) -> str:
    """The text of a dashboard's file."""
    return json.dumps(dashboard(name, DASHBOARDS[name]), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (FOLDER / f"{each}.json").write_text(written(each))
