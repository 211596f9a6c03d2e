"""Everything Headgate raises on purpose.

    HeadgateError
    |- Terminal          trying again cannot help: a person has to change something
    |  |- BadInput       a file, row, request or parameter is not what was expected
    |  |- BadSettings    headgate.toml or a HEADGATE_* variable is wrong (all faults at once)
    |  |- BadBundle      a bundle's files are not what its list says
    |  |- NotFound       a record, version, release or endpoint that does not exist
    |  |- Refused        a gate, a policy or a person said no
    |  `- Stale          the world moved since the decision was prepared
    `- Transient         trying again may help: the only kind that tasks retry
       |- Conflict       somebody else wrote first
       `- Unavailable    a server did not answer, or not in time

A message says what was expected, what was found and what to do next, and names the offending id.
"""


class HeadgateError(Exception):
    """The root of Headgate's own errors."""


class Terminal(HeadgateError):
    """Trying again cannot help."""


class BadInput(Terminal):
    """A file, row, request or parameter is not what was expected."""


class BadSettings(Terminal):
    """headgate.toml or a HEADGATE_* variable is wrong."""


class BadBundle(Terminal):
    """A bundle's files are not what its list says."""


class NotFound(Terminal):
    """A record, version, release or endpoint does not exist."""


class Refused(Terminal):
    """A gate, a policy or a person said no."""


class Stale(Terminal):
    """The world moved since the decision was prepared."""


class Transient(HeadgateError):
    """Trying again may help."""


class Conflict(Transient):
    """Somebody else wrote first."""


class Unavailable(Transient):
    """A server did not answer, or not in time."""
