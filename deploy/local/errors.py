"""What can go wrong in the embedded platform."""


class PlatformError(Exception):
    """The platform cannot start or go on; the message is a sentence for people that says what to do."""
