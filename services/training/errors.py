"""Why a run ends without a candidate, in a code for programs and a sentence for people."""

from shared.errors import HeadraceError


class RunError(HeadraceError):
    """A run that cannot succeed however often it is repeated; becomes a `RunFailed` event with ``code`` and the message."""

    def __init__(self, code: str, message: str) -> None:
        """``code`` is snake_case and stable; ``message`` says what was wrong, where, and what to do."""
        self.code = code
        super().__init__(message)
