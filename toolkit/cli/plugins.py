"""``toolkit plugins``: trackers that are installed here, and new ones."""

from __future__ import annotations

import contextlib
import inspect
import os
import shlex
import sys
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeVar

import attrs
import click

from toolkit import discovery
from toolkit import options
from toolkit import plugin_check
from toolkit import plugin_facts
from toolkit import plugin_maker
from toolkit import plugin_options
from toolkit.cli.shown import json_option
from toolkit.cli.shown import print_json
from toolkit.cli.shown import print_table
from toolkit.errors import UsageError
from toolkit.plugin_facts import PluginFacts
from toolkit.plugin_options import OptionFacts
from toolkit.tracker import PROTOCOL_VERSION

if TYPE_CHECKING:
    from toolkit.testing import TrackerContract
    from toolkit.testing.runner import Outcome

T = TypeVar("T")

_COLUMNS = ("name", "distribution", "version", "protocol", "package")
_INDENT = "    "


@click.group()
def command() -> None:
    """Trackers that are installed here, and new ones."""


@command.command("list")
@json_option
def list_plugins(as_json: bool) -> None:
    """List them, with what is known without importing any.

    The last column says whether what a plugin needs is installed; whether it can be imported is
    only known afterwards, from `toolkit plugins show NAME` or `toolkit plugins check NAME`.
    """
    found = plugin_facts.installed()
    if as_json:
        print_json([_row(plugin) for plugin in found])
        return
    print_table(_COLUMNS, [_cells(plugin) for plugin in found])
    for line in _remarks(found):
        click.echo(line)


def _row(plugin: PluginFacts) -> dict[str, Any]:
    """What is known of a plugin as JSON."""
    row = attrs.asdict(plugin)
    row["class"] = row.pop("target")
    return row


def _cells(plugin: PluginFacts) -> tuple[str, ...]:
    protocol = "?" if plugin.protocol is None else str(plugin.protocol)
    package = f"missing: {', '.join(plugin.missing)}" if plugin.missing else "installed"
    return (plugin.name, plugin.distribution, plugin.version, protocol, package)


def _remarks(found: Sequence[PluginFacts]) -> Iterable[str]:
    """What the table has no room for."""
    for name in sorted({plugin.name for plugin in found if plugin.is_claimed_twice}):
        yield f"{name} is claimed by several distributions: uninstall all but one"
    for plugin in found:
        if plugin.protocol not in (None, PROTOCOL_VERSION):
            yield (
                f"{plugin.name} can't be used: it speaks version {plugin.protocol} of the tracker "
                f"protocol, and this toolkit version {PROTOCOL_VERSION}"
            )
    if any(plugin.protocol is None for plugin in found):
        yield "?: only importing the plugin tells; `toolkit plugins show NAME` does"


@command.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show where a plugin comes from and which options it has; imports it."""
    facts = plugin_facts.facts_of(discovery.find(name))
    plugin = _usable(lambda: discovery.load(name))
    known = list(plugin_options.options_of(name, plugin))
    summary = (inspect.getdoc(plugin) or "").partition("\n\n")[0]
    is_repeatable = bool(getattr(plugin, "repeatable", True))
    if as_json:
        row = _row(facts) | {
            "protocol": plugin.protocol_version,
            "is_repeatable": is_repeatable,
            "doc": summary,
            "options": [attrs.asdict(option) for option in known],
        }
        print_json(row)
        return
    click.echo(f"{name}: {' '.join(summary.split())}\n")
    click.echo(f"class         {facts.target}")
    click.echo(f"distribution  {facts.distribution} {facts.version}")
    click.echo(f"protocol      {plugin.protocol_version}")
    click.echo(f"told again    {_again(is_repeatable)}")
    click.echo(f"needs         {_needs(facts)}")
    click.echo("options" if known else "options       none")
    for option in known:
        click.echo("\n" + "\n".join(_INDENT + line for line in _explained(option)))


def _again(is_repeatable: bool) -> str:
    if is_repeatable:
        return "from where it was left, after an unclean stop"
    return "from the run's start, whenever it is opened"


def _needs(facts: PluginFacts) -> str:
    if not facts.missing:
        return f"{', '.join(facts.requires) or 'nothing'} (installed)"
    return f"{', '.join(facts.requires)}; missing: {', '.join(facts.missing)}"


def _explained(option: OptionFacts) -> Iterable[str]:
    """One option, line by line."""
    default = "has to be given" if option.is_required else f"default {option.default!r}"
    yield f"{option.name}: {option.type}, {default}"
    if option.doc:
        yield f"{_INDENT}{option.doc}"
    yield f"{_INDENT}-o {option.setting}VALUE, or {option.variable}=VALUE"


@command.command("check")
@click.argument("name")
@click.option("-o", "settings", multiple=True, metavar="FIELD=VALUE", help="An option of it.")
@json_option
def check(name: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Run the tracker contract on an installed plugin; ends with 1 if it breaks a rule.

    A plugin that registers a contract of its own under `toolkit.contracts` says there how to read
    back what was recorded. Without one, the rules that need that are skipped.
    """
    contract = _usable(lambda: plugin_check.contract_of(name, _given(name, settings)))
    outcomes = []
    for outcome in _outcomes(contract):
        outcomes.append(outcome)
        if not as_json:
            click.echo("\n".join(_told(outcome)))
    counts = {
        status: sum(outcome.status == status for outcome in outcomes)
        for status in ("passed", "failed", "skipped")
    }
    if as_json:
        rows = [attrs.asdict(outcome) for outcome in outcomes]
        print_json({"name": name, **counts, "checks": rows})
    else:
        click.echo(", ".join(f"{count} {status}" for status, count in counts.items()))
    sys.exit(1 if counts["failed"] else 0)


def _outcomes(contract: type[TrackerContract]) -> Iterator[Outcome]:
    """What becomes of each check; what the plugin prints is kept out of the report."""
    from toolkit.testing.runner import run_contract

    found = run_contract(contract)
    while True:
        with _printing_aside():
            outcome = next(found, None)
        if outcome is None:
            return
        yield outcome


@contextlib.contextmanager
def _printing_aside() -> Iterator[None]:
    """Send to standard error whatever is printed meanwhile, in whichever way a plugin prints."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _given(name: str, settings: Sequence[str]) -> dict[str, str]:
    """The options given for this plugin, as FIELD=VALUE or NAME.FIELD=VALUE."""
    full = [
        setting if "." in setting.partition("=")[0] else f"{name}.{setting}" for setting in settings
    ]
    parsed = options.parse(full)
    if others := sorted(parsed.keys() - {name}):
        raise UsageError(f"-o {others[0]}.*: only options of {name} can be given here")
    return parsed.get(name, {})


def _told(outcome: Outcome) -> Iterable[str]:
    """One check, line by line."""
    shown = outcome.status.upper() if outcome.status == "failed" else outcome.status
    yield f"{shown:8}{outcome.name} ({outcome.seconds:.2f} s)"
    if outcome.status != "passed":
        yield from (f"{_INDENT}{_INDENT}{line}" for line in outcome.message.splitlines())


@command.command("new")
@click.argument("name")
@click.option(
    "--directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write into this folder, which must be new or empty (toolkit-tracker-NAME).",
)
def new(name: str, directory: Path | None) -> None:
    """Write a complete distribution with a tracker that works, to be changed into yours."""
    names = plugin_maker.checked(name)
    folder = directory or Path(names.distribution)
    for path in plugin_maker.write(names, folder):
        click.echo(path)
    click.echo(f"""
Next:
  cd {shlex.quote(str(folder))}
  python -m pip install -e ".[test]"
  toolkit plugins check {name}
  python -m pytest""")


def _usable(find: Callable[[], T]) -> T:
    """What is found; a plugin that can't be used ends the command with 1 and the reason."""
    try:
        return find()
    except discovery.BrokenPluginError as error:
        click.echo(f"toolkit: {error}", err=True)
        sys.exit(1)
