"""Several processes of one training, forked from a server that has torch loaded already."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from polyhead_system import Outcome

from polyhead.cli.main import main

LIMIT = 120  # seconds after which whatever still runs is killed, and the test has failed
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["polyhead_processes", "polyhead.training.start", "torch._dynamo"])


class Together:
    """The processes, by rank, and what each has written."""

    def __init__(self, folder: Path, processes: list[BaseProcess]):
        self.folder, self.processes = folder, processes

    def pid(self, rank: int) -> int:
        """The system's number of a process."""
        pid = self.processes[rank].pid
        assert pid is not None
        return pid

    def outcome(self, rank: int) -> Outcome:
        """What a process has written, and its exit code once it has ended (before: -1)."""
        out, err = ((self.folder / f"{rank}.{name}").read_text("utf-8") for name in ("out", "err"))
        code = self.processes[rank].exitcode
        return Outcome(-1 if code is None else code, out, err)

    def ends(self) -> list[Outcome]:
        """How each ended; past the limit, those that have not fail the test."""
        last = time.monotonic() + LIMIT
        for process in self.processes:
            process.join(max(0.1, last - time.monotonic()))
        outcomes = [self.outcome(rank) for rank in range(len(self.processes))]
        assert all(process.exitcode is not None for process in self.processes), outcomes
        return outcomes

    def wait_for_step(self, run: Path, step: int) -> None:
        """Until the journal of a run has that many lines."""
        last, metrics = time.monotonic() + LIMIT, run / "metrics.jsonl"
        while not (metrics.is_file() and metrics.read_text("utf-8").count("\n") >= step):
            assert self.processes[0].exitcode is None, self.outcome(0)
            assert time.monotonic() < last, "no step in time"
            time.sleep(0.005)


@contextmanager
def running(
    count: int, *arguments: object, each: Sequence[dict[str, str]] = ()
) -> Iterator[Together]:
    """As many processes, placed as torchrun places them, each with variables of its own; none
    survives."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as name:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        free.close()
        processes: list[BaseProcess] = []
        for rank in range(count):
            variables = place | {"RANK": str(rank), "WORLD_SIZE": str(count)}
            variables |= each[rank] if each else {}
            told = (Path(name) / str(rank), variables, [str(argument) for argument in arguments])
            processes.append(SERVER.Process(target=_command, args=told))
        try:
            for process in processes:
                process.start()
            yield Together(Path(name), processes)
        finally:
            for process in processes:
                if process.is_alive():
                    process.kill()
                process.join()


def together(count: int, *arguments: object) -> list[Outcome]:
    """Run a command by several processes to its end."""
    with running(count, *arguments) as processes:
        return processes.ends()


def _command(output: Path, variables: dict[str, str], arguments: list[str]) -> None:
    """Be one process of a command: with its variables, its output in files."""
    os.environ |= variables
    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        file = output.with_suffix(f".{name}").open("wb")
        os.dup2(file.fileno(), stream.fileno())
    main(arguments)
