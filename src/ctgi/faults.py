"""Validation errors of pydantic in a few words."""

from pydantic import ValidationError


def first_fault(error: ValidationError, whole: str = "") -> str:
    """The first error, as `place: what`, without the value, which may hold a secret.

    whole: stands for the place where all of the value is meant.
    """
    problem = error.errors(include_url=False, include_input=False)[0]
    place = first_place(error) or whole
    return f"{place}: {problem['msg']}" if place else str(problem["msg"])


def all_faults(error: ValidationError) -> str:
    """All errors in one line, each with its place, without the values."""
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems)


def first_place(error: ValidationError) -> str:
    """Where that is, as in `endpoints.vllm.timeout_s`; empty where all of the value is meant."""
    return ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
