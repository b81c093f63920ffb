"""What every program does around its work: flags, one clear line for a bad input, exit status."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import delayed
from absl import app, flags, logging

from greennas_jax import plugins

BAD_INPUT = 2
# 128 and the number of the signal, as shells have it.
INTERRUPTED = 130
_PLUGIN = flags.DEFINE_multi_string(
    "plugin",
    [],
    "A Python file that is run first, to register cost terms, layer types or spaces; may be given "
    "several times.",
)
_HELP = {"--help", "-help", "--helpfull", "-helpfull", "--helpshort", "--helpxml", "-?"}

# Every program names this module first, so that the imports below it wait.
delayed.begin()


def wants_help() -> bool:
    """Return whether the program is only asked what it takes."""
    return not _HELP.isdisjoint(sys.argv[1:])


def _parse(arguments: list[str]) -> list[str]:
    """Return what is left of the command line after the flags."""
    try:
        return flags.FLAGS(arguments)
    except flags.Error as error:
        _stop(str(error))
    except SystemExit as stop:
        # absl ends --help with status 1, as if it had failed.
        raise SystemExit(0 if _HELP & set(arguments) else stop.code) from None
    except BrokenPipeError:
        _end_quietly()
        raise SystemExit(0) from None


def one_line(message: str) -> str:
    """Return a message in one line, whatever cannot be printed written as Python writes it."""
    line = " ".join(message.split())
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)


def _end_quietly() -> None:
    """Let nothing more be written to a pipe whose reader has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop(message: str) -> NoReturn:
    print(f"error: {one_line(message)}", file=sys.stderr)
    raise SystemExit(BAD_INPUT)


def _leave() -> NoReturn:
    """End at once on a person's wish, whatever other threads do: files are whole or cut off.

    What a program goes on with, it finds again.
    """
    say_interrupted()
    os._exit(INTERRUPTED)


def say_interrupted() -> None:
    """Print what is told of a person's interrupt."""
    sys.stdout.flush()
    print("interrupted", file=sys.stderr, flush=True)


def say(error: OSError | ValueError) -> None:
    """Print the line that tells of a bad input."""
    print(f"error: {one_line(_describe(error))}", file=sys.stderr)


def _describe(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fspath(error.filename)}: {error.strerror}"
    return str(error)


def run(main: Callable[[], None]) -> None:
    """Run a program: parse its flags and call it.

    A bad input (a ValueError or OSError with a message) ends in one line on stderr and exit
    status 2, a person's interrupt in one word and status 130; a reader that closes the pipe ends it
    quietly.
    """

    def guarded(arguments: Sequence[str]) -> None:
        # What libraries log of an error would stand beside the one line that tells it.
        logging.set_verbosity(logging.FATAL)
        if len(arguments) > 1:
            _stop(f"argument '{arguments[1]}' is not a flag; flags are written --name=value")
        try:
            delayed.now()
            for path in _PLUGIN.value:
                plugins.load(path)
            main()
            sys.stdout.flush()
        except BrokenPipeError:
            _end_quietly()
        except (ValueError, OSError) as error:
            _stop(_describe(error))
        except KeyboardInterrupt:
            _leave()

    app.run(guarded, flags_parser=_parse)
