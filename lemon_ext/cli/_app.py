"""The group of commands: which there are, how one is found, and how every way to end becomes an exit code."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, NoReturn

import click

from lemon_ext import __version__

from ._screen import screen

#: What `lemon --help` says of each command. Its module, of the same name, is imported when the command is used.
COMMANDS: Final = MappingProxyType(
    {
        "generate": "Generate images, wait for them and save them.",
        "task": "Look at tasks, and save the images of those that are done.",
        "batch": "Generate images for every row of a file, and lose none.",
        "resume": "Go on with a batch: wait for its tasks, fetch their images, send the rest.",
        "status": "Say how far a batch is.",
        "gallery": "Write the page that shows a batch's images, DIR/index.html, and print its path.",
        "models": "List the models, or say what one of them takes.",
        "emulator": "Serve the API on this machine, without a key and without charges.",
        "docs": "Print a page of the manual, or list the pages.",
    }
)
_MODULES: Final = MappingProxyType({"resume": "batch", "status": "batch"})


class App(click.Group):
    """Finds commands by name, and ends the process the way docs/command-line.md says."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if cmd_name not in COMMANDS:
            near = get_close_matches(cmd_name, COMMANDS, n=1)
            ctx.fail(f"There is no command {cmd_name!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        command = getattr(import_module(f".{_MODULES.get(cmd_name, cmd_name)}", __package__), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above says so
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> NoReturn:
        options["standalone_mode"] = False
        given = sys.argv[1:] if args is None else list(args)
        # A wrong call is told before its options are read, and a program wants to read that too.
        with screen.session(as_json="--json" in given):
            code = _ending(lambda: super(App, self).main(given, *more, **options))
        sys.exit(code)


def _ending(run: Callable[[], Any]) -> int:
    """Return the exit code of a run, having said on stderr what went wrong."""
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
        except (click.Abort, KeyboardInterrupt):
            screen.error("Interrupted.")
            return 130
        except Exception as exc:
            from ._errors import explain

            failure = explain(exc)
            if failure is None:  # a bug: its traceback is what helps
                raise
            screen.fail(failure)
            return failure.exit_code


def _usage(error: click.ClickException, following: str | None = None) -> int:
    from ._errors import USAGE, Failure

    screen.fail(Failure(error.format_message(), USAGE, following, error))
    return USAGE


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    screen.warn(str(message))


@click.group(
    cls=App,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        # The API's own names are taken too: --response_format is --response-format.
        "token_normalize_func": lambda name: name.replace("_", "-"),
    },
    epilog="The key comes from LEMONDATA_API_KEY, the address from LEMONDATA_BASE_URL. "
    "Without a key, try: lemon generate 'a white cat' --emulator",
)
@click.version_option(__version__, "-V", "--version", message="lemon %(version)s")
def app() -> None:
    """Generate images with LemonData's API: every request is checked first, waited for, and paid once."""
