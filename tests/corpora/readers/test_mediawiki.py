"""MediaWiki dumps: articles without markup, everything else counted or named."""

import bz2
from pathlib import Path

import pytest

from simset_bench.corpora.bad_records import BadRecord
from simset_bench.corpora.load import load_corpus, read_records
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
