"""A CounterFact record, whatever file it came from."""

from dataclasses import dataclass

BUILTIN = "builtin"


@dataclass(frozen=True)
class Fact:
    """One CounterFact record (arXiv 2202.05262, section 3.3 and appendix D).

    Prompts have the subject filled in and no white space at their end; targets have none on either side. Neighborhood
    prompts are about other subjects with the same true target. `relation` is a Wikidata property, a name of our own,
    or None where the record names none. `question` asks for `target_true`; `question_source` is `given` (by the
    record), `relation` (worded here for the relation) or `prompt` (taken from the prompt, or asking to complete it).
    `aliases` are other names of the true target, `attribute_prompts` are about subjects of which the new target is
    true, `generation_prompts` begin texts about the subject; all three may be empty.
    """

    case_id: str
    subject: str
    relation: str | None
    prompt: str
    target_true: str
    target_new: str
    paraphrase_prompts: tuple[str, ...]
    neighborhood_prompts: tuple[str, ...]
    question: str
    question_source: str
    aliases: tuple[str, ...] = ()
    attribute_prompts: tuple[str, ...] = ()
    generation_prompts: tuple[str, ...] = ()

    @property
    def answers(self) -> tuple[str, ...]:
        """Every answer to `question` that counts as right, the true target first."""
        return tuple(dict.fromkeys([self.target_true, *self.aliases]))
