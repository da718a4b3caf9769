"""The page's application: one router per subject, and what is answered where something is wrong."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from ctgi.errors import CtgiError, ImageError, ToolError
from ctgi.ui import captions, gallery, searches, shortlist, traces
from ctgi.ui.pictures import UnknownImageError
from ctgi.ui.site import Site

_NOT_FOUND = 404


def create_app(site: Site) -> FastAPI:
    """The application that serves `site`. Put `ctgi.ui.guard.Guard` before it."""
    app = FastAPI(title="ctgi", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.site = site
    for subject in (searches, shortlist, gallery, captions, traces):
        app.include_router(subject.router)
    app.mount("/static", StaticFiles(directory=Path(str(files("ctgi.ui") / "static"))))
    for kind in (CtgiError, ToolError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _problem)
    return app


async def _problem(request: Request, error: Exception) -> HTMLResponse:
    """What is wrong and what cures it, as a page; a form that failed can be sent again from there."""
    site: Site = request.app.state.site
    status, title, text = _said(error)
    may_pass = request.method == "POST" and isinstance(error, CtgiError | ToolError)
    form = (await request.form()).multi_items() if may_pass else []
    return site.page(request, "problem.html.j2", status=status, title=title, problem=text, form=form)


def _said(error: Any) -> tuple[int, str, str]:
    if isinstance(error, UnknownImageError):
        return _NOT_FOUND, "No such image", str(error)
    if isinstance(error, ImageError):
        return 410, "This image is gone or has changed", str(error)
    if isinstance(error, HTTPException):
        title = "There is no such page" if error.status_code == _NOT_FOUND else "That did not work"
        told = "Check the address, or begin at the search." if error.detail == "Not Found" else str(error.detail)
        return error.status_code, title, told
    if isinstance(error, RequestValidationError):
        return 422, "That did not work", "The form came without something that it needs, or with too much."
    if isinstance(error, CtgiError | ToolError):
        return 409, "That did not work", str(error)
    return 500, "That did not work", "ctgi failed here, which is a fault of ctgi: the terminal says more."
