"""The one exception for mistakes that the user can mend."""


class UserError(ValueError):
    """What was given, what is possible, and what to do, in one line.

    The command line prints the message alone and exits with code 2.
    """


def one_of(what: str, given: str, possible: list[str]) -> UserError:
    """The error for a name that is not among the possible ones.

    >>> str(one_of("method", "tuker", ["tucker", "svd"]))
    "unknown method 'tuker'; did you mean 'tucker'? Possible: svd, tucker"
    """
    from difflib import get_close_matches

    close = get_close_matches(given, possible, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    listed = ", ".join(sorted(possible)[:40]) or "none"
    more = f" and {len(possible) - 40} more" if len(possible) > 40 else ""
    return UserError(f"unknown {what} '{given}'{hint} Possible: {listed}{more}")
