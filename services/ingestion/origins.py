"""What the headers of a request say of the records in it."""

from starlette.requests import Request

from schemas.reasons import RefusedRecordError
from services.ingestion import problems
from services.ingestion.attributes import from_headers
from services.ingestion.edge import Origin
from services.ingestion.judging import Refused
from services.ingestion.problems import ProblemError


def origin_of(request: Request, without: tuple[str, ...] = ()) -> Origin:
    """CloudEvents attributes but those ``without``, and the trace. Raises `ProblemError`."""
    try:
        attributes = from_headers(request.headers.items())
    except RefusedRecordError as error:
        raise ProblemError(problems.refused(Refused(error.reasons))) from None
    kept = {name: value for name, value in attributes.items() if name not in without}
    return Origin(kept, request.headers.get("traceparent"))
