"""A picture that was asked for: its name, its folder, and what is said of it. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from polyhead.errors import PictureError, UsageError
from polyhead.files import cannot_write


def check_picture(path: str | Path) -> Path:
    """The path of a picture to be; raises UsageError for another ending than .png."""
    if Path(path).suffix.lower() != ".png":
        raise UsageError(f"cannot draw into {Path(path).name!r}: its name must end in .png")
    return Path(path)


def tell_picture(draw: Callable[[], Path], say: Callable[[str], None]) -> None:
    """Draw, and say where the picture lies, or why there is none: what it shows is not lost."""
    try:
        say(f"picture: {draw()}")
    except PictureError as error:
        say(f"no picture was drawn: {error}")


def make_folder(path: Path) -> None:
    """Make the folder `path` goes into; raises RunError where the system refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
