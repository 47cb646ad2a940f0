"""Shards as rows of a Ray data set: a Ray cluster translates one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from polyhead.cluster.shards import Shard, join, translate_shard
from polyhead.cluster.work import Say, Work
from polyhead.errors import MissingExtraError, RunError, UsageError

SHARDS_PER_WORKER = 4  # a worker that is done early takes another one


def translate_on_ray(work: Work, file: Path, output: Path, workers: int, say: Say) -> None:
    """Translate a file by `workers` actors of a Ray cluster, which all see the same files.

    The cluster is the one that RAY_ADDRESS names, else this machine. What was finished in a run
    before is kept. Raises MissingExtraError without the extra `cluster`.
    """
    if workers < 1:
        raise UsageError(f"--ray {workers}: at least 1 worker is needed")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtraError("translate --ray", "ray", "cluster") from None
    begun = not ray.is_initialized()
    if begun:
        ray.init(include_dashboard=False, log_to_driver=False)
    try:
        count = workers * SHARDS_PER_WORKER
        numbers = [{"number": number} for number in range(1, count + 1)]
        done = (
            ray.data.from_items(numbers, override_num_blocks=count)
            .map_batches(
                _Actor,
                fn_constructor_args=(work, str(file.resolve()), str(output.resolve()), count),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=workers),
            )
            .take_all()
        )
        for row in sorted(done, key=lambda row: row["number"]):
            say(row["said"])
    finally:
        if begun:
            ray.shutdown()
    if not join(output, count):
        raise RunError(
            f"{output} cannot be joined: not every machine of the cluster wrote its shards there. "
            "All of them need the same folder under the same name."
        )


class _Actor:
    """A process of the cluster, with the model loaded once."""

    def __init__(self, work: Work, file: str, output: str, count: int):
        self.worker = work.begin()
        self.file, self.output, self.count = Path(file), Path(output), count

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        said: list[str] = []
        for number in batch["number"].tolist():
            shard = Shard(number, self.count)
            translate_shard(self.worker, self.file, self.output, shard, said.append)
        return {"number": batch["number"], "said": ["\n".join(said)]}
