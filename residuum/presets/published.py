"""A number that a paper gives for a network, and how it was obtained. No torch here."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Published:
    """Test error in percent, or "fail" where training did.

    `data`: the data set, with the kind of error where there are several ("ImageNet top-1").
    `statistic`: "median of 5", "best of 5", "single crop"; empty where the source does not say.
    `source`: paper and table.
    `remark`: what else must be known to compare, or how the number is misquoted.
    """

    data: str
    error: float | Literal["fail"]
    statistic: str = ""
    source: str = ""
    remark: str = ""

    def __str__(self) -> str:
        value = self.error if self.error == "fail" else f"{self.error:g} %"
        details = "; ".join(filter(None, (self.statistic, self.source, self.remark)))
        return f"{self.data}: {value}" + (f" ({details})" if details else "")
