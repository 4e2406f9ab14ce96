"""Files that word vectors are scored on: word pairs, and analogies.

A file says by its lines what it is. Word pairs are lines of word, word and number, as
WordSim-353, MEN, RG-65 and others have them; analogies are lines of four words below
lines ``: section``, as Google's have them.
"""

import itertools
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from sgns_jax.types import InputError, shown

ENDINGS = (".csv", ".tsv", ".txt")
#: What may stand between word, word and number. None is white space, and comes last:
#: with the others, words may hold spaces.
_BETWEEN = {"\t": "tabs", ";": "semicolons", ",": "commas", None: "spaces"}
_ANY = "tabs, semicolons, commas or spaces"
_WANTED = (
    f"needs lines of word, word and number, or of analogies below ': section', in a "
    f"file whose name ends in {', '.join(ENDINGS)}"
)


class Pairs(NamedTuple):
    """Pairs of words, and how alike people find them."""

    name: str  #: of the file, without its ending
    words: list[tuple[str, str]]
    scores: list[float]
    header: str | None  #: the first line, if it tells the columns' names


class Questions(NamedTuple):
    """Analogies: a is to b as c is to d."""

    name: str  #: of the file, without its ending
    words: list[tuple[str, str, str, str]]
    sections: list[str]  #: the name of each question's section


class Folder(NamedTuple):
    """The evaluation files of a folder."""

    sets: list[Pairs | Questions]  #: by file name
    remarks: list[str]  #: lines that say what of the folder was passed over, and why


def read_pairs(path: str | os.PathLike) -> Pairs:
    """Reads lines of word, word and number.

    UTF-8; separated by tabs, semicolons, commas or white space, whichever fits the
    first of them. Further columns, empty lines, lines that start with # and a first
    line with names of columns are passed over.

    Raises:
      InputError: no such file, no pair in it, or a malformed line.
    """
    path, between = Path(path), _ANY
    pairs = Pairs(path.stem, [], [], None)
    if form := _form(path):
        pairs, between = pairs._replace(header=form.header), _BETWEEN[form.separator]
    lines = _lines(path, comment="#")
    for number, line in itertools.islice(lines, pairs.header is not None, None):
        pair = form and _pair(line, form.separator)
        if not pair:
            raise InputError(
                f"{path}, line {number}: needs a word, a word and a number, {between} "
                f"between, got {shown(line)}"
            )
        pairs.words.append(pair[:2])
        pairs.scores.append(pair[2])
    if not pairs.words:
        raise InputError(f"{path}: holds no word pair")
    return pairs


def read_questions(path: str | os.PathLike) -> Questions:
    """Reads lines ``a b c d`` under lines ``: section``.

    UTF-8. Empty lines and lines that start with // are passed over.

    Raises:
      InputError: no such file, no question in it, or a malformed line.
    """
    path, section = Path(path), ""
    questions = Questions(path.stem, [], [])
    for number, line in _lines(path, comment="//"):
        if line.startswith(":"):
            section = line[1:].strip()
            continue
        words = line.replace("\t", " ").strip(" ").split(" ")
        if not section or len(words) != 4:
            raise InputError(
                f"{path}, line {number}: needs four words, below a line ': section', "
                f"got {shown(line)}"
            )
        questions.words.append((words[0], words[1], words[2], words[3]))
        questions.sections.append(section)
    if not questions.words:
        raise InputError(f"{path}: holds no analogy")
    return questions


def read_folder(folder: str | os.PathLike) -> Folder:
    """Reads all word pairs and analogies among the *.tsv, *.txt and *.csv of a folder.

    Raises:
      InputError: no such folder, a malformed line, two sets of one name, or no set.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    sets: dict[str, Pairs | Questions] = {}
    remarks = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        read = _reader(path)
        if read is None:
            remarks.append(f"{path.name} is passed over: {_WANTED}")
            continue
        if path.stem in sets:
            raise InputError(
                f"{folder}: two files are named {path.stem}, as their scores would be; "
                f"rename or remove {path.name} or the other"
            )
        sets[path.stem] = found = read(path)
        if isinstance(found, Pairs) and found.header is not None:
            remarks.append(f"{path.name}: {shown(found.header)} is taken for a header")
    if not sets:
        raise InputError(f"{folder}: {_WANTED}")
    return Folder(list(sets.values()), remarks)


def _reader(path: Path) -> Callable[[Path], Pairs | Questions] | None:
    """What reads a file, judged by its first lines; None: it is no evaluation file."""
    ending = path.suffix.lower()
    if ending not in ENDINGS or not path.is_file():
        return None
    _, first = next(_lines(path, comment="//"), (0, ""))
    if first.startswith(":"):
        return read_questions
    # The ending .tsv promises word pairs; a .txt or .csv may hold anything.
    return read_pairs if ending == ".tsv" or _form(path) else None


class _Form(NamedTuple):
    separator: str | None
    header: str | None


def _form(path: Path) -> _Form | None:
    """How word pairs are written here, by the first two lines; None: there are none."""
    lines = [line for _, line in itertools.islice(_lines(path, comment="#"), 2)]
    for separator in _BETWEEN:
        for line in lines:
            pair = _pair(line, separator)
            # A number for the second word of a row without tabs: it is a word vector.
            if pair and not (separator is None and _is_number(pair[1])):
                named = line is not lines[0] and _is_header(lines[0], separator)
                return _Form(separator, lines[0] if named else None)
    return None


def _fields(line: str, separator: str | None) -> list[str]:
    quotes = '"' if separator in (",", ";") else None
    return [field.strip().strip(quotes) for field in line.split(separator)]


def _pair(line: str, separator: str | None) -> tuple[str, str, float] | None:
    first, second, third, *_ = [*_fields(line, separator), "", "", ""]
    if first and second and _is_number(third) and math.isfinite(float(third)):
        return first, second, float(third)
    return None


def _is_header(line: str, separator: str | None) -> bool:
    """Whether the third column has a name, and no number with a slip in it."""
    third = [*_fields(line, separator), "", "", ""][2]
    return third[:1].isalpha() and not _is_number(third)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _lines(path: Path, comment: str) -> Iterator[tuple[int, str]]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip() and not line.startswith(comment):
                    yield number, line.rstrip("\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text; convert it") from None
