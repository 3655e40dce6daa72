"""What the processes tell of themselves: metrics for Prometheus, spans for an OpenTelemetry collector."""
