"""The published web frontend's REST contract (/api/…), as a thin adapter over the services: tables and translation."""

from fastapi import APIRouter

from orchestrator.octavia_web import (
    auth_routes,
    chunks,
    download_routes,
    front,
    job_routes,
    payment_routes,
    start_routes,
    user_routes,
    voice_routes,
)
from orchestrator.octavia_web.envelope import answer_error

PREFIX = "/api/"

__all__ = ["PREFIX", "answer_error", "install"]


def install(routes: APIRouter) -> None:
    """Add the routes. They stand in no OpenAPI document: /v1 is the API for everybody else."""
    for module in (
        auth_routes,
        user_routes,
        payment_routes,
        start_routes,
        job_routes,
        chunks,
        download_routes,
        voice_routes,
        front,
    ):
        routes.include_router(module.router)
