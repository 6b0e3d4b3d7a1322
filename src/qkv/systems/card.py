"""What the model cards of all systems share."""

from collections.abc import Mapping, Sequence
from typing import Any


def trained(facts: Mapping[str, Any], sizes: str, sources: Sequence[object]) -> list[str]:
    """What is to be known of a training.

    `facts` has `parameters`, `step`, `hours`, and `examples`, such as "60,000 pictures", if there is anything to count;
    `sizes` are the model's, in words; `sources` say where the data comes from.
    """
    examples = f", on {facts['examples']}" if "examples" in facts else ""
    return [
        f"Parameters: {facts['parameters']:,}; {sizes}",
        f"Trained for {facts['step']:,} steps, {facts['hours']:.2f} hours{examples}",
        f"Data: {', '.join(map(str, sources))}",
    ]


def bullets(lines: Sequence[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def metrics_table(validation: Mapping[str, float]) -> str:
    """What the last validation found, as a Markdown table."""
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in validation.items())
    return f"| validation | value |\n|---|---|\n{rows}"
