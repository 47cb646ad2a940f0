"""What a person sees while training: a bar with loss, speed and time left, on stderr."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

console = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """A line to the person, on stderr."""
    console.print(text, markup=False, soft_wrap=True)


class TrainingBar:
    """A progress bar from 0 to 1."""

    def __init__(self, name: str):
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            refresh_per_second=4,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task(name, total=1.0, loss="", speed="", left="")

    def __enter__(self) -> TrainingBar:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, step: int, progress: float, nll: float, speed: float, seconds: float) -> None:
        """Where the run is: nats per token, tokens per second, seconds so far."""
        left = seconds * (1 - progress) / progress if progress > 0 else 0.0
        self.bar.update(
            self.task,
            completed=progress,
            description=f"step {step:,}",
            loss=f"nll {nll:.3f}",
            speed=f"{speed:,.0f} tokens/s",
            left=f"{clock(left)} left",
        )


def clock(seconds: float) -> str:
    """1:02:03 or 4:05."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
