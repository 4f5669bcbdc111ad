"""The one exception for mistakes that the user can fix."""


class UserError(ValueError):
    """One line that says what was given, what is possible and what to do.

    The command line prints only the message and exits with code 2.
    """


def short(value: object) -> str:
    """A value that was given, as a message quotes it: one line of at most 100 characters."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def one_of(what: str, given: str, possible: list[str]) -> UserError:
    """The error for an unknown name, with the closest match and the possible names.

    >>> str(one_of("method", "tuker", ["tucker", "svd"]))
    "unknown method 'tuker'; did you mean 'tucker'? Possible: svd, tucker"
    """
    from difflib import get_close_matches

    close = get_close_matches(given, possible, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    listed = ", ".join(sorted(possible)[:40]) or "none"
    more = f" and {len(possible) - 40} more" if len(possible) > 40 else ""
    shown = given if len(given) <= 100 else f"{given[:97]}..."
    return UserError(f"unknown {what} '{shown}'{hint} Possible: {listed}{more}")
