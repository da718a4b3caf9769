"""Digests of what a run depends on besides its settings: prompts, question pool, code."""

import ast
import hashlib
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from ctgi.agents.prompts import Wording, prompt, prompt_names
from ctgi.reading import read_bytes

_CODE = ("agents", "graphs", "retrieval", "runs", "tools")
_DIGITS = 12
_EXECUTED = "ast:"
"""Before the digest of what a module executes. Those of ctgi 0.1 have no such mark and are of the file's bytes."""


def digests(pool: Path | None, wording: Wording = prompt) -> dict[str, str]:
    """Content of the prompts, the question pool and the code that decides what is asked, by name.

    Raises:
        CtgiError: the question pool cannot be read.
    """
    source = pool or files("ctgi.agents") / "question_pool.yaml"
    other = [name for name in prompt_names() if wording(name) != prompt(name)]
    own = {f"prompts/{name}.txt": digest_bytes(wording(name).encode()) for name in other}
    return {"question_pool": digest_bytes(read_bytes(source, "question pool")), **_packaged(), **own}


def changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Names of what has changed. Moving a module or editing its comments is not a change."""
    code_then, code_now = _code(then), _code(now)
    other = (then.keys() - code_then) | (now.keys() - code_now)
    changed = {name for name in other if then.get(name) != now.get(name)}
    if code_then and not all(digest.startswith(_EXECUTED) for digest in code_then.values()):
        return sorted(changed | {"code"})  # by the file's bytes, so that there is nothing to compare with
    gone = Counter(code_then.values()) - Counter(code_now.values())
    new = Counter(code_now.values()) - Counter(code_then.values())
    changed |= {name for name, digest in code_then.items() if digest in gone}
    return sorted(changed | {name for name, digest in code_now.items() if digest in new})


def digest_bytes(content: bytes) -> str:
    """A few hex digits that stand for this content."""
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def executed(source: bytes) -> str:
    """A digest of what a module executes.

    Comments, docstrings and layout have no part in it, nor has the module that a name of ctgi's own is imported from.
    """
    parts: list[str] = []
    _spell(ast.parse(source), parts)
    return _EXECUTED + digest_bytes("\n".join(parts).encode(errors="surrogatepass"))


def _spell(node: object, parts: list[str]) -> None:
    """Add what a node says, without empty fields: which of those there are differs between versions of Python."""
    if isinstance(node, list):
        for one in node:
            if not _is_text(one):
                _spell(one, parts)
    elif isinstance(node, ast.AST):
        parts.append(f"({type(node).__name__}")
        for name in node._fields:
            value = getattr(node, name, None)
            if name == "module" and str(value).startswith("ctgi."):
                value = "ctgi"
            if value is not None and value != []:
                parts.append(name)
                _spell(value, parts)
        parts.append(")")
    else:
        parts.append(repr(node))


def _is_text(statement: object) -> bool:
    """A docstring, of a module, class, function or attribute."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _code(found: Mapping[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in found.items() if name.endswith(".py")}


@cache
def _packaged() -> dict[str, str]:
    prompts = {f"prompts/{one.name}": one for one in (files("ctgi.agents") / "prompts").iterdir() if one.is_file()}
    found = {name: digest_bytes(one.read_bytes()) for name, one in prompts.items()}
    for layer in _CODE:
        folder = Path(str(files(f"ctgi.{layer}")))
        for path in folder.rglob("*.py"):
            found[f"{layer}/{path.relative_to(folder)}"] = executed(path.read_bytes())
    return dict(sorted(found.items()))
