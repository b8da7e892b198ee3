"""The same analysis, spread over a Ray cluster."""

from __future__ import annotations

from workers.index_job import index_job, on_ray

__all__ = ["index_job", "on_ray"]
