"""The program `polyhead`: its commands, and how it ends.

Results go to stdout, everything else to stderr. Exit codes: 0 done; 1 it failed or the check found
a fault; 2 wrong use.
"""

from __future__ import annotations

import io
import os
import sys

import cyclopts
from rich.console import Console

from polyhead import __version__, machine, memory
from polyhead.cli import faults
from polyhead.cli.hyphens import bound
from polyhead.errors import PolyheadError, Stopped

app = cyclopts.App(
    name="polyhead",
    help="One attention, many models: train, evaluate, look inside.",
    version=__version__,
    help_format="plaintext",  # what reads Markdown is slow to import; a command's own help has some
    suppress_keyboard_interrupt=False,  # how a command ends is said below
)
for command, module, summary in (
    ("quickstart", "quickstart", "Train, score and look inside a translator in five minutes."),
    ("train", "train", "Train a recipe, or go on with a run exactly where it stopped."),
    ("extend", "train", "Train a run further than its recipe said."),
    ("finetune", "train", "Train a recipe from another run's weights."),
    ("check-data", "check", "Look for all that is wrong with a recipe's data, without training."),
    ("plan", "train", "Measure what training takes: memory, disk, time, the largest batch."),
    ("verify-resume", "train", "Prove that resuming is exact: kill, resume, compare."),
    ("recipes", "train", "List the recipes that come with Polyhead."),
    ("compare", "compare", "Train models alike and judge them; or measure layers by length."),
    ("translate", "translate", "Translate lines: exactly one output line per input line."),
    ("generate", "generate", "Go on from prompts with a language model."),
    ("fill", "masked", "Show what could stand at every [MASK] of a text."),
    ("embed", "masked", "Write a vector per line of text."),
    ("classify", "classify", "Labels, numbers, tags or answers for lines of text."),
    ("evaluate", "judge", "Score a run, with intervals and signatures."),
    ("score", "judge", "Log-probability of given translations."),
    ("align", "look", "Which source word each target word comes from, as Pharaoh links."),
    ("inspect", "look", "Draw what a model attends to, or the positions."),
    ("export", "export", "Write a run for CTranslate2, Hugging Face or ONNX, verified."),
    ("import", "export", "Take a GPT, BERT or Marian from a Hugging Face directory."),
    ("explain", "look", "Show how a text is cut into tokens."),
):
    function = {"import": "import_"}.get(command, command.replace("-", "_"))
    app.command(
        f"polyhead.cli.{module}:{function}", name=command, help=summary, help_format="markdown"
    )


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit; what a user can cause is told in plain words, not a traceback."""
    machine.prepare()
    if os.environ.get("POLYHEAD_ALLOCATOR") != "system":
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    stderr = Console(stderr=True, highlight=False)
    if sys.stdout is None:  # closed by the shell: results have nowhere to go
        stderr.print("polyhead: standard output is closed; > /dev/null throws results away")
        sys.exit(1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as the input is, whatever the locale says
    typed = sys.argv[1:] if arguments is None else arguments
    try:
        try:
            typed = bound(app, typed)
            app(typed, exit_on_error=False, print_error=False, error_console=stderr)
        finally:
            sys.stdout.flush()  # what cannot be written is told here, not while Python ends
    except cyclopts.CycloptsError as error:
        message = faults.explain(error, app, typed)
        stderr.print(f"polyhead: {message}", markup=False, soft_wrap=True)
        sys.exit(2)
    except PolyheadError as error:
        stderr.print(f"polyhead: {error}", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to do
        _drop_output()
        sys.exit(1)
    except OSError as error:
        stderr.print(f"polyhead: {error}", markup=False, soft_wrap=True)
        _drop_output()
        sys.exit(1)
    except Stopped as stopped:
        stderr.print(f"polyhead: {stopped}", markup=False, soft_wrap=True)
    except (MemoryError, RuntimeError) as error:
        if not memory.ran_out(error):
            raise
        room, whose = memory.free()
        text = f"polyhead: out of memory; {memory.shown(room)} are free ({whose})"
        stderr.print(text, markup=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        stderr.print("polyhead: stopped")
        sys.exit(1)


def _drop_output() -> None:
    """Let what stdout still holds go nowhere, so that Python's end does not try it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
