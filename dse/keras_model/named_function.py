"""The function that a text ``package.module:function`` names, of an installed module or one in the current folder."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rankline.src.dse.errors import UserError, one_of

FUNCTION = r"[^\W\d][\w.]*:[^\W\d]\w*"
"""How a function of a module is named: package.module:function."""


MAKES_NAMES = ("globals(", "exec(", "setattr(", "global ")
"""What in a module's text can give it names that don't stand there."""


def function_of(source: str, possible: str) -> Callable[[], Any]:
    """The function that is named. ``possible`` ends the error where there is no such module. Raises UserError."""
    check_function(source, possible)
    module_name, _, function_name = source.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, but something that it imports is not: its own error tells more
        raise _no_module(source, str(error.name), possible) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise _no_function(source, [key for key, value in vars(module).items() if callable(value)])
    found: Callable[[], Any] = function
    return found


def check_function(source: str, possible: str) -> None:
    """Raises UserError where ``function_of`` surely would, without running anything of the module.

    A module may make its names as it runs; what can't be told from its text is left for then.
    """
    here = _here()
    if here not in sys.path:
        sys.path.insert(0, here)
    module_name, _, function_name = source.partition(":")
    if module_name in sys.modules:
        return
    spec: ModuleSpec | None = None
    parts = module_name.split(".")
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        inner = find_spec(name) if spec is None else _inside(spec, name)
        if inner is None:
            if spec is not None and "__path__" in _text(spec, unknown="__path__"):
                return  # a package of its own kind
            raise _no_module(source, name, possible)
        spec = inner
    names = None if spec is None else _names_in(_text(spec))
    if names is not None and function_name not in names:
        raise _no_function(source, [name for name, is_own in names.items() if is_own])


def _here() -> str:
    return str(Path.cwd())


def _no_module(source: str, name: str, possible: str) -> UserError:
    return UserError(f"{source}: no module '{name}' in {_here()} or installed; {possible}")


def _no_function(source: str, names: list[str]) -> UserError:
    module_name, _, function_name = source.partition(":")
    return one_of(f"function in {module_name}", function_name, [name for name in names if not name.startswith("_")])


def _inside(package: ModuleSpec, name: str) -> ModuleSpec | None:
    folders = package.submodule_search_locations
    return None if folders is None else PathFinder.find_spec(name, folders)


def _text(spec: ModuleSpec, unknown: str = "") -> str:
    """The source of a module, ``unknown`` where it can't be read; a package without a file of its own has none."""
    if spec.origin is None:
        return ""
    try:
        return Path(spec.origin).read_bytes().decode() if spec.origin.endswith(".py") else unknown
    except (OSError, UnicodeDecodeError):
        return unknown


def _names_in(text: str) -> dict[str, bool] | None:
    """The names that a module's text gives values, each with whether it is a function or class of its own.

    None where the text doesn't tell all of them: a module without functions of its own must have others'.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    found: dict[str, bool] = {}
    for node in _top_level(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found[name] = True
            case ast.Name(id=name, ctx=ast.Store()):
                found.setdefault(name, False)
            case ast.alias(name=name, asname=alias):
                found.setdefault(alias or name.partition(".")[0], False)
    made_as_it_runs = {"*", "__getattr__"} & found.keys() or any(word in text for word in MAKES_NAMES)
    return None if made_as_it_runs or not any(found.values()) else found


def _top_level(node: ast.AST) -> Iterator[ast.AST]:
    """What is run when a module is imported, without the insides of its functions and classes."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _top_level(child)
