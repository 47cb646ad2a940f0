"""Training a run further than its recipe said."""

from __future__ import annotations

from pathlib import Path

from polyhead.errors import UsageError
from polyhead.recipe.reading import load_recipe
from polyhead.runs.folder import Run
from polyhead.training.processes import ALONE, Processes
from polyhead.training.progress import say
from polyhead.training.resume import check_same, go_on, going_on, newest, until
from polyhead.training.schedule import factor


def extend(path: Path, steps: int, processes: Processes = ALONE) -> Run:
    """Go on with a complete or stopped run until step `steps`, counted from its beginning.

    That step becomes the only end: max_minutes, max_epochs and max_tokens are dropped, and early
    stopping begins to wait anew. Raises UsageError where the run is there already.
    """
    Run.open(path)
    with going_on(path, processes):
        return _extend(Run.open(path), steps, processes)


def _extend(run: Run, steps: int, processes: Processes) -> Run:
    path, stored = run.path, newest(run, processes)
    if steps <= stored.step:
        raise UsageError(
            f"--steps {steps}: {path} has reached step {stored.step:,} already. --steps is the "
            "step to train to, counted from the run's beginning: choose more than "
            f"{stored.step:,}, for example --steps {2 * max(stored.step, steps, 1)}"
        )
    longer = Run(path, until(run.recipe, steps))
    check_same(path, until(load_recipe(stored.values["recipe"]), steps), longer.recipe)
    _tell(run, longer, stored.step)
    extension = {
        "from_step": stored.step,
        "to_step": steps,
        "stopped_because": run.info["stopped_because"],
    }
    notes = {
        "complete": False,
        "stopped_because": None,
        "extended": [*run.info.get("extended", []), extension],
    }
    return go_on(longer, stored, processes, notes)


def _tell(run: Run, longer: Run, step: int) -> None:
    """Say what is about to happen, and where the learning rate goes on."""
    training = longer.recipe.training
    schedule, end = training.schedule, training.max_steps or step
    rate = training.optimizer.lr * factor(schedule, step + 1, (step + 1) / end)
    course = (
        f"its {schedule.kind} schedule now falls to 0 at step {end:,}"
        if schedule.kind in ("linear", "cosine")
        else f"its {schedule.kind} schedule goes on as if it had never ended"
    )
    say(
        f"extending {run.path} from step {step:,} to step {end:,}; {course}: "
        f"the next learning rate is {rate:.3g}"
    )
