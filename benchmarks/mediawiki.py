"""What reading a MediaWiki dump costs: decompression and XML one after the other, markup on all cores.

    python benchmarks/mediawiki.py --pages 2000 4000

The dump is made of sentences of the `vital` corpus dressed in what Wikipedia's pages have: an infobox, links, cited
references, headings, a table, categories, and one redirect to every two articles. Needs the extra `scale`.
"""

import argparse
import bz2
import json
import os
import tempfile
import time
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from allocation import SEED, sentences_of_vital

from simset_bench.corpora.load import CorpusOptions
from simset_bench.corpora.readers.mediawiki import mediawiki_pages
from simset_bench.simset.allocate_to_file import allocate_to_file
from simset_bench.simset.large.allocate import AllocationRequest

SENTENCES_A_SECTION, SECTIONS = 7, 4


def page(title: str, sentences: list[str]) -> str:
    """One article in wikitext."""
    text = [f"{{{{Infobox thing\n| name = {title}\n| born = {{{{birth date|1900|1|1}}}}\n}}}}\n"]
    for section in range(SECTIONS):
        if section:
            text.append(f"\n== Section {section} ==\n")
        for sentence in sentences[section::SECTIONS]:
            first, *rest = sentence.split(" ")
            cited = f'<ref name="n{len(text)}">{{{{cite web|url=https://example.org/{len(text)}|title={first}}}}}</ref>'
            text.append(
                f"[[{first}|{first}]] {' '.join(rest[:4])} [[{' '.join(rest[4:6])}]] {' '.join(rest[6:])}{cited} "
            )
    text.append('\n{| class="wikitable"\n|-\n| a cell || another\n|}\n[[Category:Things]]\n')
    return "".join(text)


def write_dump(pages: int, path: Path) -> int:
    """Write a dump of articles and redirects as bzip2; returns its size before compression in bytes."""
    pool, size = sentences_of_vital(), 0
    generator = np.random.default_rng(SEED)
    with bz2.open(path, "wt", encoding="utf-8") as dump:
        size += dump.write('<mediawiki xml:lang="en">\n')
        for number in range(pages):
            chosen = [pool[place] for place in generator.integers(len(pool), size=SECTIONS * SENTENCES_A_SECTION)]
            text = escape(page(f"Article {number}", chosen))
            size += dump.write(
                f"<page><title>Article {number}</title><ns>0</ns><id>{number}</id><revision><text>{text}</text>"
                "</revision></page>\n"
            )
            if number % 2:
                size += dump.write(
                    f'<page><title>Other name {number}</title><ns>0</ns><redirect title="Article {number}"/>'
                    "<revision><text>#REDIRECT</text></revision></page>\n"
                )
        size += dump.write("</mediawiki>\n")
    return size


def measure(pages: int, folder: Path) -> dict[str, float]:
    """Seconds to read a dump's XML alone, and to allocate entries to its articles, end to end."""
    dump = folder / "dump.xml.bz2"
    size = write_dump(pages, dump)
    started = time.monotonic()
    words = sum(len(getattr(found, "wikitext", "").split()) for found in mediawiki_pages(str(dump)))
    read = time.monotonic()
    options = CorpusOptions(f"mediawiki:{dump}")
    output = folder / "allocation.parquet"
    allocate_to_file(AllocationRequest(options, "simset2", 4096, 64, SEED), output, "daft")
    allocated = time.monotonic()
    output.unlink()
    return {
        "pages": pages,
        "megabytes": size / 1e6,
        "compressed_megabytes": dump.stat().st_size / 1e6,
        "words_of_wikitext": words,
        "read_seconds": read - started,
        "allocate_seconds": allocated - read,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pages", type=int, nargs="+", default=[2000, 4000])
    chosen = parser.parse_args()
    for pages in chosen.pages:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps({name: round(value, 2) for name, value in measure(pages, Path(folder)).items()}))


if __name__ == "__main__":
    main()
