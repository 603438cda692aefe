"""Templates that show the words they are given. What others show stands on pages of their own, which dumps lack."""

from typing import Any

# By name, the numbers of the arguments that are shown.
_FIRST = (
    "nowrap nobr nobold noitalic small smaller big larger smallcaps sc abbr tooltip em strong bold italic sub sup "
    "ill interlanguage_link circa quote blockquote cquote"
)
_ARGUMENTS = dict.fromkeys(_FIRST.split(), (1,)) | dict.fromkeys(("lang", "langue", "langx"), (2,))
# A measure is shown as its author wrote it: a number, or two with a word between them, and a unit.
_MEASURES = {"convert", "cvt", "unité"}
_BETWEEN_NUMBERS = {"-", "–", "to", "by", "and", "or", "x", "×", "+"}


def shown_arguments(template: Any) -> list[Any]:
    """The arguments of a parsed template that a reader sees, none for a template that is not known."""
    name = "_".join(str(template.name).lower().split())
    arguments = {str(each.name).strip(): each for each in template.params}
    if name in _MEASURES:
        is_range = "2" in arguments and str(arguments["2"].value).strip() in _BETWEEN_NUMBERS
        numbers: tuple[int, ...] = (1, 2, 3, 4) if is_range else (1, 2)
    else:
        numbers = (1,) if name.startswith("lang-") else _ARGUMENTS.get(name, ())
    return [arguments[str(number)] for number in numbers if str(number) in arguments]
