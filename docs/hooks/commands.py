"""The reference of the command line in Markdown, written from the program's own commands, options and help."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from rankline.cli.commands import app

EXAMPLE = re.compile(r"^Example: \[bold\](.*)\[/bold\]$", re.MULTILINE)
MARKUP = re.compile(r"\[/?(?:bold|italic|dim)\]")


def walk(command: Any = None, path: str = "rankline") -> Iterator[tuple[str, Any]]:
    """Every command that can be typed, in the order of ``--help``, as (what is typed, command)."""
    known = typer.main.get_command(app) if command is None else command
    inner = getattr(known, "commands", {})
    if command is None or not getattr(known, "no_args_is_help", False):
        yield path, known
    for name, one in inner.items():
        yield from walk(one, f"{path} {name}")


def reference() -> str:
    """A section for each command."""
    return "\n\n".join(_section(path, command) for path, command in walk() if not command.hidden)


def _section(path: str, command: Any) -> str:
    shown = [one for one in command.params if not getattr(one, "hidden", False) and one.name != "help"]
    arguments = [one for one in shown if not one.opts[0].startswith("-")]
    options = [one for one in shown if one.opts[0].startswith("-")]
    parts = [f"## `{path}`", _help(_long_help(command)), f"```text\n{_usage(path, arguments, options)}\n```"]
    if arguments:
        parts.append(_table("argument", [(f"`{_argument(one)}`", one) for one in arguments]))
    if options:
        parts.append(_table("option", [(_codes(_option(one)), one) for one in options]))
    return "\n\n".join(part for part in parts if part)


def _long_help(command: Any) -> str:
    """Of a group that is a command too, what it does by itself."""
    own = getattr(command.callback, "__doc__", None)
    return str(own or command.help or "")


def _help(text: str) -> str:
    lines = "\n".join(line.strip() for line in text.strip().splitlines())
    return MARKUP.sub("", EXAMPLE.sub(r"```console\n$ \1\n```", lines))


def _usage(path: str, arguments: list[Any], options: list[Any]) -> str:
    needed = [_option(one) for one in options if one.required]
    free = ["[OPTIONS]"] if len(needed) < len(options) else []
    return " ".join([path, *(_argument(one) for one in arguments), *needed, *free])


def _argument(one: Any) -> str:
    text = (one.metavar or one.name.upper()) + ("..." if one.nargs == -1 else "")
    return text if one.required else f"[{text}]"


def _option(one: Any) -> str:
    names = ", ".join((*one.opts, *one.secondary_opts))
    return names if getattr(one, "is_flag", False) else f"{names} {one.metavar or one.name.split('_')[-1].upper()}"


def _codes(text: str) -> str:
    """Each word by itself, so that a narrow column breaks between them."""
    return " ".join(f"`{word}`" for word in text.split(" "))


def _table(title: str, rows: list[tuple[str, Any]]) -> str:
    lines = [f"| {title} | |", "|---|---|"]
    for text, one in rows:
        told = MARKUP.sub("", one.help or "").replace("|", "\\|")
        if one.envvar:
            told += f" Environment variable: `${one.envvar}`."
        lines.append(f"| {text} | {told} {_default(one)} |")
    return "\n".join(lines)


def _default(one: Any) -> str:
    if one.required:
        return "Required."
    return "" if one.default in (None, False, [], ()) or callable(one.default) else f"Default: `{one.default}`."
