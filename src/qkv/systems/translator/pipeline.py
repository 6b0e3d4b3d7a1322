"""Text in one language to text in another: tokenizer, model and generation behind `translate`."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Unpack, overload

import torch
from torch import Tensor

from qkv import languages
from qkv.characters import without_ignorable
from qkv.data.parallel.vocabulary import Codec
from qkv.data.text.padding import pad
from qkv.data.text.tokenizer import BEGIN, END
from qkv.errors import QkvError
from qkv.generation import Greedy, Hypothesis, Sampling, generate, stream
from qkv.model_directory import CONFIG, read_saved, read_weights
from qkv.models.weights import build
from qkv.runtime.device import Device
from qkv.runtime.engine import Engine, open_engine
from qkv.systems.arguments import checked, texts
from qkv.systems.arguments import text as one_text
from qkv.systems.showing import ShownModel
from qkv.systems.translator.boundaries import sentences
from qkv.systems.translator.decoding import Decoding, DecodingOptions
from qkv.systems.translator.doubts import Doubts
from qkv.systems.translator.profile import Profile
from qkv.systems.translator.result import Candidate, Translation, combine, goes_round
from qkv.systems.translator.saved import Model, Saved, make_model
from qkv.systems.translator.sentences import is_blank, separator, split

Progress = Callable[[int, int], None]
"""Called after each batch with the source tokens translated so far, and how many there are."""

# Most source tokens and most rows in a batch, padding and beams counted. Enough to keep a processor busy; the first
# bounds the memory of attention, the second that of the logits.
_BATCH_TOKENS, _BATCH_ROWS = 16_384, 640
_LIMIT_SHARE = 4  # a limit of the length above so many times the source's tokens makes a batch smaller
# Bytes that a model spells can be any character; in a line of text these would break it.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class _Job:
    """What the model is asked to translate: a part of a text."""

    source: tuple[int, ...]  # its token ids
    size: int  # tokens or characters, the fewer: text spelled in bytes needs no translation of as many tokens
    prefix: tuple[int, ...] = ()  # token ids with which its translation begins
    least_score: float = -math.inf  # below which its translation is unsure


class Translator(ShownModel[Model]):
    """A trained translator.

    Attributes:
        model: a Transformer, or a recurrent model.
        codec: tokenizers and directions.
        max_source_tokens: longer sources, tag and end token included, are split.
        batch_size: most sentences that are translated at once; long ones and wide beams are fewer.
    """

    batch_size = _BATCH_ROWS

    def __init__(self, saved: Saved, codec: Codec, engine: Engine[Model], profile: Profile | None = None) -> None:
        self.knows = saved.knows
        self.codec, self.max_source_tokens = codec, saved.longest_source
        self.model, self._engine, self._positions = engine.model, engine, saved.model.longest
        self._doubts = Doubts(saved.limits, profile)

    @classmethod
    @checked
    def load(cls, folder: Path, device: Device | None = None) -> "Translator":
        """Read a model folder; runs on the accelerator, if there is one, unless `device` is given.

        Raises:
            QkvError: something is missing, damaged or does not fit together.
        """
        saved = read_saved(folder, Saved)
        codec = Codec.load(folder, vars(saved))
        if (saved.vocabulary, saved.target_vocabulary) != (codec.vocabulary, codec.target_vocabulary):
            said = "the vocabulary sizes are not those of the tokenizer beside it"
            raise QkvError(f"{folder / CONFIG}: {said}; restore the folder")
        sizes = saved.model, saved.vocabulary, saved.target_vocabulary
        model = build(lambda: make_model(*sizes), read_weights(folder), str(folder))
        return cls(saved, codec, open_engine(model, device), Profile.load(folder, codec.vocabulary))

    @overload
    def translate(  # pyright: ignore[reportOverlappingOverload] (a str is a sequence of str, too)
        self,
        text: str,
        to: str,
        from_: str | None = ...,
        *,
        progress: Progress | None = ...,
        **options: Unpack[DecodingOptions],
    ) -> Translation: ...

    @overload
    def translate(
        self,
        text: Iterable[str],
        to: str,
        from_: str | None = ...,
        *,
        progress: Progress | None = ...,
        **options: Unpack[DecodingOptions],
    ) -> list[Translation]: ...

    @checked
    def translate(
        self,
        text: str | Iterable[str],
        to: str,
        from_: str | None = None,
        *,
        progress: Progress | None = None,
        **options: Unpack[DecodingOptions],
    ) -> Translation | list[Translation]:
        """Translate one text, or several together, which is quicker. The others do not change a text's translation.

        Args:
            text: any text, or several: a list, a generator, a column of a table. Sentences are translated one by one,
                those that are longer than the model can take in parts, and joined again.
            to: the language to translate into, by its code or name.
            from_: the language of the text. The model reads it off the text; if given, it is checked.
            progress: called as the work goes on.
            options: how to search, see `Decoding`.

        Returns:
            A translation for a string, a list of them in the same order for several.

        Raises:
            QkvError: a text is missing or is none, the model lacks the language, an option is unknown, or options
                contradict one another.
        """
        given, single = texts(text)
        to, from_ = self.languages(to, from_)
        decoding = Decoding(**options)
        decoding.check_vocabulary(len(self.codec.target))
        prefix = self._prefix(decoding)
        jobs: dict[_Job, list[Candidate]] = {}  # equal jobs have equal results, and are done once
        plans: list[tuple[list[str], list[_Job | None], str | None]] = []
        sources = [from_] if from_ else [source for source, target in self.codec.directions if target == to]
        for parts in self._split(given, to):
            todo = self._jobs(parts, to, sources, decoding)
            read = chain.from_iterable(self._bare(job.source) for job in todo if job is not None)
            language = self._doubts.language([*read], sources)
            if first := next(filter(None, todo), None):
                todo[todo.index(first)] = replace(first, prefix=prefix)
            jobs.update((job, []) for job in todo if job is not None)
            plans.append((parts, todo, language))
        self._search(jobs, decoding, progress)
        n_best, penalty = decoding.n_best, decoding.score_penalty
        results = [
            combine(parts, [jobs[job] if job else [] for job in todo], n_best, penalty, language)
            for parts, todo, language in plans
        ]
        return results[0] if single else results

    @checked
    def stream(self, text: str, to: str, from_: str | None = None) -> Iterator[str]:
        """Translate greedily, piece by piece; together the pieces are `translate(text, to, beam_size=1)`."""
        text = one_text(text)
        to, _ = self.languages(to, from_)
        return self._stream(text, to)

    def languages(self, to: str, from_: str | None = None) -> tuple[str, str | None]:
        """The model's own codes of languages, which may go by any of their codes and names ("DE", "deu", "German").

        Raises:
            QkvError: the model is not trained for them; the message names what there is and the nearest.
        """
        to = languages.find(to, self.codec.targets, "the model does not translate into")
        if from_ is None:
            return to, None
        from_ = languages.find(from_, self.codec.sources, "the model does not translate from")
        if from_ == to:
            raise QkvError(f"the text is in {to!r} already: name another language to translate into")
        if (from_, to) not in self.codec.directions:
            others = [source for source, target in self.codec.directions if target == to]
            raise QkvError(f"the model translates into {to!r} from {', '.join(others)} only, not from {from_!r}")
        return to, from_

    def _prefix(self, decoding: Decoding) -> tuple[int, ...]:
        [prefix] = self.codec.encode_target([decoding.prefix])
        if decoding.max_length is not None and decoding.max_length <= len(prefix):
            raise QkvError(f"the prefix has {len(prefix)} tokens: max_length must be above, not {decoding.max_length}")
        return tuple(prefix)

    def _jobs(self, parts: Sequence[str], to: str, sources: Sequence[str], decoding: Decoding) -> list[_Job | None]:
        """What there is to do for each part; None for a part that holds nothing."""
        jobs = list[_Job | None]()
        for part, source in zip(parts, self.codec.encode_source(parts, to), strict=True):
            least = self._doubts.least_score(part, self._bare(source), sources, to, decoding)
            size = min(len(source), len(part))
            jobs.append(None if is_blank(part) else _Job(tuple(source), size, least_score=least))
        return jobs

    def _bare(self, source: Sequence[int]) -> Sequence[int]:
        """Without tag and END."""
        return source[int(self.codec.target_tags) : -1]

    def _split(self, texts: Sequence[str], to: str) -> list[list[str]]:
        """Each text in its sentences, and these in parts that the model can take."""
        [nothing] = self.codec.encode_source([""], to)
        room = max(self.max_source_tokens - len(nothing), 1)

        def count(parts: Sequence[str]) -> list[int]:
            return [len(source) - len(nothing) for source in self.codec.encode_source(parts, to)]

        texts = [without_ignorable(text) for text in texts]
        whole = [[text] if is_blank(text) else sentences(text) for text in texts]
        counts = iter(count([*chain.from_iterable(whole)]))
        return [
            [part for sentence in row for part in (split(sentence, count, room) if next(counts) > room else [sentence])]
            for row in whole
        ]

    def _search(self, jobs: dict[_Job, list[Candidate]], decoding: Decoding, progress: Progress | None) -> None:
        """Fill in the candidates of each job."""
        # The longest first: memory trouble shows at once.
        order = sorted(jobs, key=lambda job: len(job.source), reverse=True)
        done, total = 0, sum(len(job.source) for job in order)
        while order:
            longest = max(len(order[0].source), self._limit(order[0], decoding) // _LIMIT_SHARE)
            rows = max(min(_BATCH_TOKENS // longest, _BATCH_ROWS) // decoding.width, 1)
            rows = min(rows, self.batch_size)
            batch, order = order[:rows], order[rows:]
            for job, hypotheses in zip(batch, self._generate(batch, decoding), strict=True):
                texts = self._text([hypothesis.tokens for hypothesis in hypotheses])
                jobs[job] = [_candidate(job, *found) for found in zip(hypotheses, texts, strict=True)]
            done += sum(len(job.source) for job in batch)
            if progress is not None:
                progress(done, total)

    def _generate(self, batch: Sequence[_Job], decoding: Decoding) -> list[list[Hypothesis]]:
        limits = [self._limit(job, decoding) for job in batch]
        strategy = decoding.strategy
        if isinstance(strategy, Sampling):
            strategy = strategy.for_inputs(job.source for job in batch)
        state, begin = self._start(batch, max(limits))
        filters = decoding.filters([job.prefix for job in batch])
        return generate(self._engine.decode, state, begin, strategy, end_id=END, max_length=limits, filters=filters)

    def _limit(self, job: _Job, decoding: Decoding) -> int:
        """Most tokens to generate: a function of the job alone, not of the batch it is in."""
        limit = decoding.max_length or max(2 * job.size + 10, decoding.min_length + 1) + len(job.prefix)
        return min(limit, self._positions or limit)

    def _start(self, batch: Sequence[_Job], limit: int) -> tuple[Any, Tensor]:
        """The model's state, and the tokens that translations begin with."""
        lengths = torch.tensor([len(job.source) for job in batch])
        state = self._engine.start(pad([job.source for job in batch]), lengths, limit + 1)
        return state, torch.full((len(batch), 1), BEGIN, device=self._engine.device)

    def _text(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        return [_CONTROL.sub(" ", text).strip() for text in self.codec.decode(tokens)]

    def _stream(self, text: str, to: str) -> Iterator[str]:
        [parts] = self._split([text], to)
        before, last = "", ""  # the part before, and the last character that was given
        for part, job in zip(parts, self._jobs(parts, to, (), Decoding()), strict=True):
            shown = 0
            for so_far in self._stream_part(job) if job else ():
                if new := so_far[shown:]:
                    yield separator(before, last, new[0]) + new if last and not shown else new
                    shown, last = len(so_far), new[-1]
            before = part

    def _stream_part(self, job: _Job) -> Iterator[str]:
        """The translation so far, after each token; each begins with the one before."""
        limit = self._limit(job, Decoding())
        state, begin = self._start([job], limit)
        tokens: list[int] = []
        for step in stream(self._engine.decode, state, begin, Greedy(), end_id=END, max_length=limit):
            tokens += [token for _, token in step]
            # The bytes of an unfinished character decode to U+FFFD until its last one comes.
            yield self._text([tokens])[0].rstrip("\ufffd").rstrip()
        yield self._text([tokens])[0]


def _candidate(job: _Job, hypothesis: Hypothesis, text: str) -> Candidate:
    length, repeated = len(hypothesis.tokens) + hypothesis.finished, goes_round(hypothesis.tokens, job.source)
    unsure = hypothesis.log_probability < job.least_score * length
    return Candidate((text,), hypothesis.log_probability, length, repeated, not hypothesis.finished, unsure)


Pipeline = Translator
