"""MediaWiki dumps: articles without markup, everything else counted or named."""

import bz2
from pathlib import Path

import pytest

from simset_bench.corpora.bad_records import BadRecord
from simset_bench.corpora.in_parts.chunks import read_chunk
from simset_bench.corpora.in_parts.staging import stage
from simset_bench.corpora.load import CorpusOptions, load_corpus, read_records
from simset_bench.corpora.readers import mediawiki
from simset_bench.errors import RequestError

pytest.importorskip("mwparserfromhell", reason="needs the extra `scale`")

DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="en">
  <siteinfo><sitename>Wikipedia</sitename></siteinfo>
  <page><title>Anarchism</title><ns>0</ns><id>12</id><revision><id>1</id><text xml:space="preserve">{{Short|x}}
[[File:a.jpg|thumb|A caption with a [[link]]]]
'''Anarchism''' is a [[political philosophy|philosophy]].&lt;ref&gt;''Cited''&lt;/ref&gt; Old &amp;mdash; é 中文.

Second paragraph.&lt;!-- hidden --&gt;

== History ==
{| class="wikitable"
|-
| a cell
|}
Long ago.

=== Details ===
* one item
[[Category:Politics]]
__NOTOC__
== References ==
{{reflist}}
</text></revision></page>
  <page><title>Anarcho</title><ns>0</ns><id>13</id><redirect title="Anarchism" />
    <revision><text>#R</text></revision></page>
  <page><title>Talk:Anarchism</title><ns>1</ns><id>14</id><revision><text>talk</text></revision></page>
  <page><title>Second</title><ns>0</ns><id>16</id><revision><text>Short.</text></revision></page>
</mediawiki>
"""


@pytest.fixture(params=[".xml", ".xml.bz2"])
def dump(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"pages-articles{request.param}"
    data = DUMP.encode()
    # Dumps are often many compressed streams, one after the other.
    path.write_bytes(data if path.suffix == ".xml" else bz2.compress(data[:500]) + bz2.compress(data[500:]))
    return path


def test_articles_are_their_prose(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = load_corpus(f"mediawiki:{dump}")
    assert (first.id, first.title, second.text) == ("Anarchism", "Anarchism", "Short.")
    assert first.text.split("\n\n") == [
        "Anarchism is a philosophy. Old — é 中文.",
        "Second paragraph.",
        "History\nLong ago.",
        "Details\none item",
    ]
    assert "left out 1 pages of other namespaces, 1 redirects" in capsys.readouterr().err


def test_sections_are_documents_by_their_headings(dump: Path) -> None:
    found = load_corpus(f"mediawiki:{dump}", group_by="section")
    titles = ["Anarchism", "Anarchism: History", "Anarchism: Details", "Second"]
    assert [document.title for document in found] == titles
    assert [document.id for document in found] == ["Anarchism#0", "Anarchism#1", "Anarchism#2", "Second#0"]


def test_a_page_without_text_is_a_bad_record(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    path.write_text(DUMP.replace("Short.", "{{only a template}}"))
    bad = [record for record in read_records(f"mediawiki:{path}") if isinstance(record, BadRecord)]
    assert [(record.origin, record.reason) for record in bad] == [(f"{path}, page 4", "no text besides markup")]


def test_a_page_that_is_nested_too_deep_is_a_bad_record(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    path.write_text(DUMP.replace("Short.", "{{" * 5000 + "x" + "}}" * 5000))
    bad = [record for record in read_records(f"mediawiki:{path}") if isinstance(record, BadRecord)]
    assert [(record.origin, record.reason) for record in bad] == [(f"{path}, page 4", "markup that is nested too deep")]


def _page(title: str, text: str) -> str:
    return f"<page><title>{title}</title><ns>0</ns><revision><text>{text}</text></revision></page>"


LOCAL = (
    '<mediawiki><siteinfo><namespaces><namespace key="6">Plik</namespace></namespaces></siteinfo>'
    + _page("Alda", "[[Plik:a.jpg|mały|Most]]Rzeka.")
    + _page("Fluss", "#WEITERLEITUNG [[Alda]] Hier.")
    + _page("Rzeka", "#PATRZNA [[Alda]]\n{{R}}")
    + _page("Dane", "{}").replace("<text>", "<model>json</model><text>")
    + _page("Lista", "#Alda [[rzeka]]\n#Bork [[most]]")
    + "</mediawiki>"
)


def test_a_dump_names_its_namespaces_and_redirects_need_no_mark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dump.xml"
    path.write_text(LOCAL, encoding="utf-8")
    documents = load_corpus(f"mediawiki:{path}")
    assert [(document.id, document.text) for document in documents] == [
        ("Alda", "Rzeka."),
        ("Lista", "Alda rzeka\nBork most"),
    ]
    assert "left out 1 pages that hold no wikitext, 2 redirects" in capsys.readouterr().err


def test_pages_read_in_parts_have_the_same_documents(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    path.write_text(LOCAL, encoding="utf-8")
    (chunk,) = stage(CorpusOptions(f"mediawiki:{path}"), tmp_path)
    rows = read_chunk(chunk, "article").to_pylist()
    assert [(row["id"], row["text"]) for row in rows] == [
        (document.id, document.text) for document in load_corpus(f"mediawiki:{path}")
    ]


def test_of_a_page_with_its_history_the_last_revision_counts(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    revisions = "".join(f"<revision><text>{text}</text></revision>" for text in ("first", "second", "third"))
    path.write_text(f"<mediawiki><page><title>Alda</title>{revisions}</page></mediawiki>")
    assert [document.text for document in load_corpus(f"mediawiki:{path}")] == ["third"]


@pytest.mark.parametrize("encoding", ["klingon", "gb2312", "rot13"])
def test_an_encoding_that_xml_does_not_know_is_named(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    path.write_text(f'<?xml version="1.0" encoding="{encoding}"?>{LOCAL}', encoding="utf-8")
    with pytest.raises(RequestError, match="encoding"):
        load_corpus(f"mediawiki:{path}")


def test_a_revision_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mediawiki, "LARGEST_RECORD", 1 << 20)
    path = tmp_path / "dump.xml"
    path.write_text(LOCAL.replace("Rzeka.", "Rzeka. " * 300_000), encoding="utf-8")
    with pytest.raises(RequestError, match="after page 0: a revision of more than 1 MiB"):
        load_corpus(f"mediawiki:{path}")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (DUMP.encode()[:900], "not MediaWiki XML after page"),
        (b"<html><p>No dump</p></html>", "no <page> in this file"),
        (b"", "not MediaWiki XML after page 0"),
    ],
)
def test_a_damaged_dump_is_named(content: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=why):
        load_corpus(f"mediawiki:{path}")


def test_a_cut_bz2_is_named(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(bz2.compress(DUMP.encode())[:-40])
    with pytest.raises(RequestError, match="damaged after page"):
        load_corpus(f"mediawiki:{path}")
