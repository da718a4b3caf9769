"""Models that answer from a script, to test code that uses ctgi: no weights, no network, the same replies every time.

    from ctgi.testing import ScriptedMllm, ScriptedServer

`ScriptedMllm` answers in the process, as a binding. `ScriptedServer` answers over HTTP as an OpenAI-compatible server
does, with tool calls, probabilities and faults.
"""

from ctgi.testing.mllm import ScriptedMllm
from ctgi.testing.replies import HANG, MALFORMED, RESET, Fault, Reply, ToolCall, http_error
from ctgi.testing.requests import Request
from ctgi.testing.script import UnscriptedError
from ctgi.testing.server import ScriptedServer

__all__ = [
    "HANG",
    "MALFORMED",
    "RESET",
    "Fault",
    "Reply",
    "Request",
    "ScriptedMllm",
    "ScriptedServer",
    "ToolCall",
    "UnscriptedError",
    "http_error",
]
