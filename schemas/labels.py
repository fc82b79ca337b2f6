"""Whether a label's value is one that its model can have."""

from math import isfinite

from schemas.definitions import Model, TargetType
from schemas.reasons import Reason, Rule, reason

_EXPECTED = {
    TargetType.BINARY: "true, false, 0 or 1",
    TargetType.MULTICLASS: "an integer or a string",
    TargetType.REGRESSION: "a finite number",
}


def check_label_value(model: Model, value: object) -> tuple[Reason, ...]:
    """Empty where ``value`` suits the model's target, else one `Rule.LABEL_VALUE`.

    Binary: a boolean or the integers 0 and 1; multiclass: an integer or a non-empty string; regression: a finite number.
    """
    kind = type(value)
    target = model.spec.target.type
    if target is TargetType.BINARY:
        fits = kind is bool or (kind is int and value in (0, 1))
    elif target is TargetType.MULTICLASS:
        fits = kind is int or (kind is str and value != "")
    else:
        fits = kind is int or (isinstance(value, float) and isfinite(value))
    if fits:
        return ()
    return (reason("value", Rule.LABEL_VALUE, _EXPECTED[target], value if isinstance(value, str) else repr(value)),)
