"""What monitoring publishes, as records whose ids follow from their content, so that a repeat is seen as one."""

from schemas.events.monitoring import Alert, ClosedWindow, Profile, Progress
from schemas.identities import derived_id
from schemas.topics import ALERTS, METRICS_WINDOWS, MONITORING_PROFILES
from services.monitoring.checkpoints import SOURCE
from services.monitoring.windows import micros, moment
from shared.records import Outgoing, message


def profile_message(profile: Profile) -> Outgoing:
    """A partition's share of a window."""
    start, partition, revision = micros(profile.window.start), profile.partition, profile.revision
    series = f"{profile.model}/{profile.version}/{profile.route}"
    identity = derived_id("profile", series, profile.lane, str(start), str(partition), str(revision))
    return message(MONITORING_PROFILES, profile, key=profile.model, source=SOURCE, id=identity)


def progress_message(feature_set: str, partition: int, time: int) -> Outgoing:
    """A partition's event time, in microseconds."""
    body = Progress(feature_set=feature_set, partition=partition, watermark=moment(time))
    identity = derived_id("progress", feature_set, str(partition), str(time))
    return message(MONITORING_PROFILES, body, key=feature_set, source=SOURCE, id=identity)


def window_message(closed: ClosedWindow) -> Outgoing:
    """A closed window."""
    series = f"{closed.model}/{closed.version}/{closed.route}"
    identity = derived_id("window", series, closed.lane, str(micros(closed.window.start)), str(closed.revision))
    return message(METRICS_WINDOWS, closed, key=closed.model, source=SOURCE, id=identity)


def alert_message(alert: Alert) -> Outgoing:
    """One state of an alert."""
    silence = () if alert.silenced_until is None else (str(micros(alert.silenced_until)),)
    at = str(micros(alert.updated_at))
    identity = derived_id("alert", alert.fingerprint, alert.episode, alert.state, at, *silence)
    return message(ALERTS, alert, key=alert.fingerprint, source=SOURCE, id=identity)
