"""The group of commands: their names, how a command is found, and the exit code for every way to end."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, NoReturn

import click

from lemon_ext import __version__
from lemon_ext._signals import exit_status, terminations_as_interrupts

from ._contract import HELP
from ._screen import screen

#: The commands, as `lemon --help` lists them. The module of the same name is imported when a command is used.
COMMANDS: Final = MappingProxyType(
    {
        "generate": "Generate images, wait until they are done, and save them.",
        "edit": "Change pictures by a prompt, wait until that is done, and save what came of it.",
        "vary": "Make variations of a picture, wait until they are done, and save them.",
        "task": "Poll or cancel tasks, and save the images of those that are done.",
        "tasks": "List the requests that were sent from here: their ids, states and costs.",
        "batch": "Generate images for every row of a file. A batch can be stopped and resumed at any time.",
        "resume": "Continue a batch: poll its tasks, fetch their images, send the rest.",
        "status": "Show the progress of a batch.",
        "gallery": "Write the gallery page of a batch, DIR/index.html, and print its path.",
        "sheet": "Draw the pictures of a batch as one picture, a contact sheet, and print its path.",
        "inspect": "Show what pictures are, and what they say of themselves: model, prompt, task, marks.",
        "models": "List the models, or show what one of them takes or costs.",
        "balance": "Show how much money the account has left.",
        "reconcile": "Tell what became of requests whose answers were lost: billed, not billed, or cannot be told.",
        "emulator": "Serve the API on this machine, without a key and without charges.",
        "doctor": "Look at what can go wrong on this machine and on the way to the API, and say what to do.",
        "docs": "Print a page of the manual, or list the pages.",
    }
)
#: What other programs call it.
_ELSEWHERE: Final = MappingProxyType(
    {
        **dict.fromkeys(("price", "prices", "pricing", "cost", "costs"), "models --prices"),
        **dict.fromkeys(("create", "draw", "image", "images", "imagine", "make", "new", "run"), "generate"),
        **dict.fromkeys(("credit", "credits", "usage", "account"), "balance"),
        **dict.fromkeys(("variation", "variations", "variant"), "vary"),
        **dict.fromkeys(("history", "jobs", "ledger", "list", "log", "ls"), "tasks"),
        **dict.fromkeys(("cancel", "stop"), "task --cancel"),
        **dict.fromkeys(("fetch", "download", "wait", "poll"), "task --wait"),
        **dict.fromkeys(("man", "manual", "help"), "docs"),
        **dict.fromkeys(("auth", "check", "config", "configure", "debug", "login", "ping", "setup"), "doctor"),
        **dict.fromkeys(("mock", "serve", "server", "fake"), "emulator"),
        **dict.fromkeys(("contact-sheet", "montage"), "sheet"),
        **dict.fromkeys(("html", "report", "view"), "gallery"),
        **dict.fromkeys(("exif", "info", "metadata", "show"), "inspect"),
        "completion": "docs command-line",
    }
)
#: What other programs call an option. Of several names the first that the command has is meant.
_OPTIONS: Final = MappingProxyType(
    {
        **dict.fromkeys(("--timeout", "--max-time"), ("--deadline",)),
        **dict.fromkeys(("--verbose", "--log", "--trace"), ("--debug",)),
        **dict.fromkeys(("--force", "--yes"), ("--overwrite", "--apply")),
        **dict.fromkeys(("--out", "--out-dir", "--output-dir", "--dir", "--folder", "--dest"), ("--output",)),
        **dict.fromkeys(("--count", "--num", "--images"), ("--n", "--number")),
        **dict.fromkeys(("--parallel", "--workers", "--threads", "--jobs"), ("--concurrency",)),
        **dict.fromkeys(("--max-cost", "--max-price", "--limit"), ("--budget", "--number")),
        **dict.fromkeys(("--url", "--host", "--endpoint"), ("--base-url",)),
        **dict.fromkeys(("--check", "--validate", "--cost"), ("--dry-run",)),
    }
)
_KEYS: Final = ("--api-key", "--apikey", "--key", "--token")
_MODULES: Final = MappingProxyType({"vary": "edit"})


class App(click.Group):
    """Finds commands by name, and ends the process with an exit code of docs/command-line.md."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if cmd_name not in COMMANDS:
            near = _meant(cmd_name)
            ctx.fail(f"There is no command {cmd_name!r}." + (f" Did you mean {near!r}?" if near else ""))
        command = getattr(import_module(f".{_MODULES.get(cmd_name, cmd_name)}", __package__), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above says so
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> NoReturn:
        options["standalone_mode"] = False
        given = sys.argv[1:] if args is None else list(args)
        if "_LEMON_COMPLETE" in os.environ:  # a shell asks for words, as bytes
            super().main(given, *more, **options)
        # An error in the options is reported before they are parsed, and a program wants that as JSON, too.
        with terminations_as_interrupts(), screen.session(as_json="--json" in given):
            code = _ending(lambda: super(App, self).main(given, *more, **options))
            if code == 0 and screen.lost:
                from ._errors import OUTPUT

                code = OUTPUT
        sys.exit(code)


def _meant(name: str) -> str | None:
    """Return the command that somebody meant: one that begins so, one that is spelt alike, or one that does that."""
    name = name.lower().replace("_", "-")
    begins = [command for command in COMMANDS if len(name) > 1 and command.startswith(name)]
    return next(iter([*begins, *get_close_matches(name, COMMANDS, n=1)]), None) or _ELSEWHERE.get(name)


def _ending(run: Callable[[], Any]) -> int:
    """Run a command and return its exit code. Errors are reported on stderr."""
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        warnings.simplefilter("default", UserWarning)
        try:
            return int(run() or 0)
        except click.exceptions.NoArgsIsHelpError as exc:
            click.echo(exc.format_message(), err=True)
            return exc.exit_code
        except click.UsageError as exc:
            command = exc.ctx.command_path if exc.ctx else "lemon"
            return _usage(exc, f"{command} --help")
        except click.ClickException as exc:
            return _usage(exc)
        except (click.Abort, KeyboardInterrupt) as exc:
            screen.error("Interrupted.")
            return exit_status(exc.__cause__ or exc)  # click has an error of its own for Ctrl-C
        except Exception as exc:
            from ._errors import explain

            failure = explain(exc)
            if failure is None:  # a bug: its traceback is what helps
                raise
            screen.fail(failure)
            return failure.exit_code


def _usage(error: click.ClickException, following: str | None = None) -> int:
    from ._errors import USAGE, Failure

    message = error.format_message() if not isinstance(error, click.NoSuchOption) else _no_such_option(error)
    screen.fail(Failure(message, USAGE, following, error))
    return USAGE


def _no_such_option(error: click.NoSuchOption) -> str:
    """Say which option is meant: the one that does that, or else those that are spelt alike."""
    lead = f"No such option {error.option_name!r}."
    if error.option_name in _KEYS:
        return f"{lead} The key is read from LEMONDATA_API_KEY."
    command = error.ctx.command if error.ctx is not None else None
    there = {name for param in command.params for name in param.opts} if command is not None else set()
    meant = next((name for name in _OPTIONS.get(error.option_name, ()) if name in there), None)
    return error.format_message() if meant is None else f"{lead} Did you mean {meant!r}?"


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    screen.warn(" ".join(str(message).split()))


@click.group(
    cls=App,
    context_settings={
        "help_option_names": [*HELP],
        "max_content_width": 100,
        # The API's own names are taken too: --response_format is --response-format.
        "token_normalize_func": lambda name: name.replace("_", "-"),
    },
    epilog="The key is read from LEMONDATA_API_KEY, the address of the API from LEMONDATA_BASE_URL. "
    "To try it without a key: lemon generate 'a white cat' --emulator\n\n"
    "Completion in the shell, here for bash: "
    """eval "$(_LEMON_COMPLETE=bash_source lemon)". More of it: lemon docs command-line""",
)
@click.version_option(__version__, "-V", "--version", message="lemon %(version)s")
def app() -> None:
    """Generate images with LemonData's API. Requests are checked before they are sent, and no image is paid twice."""
