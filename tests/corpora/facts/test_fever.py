"""FEVER's claims, from its own files and from rows as the hub has them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.corpora.facts.fever import Claim, read_claims
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]


def test_claims_are_read_whole_with_the_titles_of_their_evidence(format_data: Path) -> None:
    file = format_data / "fever" / "claims.jsonl"
    records = [json.loads(line) for line in file.open()]
    claims = {claim.id: claim for claim in read_claims(str(file))}
    assert len(claims) == len(records)
    for record in records:
        claim = claims[str(record["id"])]
        named = [page for group in record["evidence"] for _, _, page, _ in group if page]
        titles = [page.replace("_", " ").replace("-LRB-", "(").replace("-RRB-", ")") for page in named]
        assert (claim.text, claim.label) == (record["claim"], record["label"])
        assert {title.replace("-COLON-", ":") for title in titles} == set(claim.pages)


def test_claims_of_several_rows_are_one_claim(write: Write) -> None:
    rows = [
        {"id": 7, "label": "SUPPORTS", "claim": "It is.", "evidence_wiki_url": "Ask_-LRB-band-RRB-"},
        {"id": 7, "label": "SUPPORTS", "claim": "It is.", "evidence_wiki_url": "Other"},
    ]
    (claim,) = read_claims(str(write("claims.jsonl", "\n".join(map(json.dumps, rows)))))
    assert claim.pages == ("Ask (band)", "Other")


def test_a_claim_needs_neither_an_id_nor_evidence(write: Write) -> None:
    rows = [{"label": "refutes", "claim": " It is. "}, {"label": "NOT ENOUGH INFO", "claim": "Is it?", "evidence": []}]
    claims = read_claims(str(write("claims.jsonl", "\n".join(map(json.dumps, rows)))))
    assert claims == [Claim("1", "It is.", "REFUTES", ()), Claim("2", "Is it?", "NOT ENOUGH INFO", ())]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            {"claim": "It is.", "label": "TRUE"},
            "`label` must be one of SUPPORTS, REFUTES, NOT ENOUGH INFO",
        ),
        ({"claims": "It is.", "label": "SUPPORTS"}, r"field `claim` is missing \(did you mean 'claims'\?\)"),
        ({"claim": "It is.", "label": None}, "field `label` must be text, found null"),
    ],
)
def test_a_wrong_claim_is_named(write: Write, record: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=rf"bad\.jsonl, line 1, record 1: .*{message}"):
        read_claims(str(write("bad.jsonl", json.dumps(record))))
