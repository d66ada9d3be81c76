"""The command line: `commands` lists the commands, `arguments` says what each takes, a module of its name runs it.

Only the module of the command that is run is imported, so `--version` and `--help` need neither NumPy nor a second.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from minigpt import __version__
from minigpt.cli.commands import COMMANDS, Command, Group
from minigpt.cli.parser import Parser
from minigpt.core.cores import available_cores
from minigpt.core.errors import UserError, UserNotice, nearest
from minigpt.core.interrupts import Terminated, raised_when_killed
from minigpt.core.terminal import sentence
from minigpt.distributed import launch


def build_parser(command: str | None) -> Parser:
    """The parser of the whole line, which knows the arguments of `command` and of the others the names alone."""
    parser = Parser(
        prog="minigpt",
        description="Pretrain, use and take apart language models. Every forward and backward pass is written by hand.",
        epilog="Example: minigpt train   trains the default model in a few minutes and prints samples.",
    )
    parser.add_argument("--version", action="version", version=f"minigpt {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, one in COMMANDS.items():
        if name == command:
            _add_command(commands, name, one, module=name)
        else:
            commands.add_parser(name, help=one.summary)
    return parser


def _add_command(commands: Any, name: str, command: Command | Group, module: str) -> None:
    description = command.summary[0].upper() + command.summary[1:] + "."
    parser = commands.add_parser(name, help=command.summary, description=description)
    if isinstance(command, Group):
        parser.example(*command.examples)
        kinds = parser.add_subparsers(metavar="WHAT", required=True)
        for kind, one in command.kinds.items():
            _add_command(kinds, kind, one, module=f"{name}_{kind}")
    else:
        parser.flag("--json", "print one JSON object on stdout and nothing else there")
        parser.set_defaults(run=command.run or f"{module}.run", takes_ranks=command.ranks, parser=parser)
        _function(f"arguments.{command.takes}")(parser)


def _function(place: str) -> Callable[[Any], Any]:
    """A function of this package, by its place in it: module.function."""
    module, _, name = place.rpartition(".")
    return getattr(import_module(f"{__name__}.{module}"), name)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What a line asks for; `.run` names the function of this package that does it, as module.function.

    Raises:
        UserError: there is no such command.
        SystemExit: argparse's, for any other mistake, `--help` and `--version`.
    """
    command = next((word for word in arguments if not word.startswith("-")), None)
    if command is not None and command not in COMMANDS:
        raise UserError(f"there is no command {command!r}: {nearest(command, COMMANDS)}")
    args, unknown = build_parser(command).parse_known_args(arguments)
    if unknown:
        raise UserError(f"unrecognized arguments: {' '.join(unknown)}; see `minigpt {command} --help`")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status is 0, 1 (a check failed), 2 (bad input), 70 (our fault) or 130 (interrupted).

    A polite kill gives 143, but where MPI waits, which a signal alone ends, and in a program that lives on.
    """
    _make_streams_safe()
    _keep_to_quota()
    launch.quiet()
    with raised_when_killed() if arguments is None and launch.launched().size == 1 else contextlib.nullcontext():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    try:
        try:
            args = parse(sys.argv[1:] if arguments is None else arguments)
        except UserError as error:  # all ranks read the same line: none has to end the others
            return _say(f"minigpt: error: {' '.join(sentence(str(error)).split())}", 2)
        if launch.launched().rank and not args.takes_ranks:
            return 0  # rank 0 does what takes no more than one
        with warnings.catch_warnings():
            _show_notices()
            status = _function(args.run)(args)
        sys.stdout.flush()
        return status or 0
    except UserError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _end("minigpt: interrupted", 130)
    except Terminated:
        return _end("minigpt: terminated", 143)
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        _drop_output()
        return 141
    except MemoryError as error:
        return _fail(f"there is not enough memory ({error}); use a smaller model, context or batch")
    except OSError as error:  # a full disk, a folder without permission, a name too long: wherever it comes up
        _drop_output()
        unnamed = "the current folder" if isinstance(error, FileNotFoundError) else "the output"  # it was removed
        return _fail(f"{error.filename or unnamed}: {error.strerror or error}")
    except Exception as error:
        return _unforeseen(error)


def _unforeseen(error: Exception) -> int:
    """One sentence for what should never happen; where MINIGPT_TRACEBACK is set, the traceback."""
    from minigpt.cli import fault

    if fault.interrupted(error):
        return _end("minigpt: interrupted", 130)
    if os.environ.get("MINIGPT_TRACEBACK"):
        raise error
    if isinstance(error, ImportError):
        return _fail(f"a library cannot be loaded ({error}); is it installed whole, and is there memory for it?")
    return _fail(fault.sentence(error), 70)  # EX_SOFTWARE of sysexits.h


def _fail(message: str, status: int = 2) -> int:
    rank, size = launch.launched()
    where = f" on rank {rank}" if size > 1 else ""
    return _end(f"minigpt: error{where}: {' '.join(sentence(message).split())}", status)


def _end(said: str, status: int) -> int:
    """Say why the command ends; where others work with this process, they end with it."""
    if launch.launched().size > 1:
        launch.end(said, status)
    return _say(said, status)


def _say(said: str, status: int) -> int:
    with contextlib.suppress(OSError):  # the status says it, too
        print(said, file=sys.stderr)
    return status


def _keep_to_quota() -> None:
    """BLAS starts a thread for each core of the machine; where a container allows fewer, they would stop each other.

    It reads these variables when NumPy is imported, which no command's parser has done yet; what is set already stays.
    """
    cores = available_cores()
    if cores < (os.cpu_count() or 1):
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(name, str(cores))


def _show_notices() -> None:
    """Our own warnings are one line without the place in the code; others look as always."""
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, UserNotice):
            print(f"minigpt: {' '.join(sentence(str(message)).split())}", file=sys.stderr)
        else:
            usual(message, category, *place, **more)

    warnings.simplefilter("always", UserNotice)
    warnings.showwarning = show


def _make_streams_safe() -> None:
    """Output never fails for its characters, and a closed stdout or stderr is like /dev/null."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """What is still in stdout's buffer cannot be written; keep Python from trying again on the way out."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        if hasattr(sys.stdout, "fileno"):
            try:
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
            except OSError:  # a stream without a file, as in tests
                return
