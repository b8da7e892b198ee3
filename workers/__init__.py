"""The same analysis, spread over a Ray cluster."""

from __future__ import annotations

from workers.index_job import index_job, on_ray
from workers.options import JobOptions

__all__ = ["JobOptions", "index_job", "on_ray"]
