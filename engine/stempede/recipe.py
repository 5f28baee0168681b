"""Recipe: the science of a run as TOML, checked as a whole before anything is read.

A recipe lists ``[[prepare]]``, ``[[stage]]`` and ``[[reduce]]`` entries; each has ``use``
(a registered name, or ``my_file.py:MyStage`` beside the recipe) and the parameters of
that class. ``crystal``, a shipped name or a table, goes to every entry that has such a
parameter. All mistakes are collected and raised once. Where the run happens (device,
workers, memory) never stands in a recipe and never enters its hash.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

import pydantic

from stempede import toml
from stempede.errors import RecipeError
from stempede.route import unwritten
from stempede.stage import KINDS, find

_STRICT = pydantic.ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)
_WANTED = {
    "float_type": "a number",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "bool_type": "true or false",
    "string_type": "a text in quotes",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
}


class _Document(pydantic.BaseModel):
    """Top level of a recipe file."""

    model_config = _STRICT
    name: str
    version: int | str = 1
    prepare_frames: int = pydantic.Field(default=8, ge=1)
    crystal: str | dict[str, Any] | None = None
    prepare: list[dict[str, Any]] = []
    stage: list[dict[str, Any]] = []
    reduce: list[dict[str, Any]] = []


@dataclass(frozen=True)
class Entry:
    """One stage, prepare or reduce of a recipe, with every parameter filled in."""

    kind: str
    use: str
    parameters: Mapping[str, Any]
    made: Any = field(compare=False, repr=False)
    source_hash: str = ""

    @property
    def name(self) -> str:
        """The class's own name, unique within its kind."""
        return str(self.made.name)


@dataclass(frozen=True)
class Recipe:
    """A checked recipe; use ``Recipe.load``.

    Parameters
    ----------
    name, version : str
        For people; not part of the hash.
    prepare_frames : int
        How many usable frames each Prepare sees.
    entries : tuple of Entry
        In the order prepare, stage, reduce.
    folder : Path
        Where a user's own ``my_file.py`` is looked for.
    origin : str
        Shipped name or path it was loaded from; empty for a text.
    overrides : tuple of str
        Assignments made by ``set``, in order.
    """

    name: str
    version: str
    prepare_frames: int
    entries: tuple[Entry, ...]
    folder: Path = field(default_factory=Path.cwd, compare=False)
    origin: str = field(default="", compare=False)
    overrides: tuple[str, ...] = field(default=(), compare=False)

    KINDS: ClassVar[tuple[str, ...]] = ("prepare", "stage", "reduce")

    @classmethod
    def load(cls, source: str | Path) -> Recipe:
        """Read a shipped recipe by name, or a TOML file by path.

        Raises
        ------
        RecipeError
            There is no such recipe, or it has mistakes: all of them are listed.
        """
        shipped = resources.files("stempede") / "recipes" / f"{source}.toml"
        if re.fullmatch(r"\w+", str(source)) and shipped.is_file():
            text = shipped.read_text(encoding="utf-8")
            return cls.loads(text, origin=str(source))
        path = Path(source).absolute()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(
                f"a recipe is one of {', '.join(shipped_names())}, or a TOML file; "
                f"'{source}' cannot be read ({type(error).__name__}); check the name"
            ) from error
        return cls.loads(text, folder=path.parent, origin=str(path))

    @classmethod
    def loads(cls, text: str, *, folder: Path | None = None, origin: str = "") -> Recipe:
        """Read a recipe from its text; ``folder`` is where user files are looked for."""
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{origin or 'recipe'} is not TOML: {error}; correct it") from error
        return _build(document, folder or Path.cwd(), origin, overrides=())

    def to_toml(self) -> str:
        """Return the whole recipe with every parameter written out."""
        lines = [f"name = {toml.write(self.name)}", f"version = {toml.write(self.version)}"]
        lines.append(f"prepare_frames = {self.prepare_frames}")
        for entry in self.entries:
            lines += ["", f"[[{entry.kind}]]", f"use = {toml.write(entry.use)}"]
            given = {k: v for k, v in entry.parameters.items() if v is not None}
            lines += [f"{k} = {toml.write(v)}" for k, v in given.items()]
        return "\n".join(lines) + "\n"

    @property
    def hash(self) -> str:
        """sha256 of what decides the numbers: entries, parameters, text of user files."""
        content = {
            "prepare_frames": self.prepare_frames,
            "entries": [
                [e.kind, Path(e.use).name, e.source_hash, sorted(e.parameters.items())]
                for e in self.entries
            ],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def set(self, *assignments: str) -> Recipe:
        """Return this recipe with parameters changed.

        Parameters
        ----------
        *assignments : str
            ``segment.smooth_px=1.5``, ``particles.segment.smooth_px=1.5`` or
            ``prepare_frames=4``; values are TOML, a bare word is a text.

        Raises
        ------
        RecipeError
            Lists every assignment that cannot be made and every value that does not fit.
        """
        document = tomllib.loads(self.to_toml())
        mistakes = [m for a in assignments if (m := self._assign(document, a))]
        overrides = self.overrides + assignments
        return _build(document, self.folder, self.origin, overrides, mistakes)

    def with_entry(self, kind: str, use: str, parameters: Mapping[str, Any]) -> Recipe:
        """Return this recipe with one more entry at the end of its kind, in place of its like.

        It is no longer the recipe of the file it was loaded from, and has no origin.
        """
        document = tomllib.loads(self.to_toml())
        others = [raw for raw in document.get(kind, []) if raw["use"] != use]
        document[kind] = [*others, {"use": use, **parameters}]
        return _build(document, self.folder, "", self.overrides)

    def _assign(self, document: dict[str, Any], assignment: str) -> str:
        """Change one parameter of a document; return the mistake, empty if there is none."""
        target, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals or not target:
            return f"a setting is stage.parameter=value; found '{assignment}'"
        if target == "prepare_frames":
            document[target] = toml.parse(text)
            return ""
        if target == "crystal":
            return self._assign_crystal(document, toml.parse(text))
        stage, _, parameter = target.rpartition(".")
        found = [e for e in self.entries if stage in (e.name, e.name.rpartition(".")[2])]
        if len(found) != 1:
            known = [e.name for e in self.entries]
            what = "is more than one of" if found else "is none of"
            return f"'{assignment}': stage '{stage}' {what} {', '.join(known)}"
        of_kind = [e for e in self.entries if e.kind == found[0].kind]
        document[found[0].kind][of_kind.index(found[0])][parameter] = toml.parse(text)
        return ""

    def _assign_crystal(self, document: dict[str, Any], crystal: Any) -> str:
        """Give every entry that measures a crystal another one."""
        entries = [e for kind in self.KINDS for e in document.get(kind, []) if "crystal" in e]
        for entry in entries:
            entry["crystal"] = crystal
        return "" if entries else "'crystal' is set, but no stage of this recipe has a crystal"

    def of_kind(self, kind: str) -> tuple[Any, ...]:
        """Return the instances of one kind: ``prepare``, ``stage`` or ``reduce``."""
        return tuple(e.made for e in self.entries if e.kind == kind)

    def specs(self, kind: str) -> tuple[tuple[str, str, dict[str, Any]], ...]:
        """Return (use, folder, parameters) of one kind: what a worker builds its stages from."""
        return tuple(
            (e.use, str(self.folder), dict(e.parameters)) for e in self.entries if e.kind == kind
        )


def shipped_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = resources.files("stempede") / "recipes"
    return sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".toml"))


def difference(a: Recipe, b: Recipe) -> list[str]:
    """Return in words what changes from recipe ``a`` to recipe ``b``, empty if nothing does."""
    words = []
    if a.prepare_frames != b.prepare_frames:
        words.append(f"prepare_frames: {a.prepare_frames} -> {b.prepare_frames}")
    before = {(e.kind, e.name): e for e in a.entries}
    after = {(e.kind, e.name): e for e in b.entries}
    words += [f"{k} '{n}' removed" for k, n in before if (k, n) not in after]
    words += [f"{k} '{n}' added" for k, n in after if (k, n) not in before]
    for key in [k for k in before if k in after]:
        old, new = before[key], after[key]
        if old.source_hash != new.source_hash:
            words.append(f"{key[1]}: the text of {new.use.partition(':')[0]} changed")
        for p in dict.fromkeys([*old.parameters, *new.parameters]):
            was, now = old.parameters.get(p), new.parameters.get(p)
            if was != now:
                words.append(f"{key[1]}.{p}: {was} -> {now}")
    if not words and a.hash != b.hash:
        words.append("the order of the stages changed")
    return words


def _build(
    document: dict[str, Any],
    folder: Path,
    origin: str,
    overrides: tuple[str, ...],
    mistakes: Sequence[str] = (),
) -> Recipe:
    """Check a document and make the recipe, or raise all its mistakes at once."""
    mistakes = list(mistakes)
    top = _validated(_Document, document, "recipe", mistakes)
    kept = top or {k: v for k, v in document.items() if isinstance(v, list)}
    listed = [(kind, raw) for kind in Recipe.KINDS for raw in kept.get(kind, [])]
    classes = [_class(kind, raw, folder, mistakes) for kind, raw in listed]
    if kept.get("crystal") is not None:
        shared = {"crystal": kept["crystal"]}
        listed = [
            (kind, {**shared, **raw} if _has(cls, "crystal") else raw)
            for (kind, raw), cls in zip(listed, classes)
        ]
    entries = [
        _entry(kind, raw, cls, folder, mistakes)
        for (kind, raw), cls in zip(listed, classes)
        if cls is not None
    ]
    if not kept.get("stage"):
        mistakes.append("a recipe needs at least one [[stage]]; found none; add one")
    if None not in classes:
        route = [(kind, cls) for (kind, _), cls in zip(listed, classes)]
        mistakes += _doubles(route) + unwritten(route)
    if mistakes or top is None:
        raise RecipeError(_listed(mistakes, origin))
    name, version, k = top["name"], str(top["version"]), top["prepare_frames"]
    return Recipe(name, version, k, tuple(e for e in entries if e), folder, origin, overrides)


def _class(kind: str, raw: Any, folder: Path, mistakes: list[str]) -> Any:
    """Return the class an entry names, or add why there is none and return None."""
    use = raw.get("use") if isinstance(raw, Mapping) else None
    if not isinstance(use, str):
        mistakes.append(f'[[{kind}]] wants use = "name"; found {raw!r}; add it')
        return None
    try:
        return find(kind, use, folder)
    except RecipeError as error:
        close = difflib.get_close_matches(use, KINDS[kind], 1)
        mistakes.append(str(error) + (f"; did you mean '{close[0]}'?" if close else ""))
    except ImportError as error:
        mistakes.append(f"{kind} '{use}' cannot be imported ({error}); install what it needs")
    return None


def _entry(kind: str, raw: Any, cls: Any, folder: Path, mistakes: list[str]) -> Entry | None:
    """Return an entry with its parameters checked, or add its mistakes and return None."""
    use = raw["use"]
    given = {k: v for k, v in raw.items() if k != "use"}
    values = _validated(_model(cls), given, f"{kind} '{use}'", mistakes)
    if values is None:
        return None
    try:
        made = cls(**values)
    except (ValueError, TypeError) as error:
        mistakes.append(f"{kind} '{use}': {error}")
        return None
    return Entry(kind, use, _parameters(made), made, _source_hash(use, folder))


def _has(cls: Any, parameter: str) -> bool:
    return dataclasses.is_dataclass(cls) and parameter in {f.name for f in dataclasses.fields(cls)}


def _model(cls: type) -> type[pydantic.BaseModel]:
    """Return the pydantic model of a stage's parameters: the fields of its dataclass."""
    fields: dict[str, Any] = {}
    if dataclasses.is_dataclass(cls):
        hints = get_type_hints(cls, include_extras=True)
        for f in dataclasses.fields(cls):
            if not f.init:
                continue
            default: Any = ...
            if f.default is not dataclasses.MISSING:
                default = f.default
            elif f.default_factory is not dataclasses.MISSING:
                default = pydantic.Field(default_factory=f.default_factory)
            fields[f.name] = (hints[f.name], default)
    return pydantic.create_model(cls.__name__, __config__=_STRICT, **fields)


def _validated(
    model: type[pydantic.BaseModel], given: Mapping[str, Any], where: str, mistakes: list[str]
) -> dict[str, Any] | None:
    """Return the values of a model, or add its mistakes to the list and return None."""
    try:
        # through JSON, where a list may stand for a tuple and nothing else is coerced
        checked = model.model_validate_json(json.dumps(given, default=str))
    except pydantic.ValidationError as error:
        known = list(model.model_fields)
        mistakes += [_mistake(e, where, known) for e in error.errors()]
        return None
    return {name: getattr(checked, name) for name in model.model_fields}


def _mistake(error: Any, where: str, known: list[str]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, known, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known) or 'none'}"
        return f"{where} has no parameter '{key}'; {hint}"
    if error["type"] == "missing":
        return f"{where} needs '{key}'; found none; add it"
    said = error["msg"].removeprefix("Input should be ")
    wanted = _WANTED.get(error["type"], said[0].lower() + said[1:])
    return f"{where}: '{key}' wants {wanted}; found {error['input']!r}; correct it"


def _parameters(made: Any) -> dict[str, Any]:
    """Return the parameters of a stage as TOML has them."""
    if not dataclasses.is_dataclass(made):
        return {}
    return {f.name: _plain(getattr(made, f.name)) for f in dataclasses.fields(made) if f.init}


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return value


def _source_hash(use: str, folder: Path) -> str:
    if ".py:" not in use:
        return ""
    return hashlib.sha256((folder / use.rsplit(":", 1)[0]).read_bytes()).hexdigest()


def _doubles(route: Sequence[tuple[str, Any]]) -> list[str]:
    names = [(kind, cls.name) for kind, cls in route]
    return [
        f"{kind} '{name}' stands twice; each may stand once"
        for kind, name in dict.fromkeys(names)
        if names.count((kind, name)) > 1
    ]


def _listed(mistakes: list[str], origin: str = "") -> str:
    if len(mistakes) == 1:
        return mistakes[0]
    head = f"{origin or 'the recipe'} has {len(mistakes)} mistakes:"
    return "\n".join([head, *(f"  - {m}" for m in mistakes)])
