"""What can go wrong while the development stack starts: each exception's docstring is the
sentence a newcomer reads, so each says what to do next.
"""

import inspect


class DevError(Exception):
    """The development stack could not start."""

    def __init__(self, **facts: object) -> None:
        paragraphs = inspect.cleandoc(type(self).__doc__ or "").split("\n\n")
        text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        super().__init__(text.format(**facts))


class AlreadyRunning(DevError):
    """{directory} is already in use by process {pid}; stop that one first (Ctrl-C in its shell)."""


class BinaryMissing(DevError):
    """No {what} for this platform: install {package} with your system's package manager, or set
    {variable} to a server that runs elsewhere.
    """


class NotReachable(DevError):
    """Postgres refuses to run as root and {user} cannot reach {path}: make its parent directories
    traversable (chmod o+x), run as an ordinary user, or set DATABASE_URL.
    """


class NoUnprivilegedUser(DevError):
    """Postgres refuses to run as root, and here root cannot become another user: run as an
    ordinary user, or set DATABASE_URL.
    """


class CredentialsLost(DevError):
    """{path} does not hold the passwords of the database beside it: put the file back, or remove
    {directory} to start with an empty database.
    """


class ServerFailed(DevError):
    """{name} did not start: {reason}.

    {tail}
    """


class ProcfileInvalid(DevError):
    """{path} has no line for {name}: each process needs one of the form `name: command`."""


class SettingInvalid(DevError):
    """{name} must be {allowed}, not {value!r}."""


class PortTaken(DevError):
    """Port {port} of 127.0.0.1 is in use by another program: stop it, or choose another port,
    for example `make run PORT={other}`.
    """


class StepFailed(DevError):
    """{step} failed ({reason}); the end of {log}:

    {tail}
    """
