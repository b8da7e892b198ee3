"""What Ray's dashboard and its Prometheus endpoint show of a job (see docs/batch.md).

Ray gathers what any process of the cluster counts and gives it out on a port of each node; here the
driver counts, which hears of everything.
"""

from __future__ import annotations

import time
from typing import Any

from vidsearch.tasks import Analyzed, Load, Progress, Unreadable
from workers.batching import Served

COUNTERS = {
    "vidsearch_videos": "Videos analysed.",
    "vidsearch_video_seconds": "Seconds of video analysed.",
    "vidsearch_video_bytes": "Bytes of the files analysed.",
    "vidsearch_result_bytes": "Bytes of results that came from workers.",
    "vidsearch_failures": "Files that could not be indexed.",
    "vidsearch_retries": "Files tried again because their worker died.",
    "vidsearch_encoded_pictures": "Pictures that shared encoders encoded.",
    "vidsearch_encoder_batches": "Batches in which they did.",
    "vidsearch_encoder_mixed_batches": "Of these, with pictures of several videos.",
    "vidsearch_encoder_bytes": "Bytes of pictures that went to shared encoders.",
    "vidsearch_known_faces": "Faces that shared encoders made vectors of.",
    "vidsearch_face_batches": "Batches in which they did.",
    "vidsearch_face_mixed_batches": "Of these, with faces of several videos.",
    "vidsearch_face_bytes": "Bytes of faces that went to shared encoders.",
}
GAUGES = {
    "vidsearch_in_work": "Files in work.",
    "vidsearch_encoders_busy": "Share of the time that shared encoders (or their GPUs) encode.",
    "vidsearch_x_real_time": "Seconds of video analysed in each second of the job so far.",
}


class Meters:
    """The meters of one job. Prometheus shows counters with `_total` behind their names."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Gauge

        self._counters: dict[str, Any] = {n: Counter(n, text) for n, text in COUNTERS.items()}
        self._gauges: dict[str, Any] = {n: Gauge(n, text) for n, text in GAUGES.items()}
        self._began = time.monotonic()
        self._done_s = 0.0
        self._open_s: dict[str, float] = {}
        self._served = Served()

    def add(self, news: Progress | Load | Analyzed | Unreadable) -> None:
        """Count what the job tells."""
        if isinstance(news, Load):
            self._gauges["vidsearch_in_work"].set(news.workers)
            done = self._done_s + sum(self._open_s.values())
            speed = done / max(time.monotonic() - self._began, 1e-3)
            self._gauges["vidsearch_x_real_time"].set(speed)
        elif isinstance(news, Progress):
            self._open_s[news.video_id] = news.seconds
        else:
            self._open_s.pop(news.task.video_id, None)
            self._finished(news)

    def _finished(self, news: Analyzed | Unreadable) -> None:
        if isinstance(news, Unreadable):
            self._count("vidsearch_failures")
            return
        seconds = news.result.video.duration_s
        self._done_s += seconds
        self._count("vidsearch_videos")
        self._count("vidsearch_video_seconds", seconds)
        self._count("vidsearch_video_bytes", news.task.size)

    def received(self, n_bytes: int) -> None:
        """A result of so many bytes came."""
        self._count("vidsearch_result_bytes", n_bytes)

    def encoded(self, total: Served) -> None:
        """The shared encoders have served so much since the job began."""
        new, self._served = total.since(self._served), total
        pictures, faces = new.pictures, new.faces
        self._count("vidsearch_encoded_pictures", pictures.n)
        self._count("vidsearch_encoder_batches", pictures.batches)
        self._count("vidsearch_encoder_mixed_batches", pictures.mixed)
        self._count("vidsearch_encoder_bytes", pictures.n_bytes)
        self._count("vidsearch_known_faces", faces.n)
        self._count("vidsearch_face_batches", faces.batches)
        self._count("vidsearch_face_mixed_batches", faces.mixed)
        self._count("vidsearch_face_bytes", faces.n_bytes)

    def encoders_busy(self, share: float) -> None:
        """Of the last seconds, so much went into encoding."""
        self._gauges["vidsearch_encoders_busy"].set(share)

    def retried(self) -> None:
        """A file waits for another try."""
        self._count("vidsearch_retries")

    def _count(self, name: str, value: float = 1.0) -> None:
        if value > 0:  # Ray takes no zero
            self._counters[name].inc(value)
