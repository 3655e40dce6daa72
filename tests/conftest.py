"""Fixtures of the whole suite: one PostgreSQL, one model plane, derandomised hypothesis."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "octavia", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("octavia")

pytest_plugins = ["tests.fixtures_model_plane", "tests.fixtures_control_plane", "tests.fixtures_system"]
