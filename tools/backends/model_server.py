"""One model on one server: sends requests and interprets errors."""

from pydantic import BaseModel, ValidationError

from ctgi.errors import CtgiError, ToolError
from ctgi.text import plain
from ctgi.tools.backends.chat_completions import Json
from ctgi.tools.backends.endpoint import Unavailable
from ctgi.tools.backends.openai_client import ServerClient, StatusError
from ctgi.tools.backends.refusals import Complaint, RefusedError, complaint, unavailable


class ModelServer:
    """Sends requests and reads errors. Whether an error ends the run depends on earlier successes."""

    def __init__(self, model: str, client: ServerClient, key_variable: str) -> None:
        self._model, self._client, self._key_variable = model, client, key_variable
        self.name = str(client.address)
        self.worked = False
        """Whether any call was answered, as the caller says."""

    async def post(self, body: Json) -> bytes:
        """The body of the reply to a chat request.

        Raises:
            Unavailable: no reply, or an error after which another try may succeed.
            RefusedError: the server cannot serve this request as it is.
            ToolError: it refuses this request for good.
            CtgiError: for the user to fix: the key, the model's name, the account.
        """
        try:
            return await self._client.post("/chat/completions", body)
        except StatusError as error:
            raise await self.meaning(complaint(error.status, error.body, error.retry_after, self.hide)) from None

    async def meaning(self, said: Complaint) -> Exception:
        """The exception for an error: try again, this request failed, or the user must fix something."""
        status, words = said.status, said.words
        if status == 402 or said.code == "insufficient_quota":
            return CtgiError(f"{self.name}: the account has no quota left: {words}")
        if status in (408, 409, 429) or status >= 500:
            return unavailable(said)
        if status in (0, 400, 422):
            return RefusedError(said)
        if status == 401 or (status == 403 and not self.worked and await self._models() is None):
            return CtgiError(self._wrong_key(status))
        if not self.worked and (status in (405, 410) or status < 400):
            return CtgiError(f"{self.name} answers with status {status}: check base_url, which usually ends in /v1")
        return await self.refused(said)

    async def refused(self, said: Complaint) -> Exception:
        """The exception for a final refusal: the server does not list the model, or it concerns only this request."""
        name, words = self.name, said.words
        if said.status == 0:
            return Unavailable(words)
        is_about_model = said.status == 404 or (not self.worked and self._model in words)
        models = await self._models() if is_about_model else None
        if models is not None and self._model not in models:
            known = ", ".join(plain(model)[:80] for model in models[:10]) or "none"
            return CtgiError(f"{name} has no model {self._model!r}: it serves {known}: bind the tool to one of them")
        if models is None and said.status == 404 and not self.worked:
            return CtgiError(f"{name}: {words}: check the model's name, and base_url, which usually ends in /v1")
        status = "" if said.status in (400, 422) else f" with status {said.status}"
        return ToolError(f"{name} refused the request{status}: {words}")

    def hide(self, text: str) -> str:
        """A text of the server without the key, the password of the address, and header values."""
        return self._client.secrets.mask_error(text)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _models(self) -> list[str] | None:
        """The names of the server's models; None if it does not list them."""
        try:
            return [model.id for model in _Models.model_validate_json(await self._client.get("/models")).data]
        except (StatusError, Unavailable, ValidationError):
            return None

    def _wrong_key(self, status: int) -> str:
        name = self.name
        if self._client.uses_password:
            return f"{name} refuses the user and password of its base_url (status {status}): check them"
        if self._key_variable:
            return f"{name} refuses the key (status {status}): check the variable {self._key_variable}"
        return (
            f"{name} wants a key (status {status}) and was sent none: a key goes only to its own endpoint. "
            "Give this base_url its api_key_env under [endpoints.NAME] in ctgi.toml, and bind the tool to "
            f"NAME:{self._model}"
        )


class _ModelName(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_ModelName]
