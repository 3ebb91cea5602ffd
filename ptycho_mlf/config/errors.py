"""The exceptions for wrong input."""


class InputError(ValueError):
    """Wrong input from a user: a one-line message that names the value and the rule.

    Entry points print the message and exit with code 2; nothing has been written when it is raised.
    """


class ImpossibleGeometryError(InputError):
    """A network that cannot exist at this size of pattern: a study records such a cell and never runs it."""
