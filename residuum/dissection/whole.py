"""All parts of one subject, in the order of the page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..anatomy.paths import count_paths
from ..anatomy.statistics import exponential
from ..results import Dissection, Section
from ..subjects import Subject, require_two
from ..surgery import Candidate
from ..task import NextToken
from . import frontier, lengths, lesions, scores, streams, structure
from .bench import Bench
from .effort import Effort
from .words import percent, refused, triple

EFFORT = Effort()
TOKENS = "loss (nats a token)"


def dissect(subject: Subject, effort: Effort = EFFORT, folder: Path | None = None) -> Dissection:
    """Everything there is about one model: structure and its proof, lesions, paths and gradients by
    length, what flows, redundancy scores and what they are worth, and the pruning frontier.

    When to use: first. Units are scored and chosen on `subject.train`; all that is reported is
    measured on `subject.test`. What this model does not allow is told in its section, with the
    reason. With a folder every part is kept there as it finishes (parts.jsonl), by the content that
    it depends on, and is not measured again.

    UsageError: fewer than two examples. NumericError: the intact model's loss is not finite.
    ResourceError, CheckpointError: memory or disk are full; a damaged log.
    """
    require_two(subject)
    chosen = replace(subject, train=subject.train.spread(effort.search_examples))
    return _Dissecting(chosen, effort, Bench(chosen, folder)).whole()


@dataclass
class _Dissecting:
    subject: Subject
    effort: Effort
    bench: Bench

    @property
    def name(self) -> str:
        """For readers, to whom the path of a run says nothing."""
        told = self.subject.provenance
        if "run" not in told:
            return self.subject.name
        return f"{told['model']} (run {Path(told['run']).name})"

    def whole(self) -> Dissection:
        subject, loss = self.subject, loss_name(self.subject)
        verified, why = self.bench.attempt(structure.VERIFICATION)
        found: Sequence[Candidate] = self.bench.value(lesions.LESIONS)
        first = structure.section(subject, verified, why)
        rest, summary = ([], []) if len(found) < 2 else self.parts(found, loss)
        intact = found[0]
        return Dissection(
            *(self.name, subject.data, subject.example),
            parameters=sum(p.numel() for p in subject.model.parameters()),
            n=len(subject.test),
            loss_name=loss,
            loss=triple(intact.loss),
            error=None if intact.error is None else percent(intact.error),
            perplexity=triple(exponential(intact.loss)) if loss == TOKENS else None,
            summary=(self.opening(verified), *summary),
            units=structure.mapped(subject, lesions.by_unit(found)),
            nests=tuple(structure.nests(subject.view.expression)),
            sections=(first, *rest),
            provenance=dict(subject.provenance),
        )

    def opening(self, verified: structure.Verified | None) -> str:
        units, words = self.subject.view.units, structure.words(verified)
        if not units:
            return f"{self.name} has no residual unit ({words}), so none can be deleted."
        paths = lengths.total_words(count_paths(self.subject.view))
        return f"{self.name} is {structure.kinds(units)}, {words}, with {paths} paths."

    def parts(self, found: Sequence[Candidate], loss: str) -> tuple[list[Section], list[str]]:
        """The sections behind the first, and the sentences of the summary behind the first."""
        subject, effort, bench = self.subject, self.effort, self.bench
        names = {unit.number: unit.name for unit in subject.view.units}
        asked = effort.gradient_examples, effort.seed
        gradients = bench.attempt(lengths.part(*asked))
        kept = [*lesions.sections(subject, found, loss), *lengths.sections(subject, *gradients)]
        flow, why = bench.attempt(streams.RESPONSES)
        title = "What flows through each unit"
        kept.append(refused("responses", title, why) if why else streams.section(subject, flow))
        cheap, told, sentence = self.scored(found, loss)
        kept += told
        pruned, ending = self.pruned(cheap, len(found) - 1, loss)
        last = f"{ending.removesuffix('.')}, and {sentence}" if ending and sentence else ending
        return kept + pruned, [lesions.finding(found, names), *([last] if last else [])]

    def scored(
        self, found: Sequence[Candidate], loss: str
    ) -> tuple[dict[str, list[float]], list[Section], str]:
        """The scores, their sections, and what they are worth in a sentence."""
        subject, effort = self.subject, self.effort
        measured, why = self.bench.attempt(scores.REDUNDANCY)
        if why:
            return {}, [refused("redundancy", "Cheap scores of redundancy", why)], ""
        cheap = scores.known(measured)
        told = [scores.section(subject, measured)]
        part = scores.agreement_part(cheap, effort.draws, effort.seed)
        worth, why = self.bench.attempt(part)
        if why:
            return cheap, [*told, refused("agreement", "What the scores are worth", why)], ""
        told.append(scores.agreement_section(subject, cheap, worth, found, loss))
        return cheap, told, scores.finding(worth)

    def pruned(
        self, cheap: dict[str, list[float]], removable: int, loss: str
    ) -> tuple[list[Section], str]:
        name = next((name for name in ("influence", "response") if name in cheap), "")
        steps = self.effort.steps(removable)
        found, why = self.bench.attempt(frontier.part(steps, name, cheap.get(name, [])))
        if why:
            return [refused("frontier", frontier.TITLE, why)], ""
        return frontier.sections(self.subject, found, loss), frontier.finding(found)


def loss_name(subject: Subject) -> str:
    """With its unit, where that is known."""
    if isinstance(subject.task, NextToken):
        return TOKENS
    return "loss (nats)" if hasattr(subject.task, "label_smoothing") else "loss"
