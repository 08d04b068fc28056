"""The command line: a thin layer over the rooms."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from orangecontrib.imagemining.commands import (
    cache,
    compress,
    embed,
    networks,
    run,
    weights,
)
from orangecontrib.imagemining.exceptions import (
    ImageMiningError,
    PatternError,
    UnknownNameError,
)
from orangecontrib.imagemining.server import command as serve

_COMMANDS = {
    "run": run,
    "embed": embed,
    "networks": networks,
    "compress": compress,
    "weights": weights,
    "cache": cache,
    "serve": serve,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status.

    0: done; 1: it cannot be done, and a line says why; 2: wrong usage, or a name that
    there is not; 130: stopped by Ctrl-C, or by the system.

    Parameters
    ----------
    arguments
        By default those that the program was started with.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(words).parse_args(words)
    # what is logged is told in words, too, where it matters
    logging.getLogger("orangecontrib.imagemining").addHandler(logging.NullHandler())
    if arguments is None:
        _leave_nothing_when_ended()
    try:
        status = int(options.run(options))
    except (UnknownNameError, PatternError) as ex:
        print(_writable(ex), file=sys.stderr)
        return 2
    except ImageMiningError as ex:
        print(_writable(ex), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        # as `| head` does it: nobody listens any more, nor to Python's last flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if status == 130 and arguments is None:
        # Python would wait for threads that wait for a server. They own nothing that
        # has to be put in order.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _leave_nothing_when_ended() -> None:
    """Have the signals by which schedulers and closed terminals end a program do as
    Ctrl-C does, so that no file under a temporary name is left."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has not all
        # `nohup` has it ignored
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, stop)


class _Version(argparse.Action):
    """Looks the version up when it is asked for: that takes a while."""

    def __call__(self, parser: argparse.ArgumentParser, *_others: object) -> None:
        from orangecontrib.imagemining import __version__

        print(__version__)
        parser.exit()


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="orange-imagemining",
        description="Mine images: embed, map, cluster and classify them.",
    )
    parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        default=argparse.SUPPRESS,
        help="show the version and stop",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    # the others' arguments would have to be looked up in vain
    chosen = next((word for word in arguments if not word.startswith("-")), "")
    for name, command in _COMMANDS.items():
        own = commands.add_parser(
            name, help=command.HELP, description=command.DESCRIPTION
        )
        if name == chosen:
            command.fill(own)
        own.set_defaults(run=command.run)
    return parser


def _writable(error: Exception) -> str:
    # file names may have letters that the terminal has not
    encoding = sys.stderr.encoding or "utf-8"
    return str(error).encode(encoding, "replace").decode(encoding)


if __name__ == "__main__":
    sys.exit(main())
