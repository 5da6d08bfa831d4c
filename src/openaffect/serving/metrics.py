"""Figures for Prometheus; none of them holds media, text or names."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200)


class Metrics:
    """The figures of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "openaffect_requests",
            "Requests answered",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.jobs = Counter(
            "openaffect_jobs", "Jobs by what became of them", ("state",), registry=self.registry
        )
        self.job_seconds = Histogram(
            "openaffect_job_seconds",
            "Seconds of work on a job",
            ("kind",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.waiting = Gauge("openaffect_jobs_waiting", "Jobs in the queue", registry=self.registry)
        self.running = Gauge("openaffect_jobs_running", "Jobs at work", registry=self.registry)
        self.restarts = Counter(
            "openaffect_worker_restarts", "Workers started anew", registry=self.registry
        )

    def text(self) -> bytes:
        """The figures in Prometheus' text form."""
        return generate_latest(self.registry)
