"""Samples of gauges: a name, labels and a value, with the help text of each name in one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily

__all__ = ["HELP", "Sample", "as_families"]

HELP: dict[str, str] = {
    "recsys_server_up": "Whether a server answers (1) or not (0).",
    "recsys_database_writable": "Whether PostgreSQL takes writes (1) or not (0).",
    "recsys_database_clock_offset_seconds": "Clock of PostgreSQL minus the clock of this program.",
    "recsys_models_active": "Models that are active; lists are popular products without one.",
    "recsys_model_trained_timestamp_seconds": "When the active model was trained.",
    "recsys_generation_live": "Whether a generation of stored lists is live.",
    "recsys_generation_live_timestamp_seconds": "When the live generation of stored lists became live.",
    "recsys_generation_expires_timestamp_seconds": "When the stored lists of the live generation expire.",
    "recsys_generation_users": "Users with a stored list in the live generation.",
    "recsys_generation_of_active_model": "Whether the active model made the live generation.",
    "recsys_generation_in_redis": "Whether Redis serves the live generation.",
    "recsys_features_built_timestamp_seconds": "When the snapshot of features was built.",
    "recsys_features_until_timestamp_seconds": "The newest interaction that the snapshot may contain.",
    "recsys_outbox_unsent": "Published events that the relay has not sent yet.",
    "recsys_outbox_oldest_seconds": "Age of the oldest event that the relay has not sent yet.",
    "recsys_consumer_unread": "Entries of a stream that a group has not read.",
    "recsys_consumer_pending": "Entries of a stream that a group has read and not finished.",
    "recsys_consumer_oldest_seconds": "Age of the oldest entry of a stream that a group has not finished.",
    "recsys_consumer_trimmed_unread": "Entries of a stream that were trimmed before a group read them.",
    "recsys_dead_letters": "Entries of a stream that could not be handled and wait for a replay.",
    "recsys_write_buffer_entries": "Entries that wait in Redis for PostgreSQL.",
    "recsys_write_buffer_oldest_seconds": "Age of the oldest entry that waits in Redis for PostgreSQL.",
    "recsys_spool_bytes": "Bytes that wait on this machine's disk for Redis and PostgreSQL.",
    "recsys_disk_free_bytes": "Free bytes of the disk that holds RECSYS_VAR.",
    "recsys_disk_size_bytes": "Size in bytes of the disk that holds RECSYS_VAR.",
    "recsys_artifact_cache_bytes": "Size of the copies of published artifacts on this machine.",
    "recsys_redis_memory_bytes": "Memory that Redis uses.",
    "recsys_redis_memory_limit_bytes": "maxmemory of Redis; 0 for no limit.",
    "recsys_redis_bytes_per_user": "Mean memory of one user: stored list and recent interactions.",
    "recsys_scheduler_up": "Whether a process starts jobs by their schedules.",
    "recsys_job_scheduled": "Whether a job has a schedule.",
    "recsys_job_interval_seconds": "The longest pause of a job's schedule between its next starts.",
    "recsys_job_last_success_timestamp_seconds": "When a job last ended without an error.",
    "recsys_job_failures": "Runs of a job that failed or were lost since its last success.",
    "recsys_job_missed_starts": "Starts of a job that were missed since its last success.",
    "recsys_job_running_seconds": "For how long a job has been running; 0 while it does not.",
    "recsys_imports_failed": "Imports that failed since the last that succeeded.",
    "recsys_import_last_success_timestamp_seconds": "When the last import that succeeded ended.",
    "recsys_import_rows": "Rows of the last import that succeeded, by what became of them.",
}
"""The help text of every gauge that describes the whole shop."""


@dataclass(frozen=True)
class Sample:
    """One value of a gauge in `HELP`; every sample of a name has the same label names."""

    name: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


def as_families(samples: Iterable[Sample]) -> Iterator[GaugeMetricFamily]:
    """Group samples by name, as Prometheus' client takes them."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    for name, several in by_name.items():
        family = GaugeMetricFamily(name, HELP[name], labels=[label for label, _ in several[0].labels])
        for sample in several:
            family.add_metric([value for _, value in sample.labels], sample.value)
        yield family
