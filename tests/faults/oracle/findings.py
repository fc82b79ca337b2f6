"""What a check found: how much it looked at, and what is wrong, with a few examples of each."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

EXAMPLES: Final = 5


@dataclass(slots=True)
class Findings:
    """The result of one check. It passed if nothing is wrong *and* there was something to look at."""

    check: str
    counts: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def saw(self, what: str, count: int = 1) -> None:
        """Something was looked at."""
        self.counts[what] += count

    def found(self, fault: str, example: object) -> None:
        """Something is wrong."""
        self.wrong[fault] += 1
        kept = self.examples.setdefault(fault, [])
        if len(kept) < EXAMPLES:
            kept.append(str(example))

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "check": self.check,
            "passed": self.passed,
            "counts": dict(self.counts),
            "wrong": dict(self.wrong),
            "examples": self.examples,
        }

    def __str__(self) -> str:
        if self.passed:
            return f"{self.check}: passed ({', '.join(f'{count} {what}' for what, count in self.counts.items())})"
        faults = "; ".join(f"{count} × {what}, e.g. {self.examples[what][0]}" for what, count in self.wrong.items())
        return f"{self.check}: FAILED: {faults}"
