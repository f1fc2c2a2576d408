"""LLMs of any provider, through LiteLLM."""

import os
from dataclasses import dataclass
from typing import Any

from bayes_irt_router.data.collection.client import Busy, Declined, Refused, Reply
from bayes_irt_router.errors import InputError


@dataclass(frozen=True)
class LiteLLMClient:
    """Chat completions; keys come from the environment, as LiteLLM documents them (OPENAI_API_KEY, ...).

    Attributes:
        max_tokens: of an answer.
        temperature: of sampling; None leaves it to the provider.
        system: text of a system message, if any.
        api_base: address of an OpenAI-compatible server.
        timeout: seconds for one request.
    """

    max_tokens: int
    temperature: float | None = 0.0
    system: str | None = None
    api_base: str | None = None
    timeout: float = 120.0

    def ask(self, llm: str, prompt: str) -> Reply:
        """The LLM's answer."""
        litellm = imported_litellm()
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        try:
            answer = litellm.completion(
                model=llm,
                messages=[*system, {"role": "user", "content": prompt}],
                max_tokens=self.max_tokens,
                temperature=self.temperature,
                api_base=self.api_base,
                timeout=self.timeout,
                num_retries=0,
                max_retries=0,  # of the provider's own library
                drop_params=True,  # such as a temperature that an LLM does not take
            )
        except (litellm.AuthenticationError, litellm.NotFoundError, litellm.PermissionDeniedError) as error:
            raise Refused(_short(error)) from None
        except (
            litellm.RateLimitError,
            litellm.Timeout,
            litellm.APIConnectionError,
            litellm.InternalServerError,
            litellm.BadGatewayError,
            litellm.ServiceUnavailableError,
        ) as error:
            raise Busy(_short(error), retry_after(_headers(error).get("retry-after"))) from None
        except litellm.BadRequestError as error:
            # LiteLLM says so, too, when it does not know a provider, which no other prompt will mend.
            if "LLM Provider NOT provided" in str(error):
                raise Refused("LiteLLM does not know its provider; write PROVIDER/NAME") from None
            raise Declined(_short(error)) from None
        except litellm.openai.OpenAIError as error:  # what all of LiteLLM's other errors are
            raise Declined(_short(error)) from None
        if not answer.choices:
            raise Declined("the answer holds no choice")
        choice, usage = answer.choices[0], getattr(answer, "usage", None)
        return Reply(
            choice.message.content or "",
            getattr(usage, "prompt_tokens", None),
            getattr(usage, "completion_tokens", None),
            choice.finish_reason == "length",
        )


def imported_litellm() -> Any:
    """The module, kept from asking the network for prices and from printing.

    Raises:
        InputError: it is not installed.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        import litellm
    except ImportError:
        raise InputError("LiteLLM is not installed; install bayes_irt_router[collect].") from None
    litellm.suppress_debug_info = True
    return litellm


def retry_after(header: str | None) -> float | None:
    """Seconds, from the header of that name; None where it is missing or a date.

    >>> retry_after("2.5"), retry_after("Wed, 21 Oct 2026 07:28:00 GMT"), retry_after(None)
    (2.5, None, None)
    """
    try:
        seconds = float(header) if header is not None else -1.0
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _headers(error: Any) -> dict[str, str]:
    response = getattr(error, "response", None)
    found = dict(getattr(response, "headers", None) or {})
    found |= dict(getattr(error, "litellm_response_headers", None) or {})
    return {str(name).lower(): str(value) for name, value in found.items()}


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
