"""`birt collect` as a person meets it; with LiteLLM against a server on loopback, where it is installed."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from bayes_irt_router.cli import app
from bayes_irt_router.data.canonical import read_dataset


def birt(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    rows = {
        "query_id": ["a", "b", "c"],
        "text": ["2 + 2?", "3 + 3?", "5 + 5?"],
        "answer": ["4", "6", "10"],
        "task": "sums",
    }
    pd.DataFrame(rows).to_csv(tmp_path / "prompts.csv", index=False)
    return tmp_path / "prompts.csv"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--score", "regex"], "needs --pattern"),
        (["--score", "command"], "needs --command"),
        (["--pattern", "x"], "--pattern goes with --score regex"),
        (["--score", "regex", "--pattern", "("], "cannot be read"),
        (["--budget-usd", "0"], "--budget-usd is 0"),
        (["--requests-per-minute", "-1"], "--requests-per-minute is -1"),
        (["--llms", " , "], "names no LLM"),
        (["--prompts", "none.csv"], "does not exist"),
        (["--llms", "none.csv"], "none.csv does not exist"),
        (["--score", "command", "--command", "no-such-program --fast"], "no program that can be started"),
        (["--temperature", "inf"], "--temperature is inf"),
    ],
)
def test_what_cannot_be_asked_for_is_one_sentence(
    prompts: Path, tmp_path: Path, options: list[str], told: str
):
    result = birt("collect", "--prompts", prompts, "--llms", "x/y", "--output", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("llm,input_price,output_price\nx/y,abc,1\n", "'abc' is not a number"),
        ("llm,input_price,output_price\nx/y,-1,1\n", "is negative"),
        ("llm,input_price,output_price\nx/y,1,\n", "one price of two"),
        ("llm,input_price,output_price\nx/y,1,1\nx/y,1,1\n", "duplicate, 'x/y'"),
        ("llm,input_price,output_price\n,1,1\n", "the cell is empty"),
        ("llm,input_price,output_price\n", "holds no rows"),
        ("llm,size\nx/y,8x7B\n", "'8x7B' is not a number"),
    ],
)
def test_the_table_of_llms_is_checked_before_anything_is_paid_for(
    prompts: Path, tmp_path: Path, table: str, told: str
):
    (tmp_path / "llms.csv").write_text(table)
    out = tmp_path / "out"
    result = birt("collect", "--prompts", prompts, "--llms", tmp_path / "llms.csv", "--output", out)
    assert result.exit_code == 2
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_every_problem_of_a_collection_is_told_at_once(tmp_path: Path):
    (tmp_path / "prompts.csv").write_text("text\n")
    (tmp_path / "llms.csv").write_text("llm\n")
    line = ["--prompts", tmp_path / "prompts.csv", "--llms", tmp_path / "llms.csv", "--budget-usd", "-1"]
    result = birt("collect", *line, "--score", "regex", "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 4


def test_prompts_without_answers_cannot_be_compared(tmp_path: Path):
    (tmp_path / "p.csv").write_text("text\n2 + 2?\n")
    result = birt("collect", "--prompts", tmp_path / "p.csv", "--llms", "x/y", "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "no answer to compare with" in result.stderr


@dataclass
class Stub:
    """An OpenAI-compatible server on loopback: it is busy at first, and adds up what it is asked."""

    busy: int = 1
    asked: list[dict] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def stub() -> Iterator[Stub]:
    told = Stub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if told.busy > 0:
                told.busy -= 1
                self._send(
                    429, {"error": {"message": "slow down", "type": "rate_limit"}}, {"retry-after": "0"}
                )
                return
            told.asked.append(asked)
            first = int(asked["messages"][-1]["content"].split()[0])
            content = str(2 * first) if asked["model"] == "good" else "no idea"
            self._send(
                200,
                {
                    "id": "1", "object": "chat.completion", "created": 0, "model": asked["model"],
                    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
                    "usage": {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10},
                },
            )  # fmt: skip

        def _send(self, status: int, content: dict, headers: dict[str, str] | None = None) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            for name, value in (
                {"content-type": "application/json", "content-length": str(len(body))} | (headers or {})
            ).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    told.address = f"http://127.0.0.1:{server.server_address[1]}/v1"
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="LiteLLM is not installed")
def test_two_llms_through_litellm_on_loopback(stub: Stub, prompts: Path, tmp_path: Path):
    llms = pd.DataFrame({"llm": ["openai/good", "openai/bad"], "input_price": 1.0, "output_price": 2.0})
    llms.to_csv(tmp_path / "llms.csv", index=False)
    line = [
        sys.executable, "-c", "from bayes_irt_router.cli import main; main()", "collect",
        "--prompts", str(prompts), "--llms", str(tmp_path / "llms.csv"), "--output", str(tmp_path / "out"),
        "--api-base", stub.address, "--concurrency", "2", "--budget-usd", "1", "--json",
    ]  # fmt: skip
    # A process of its own: importing LiteLLM warns of things that are not ours.
    environment = os.environ | {"OPENAI_API_KEY": "none", "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(2):  # the second run finds everything done
        done = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        assert len(stub.asked) == 6
        told = json.loads(done.stdout)
        assert told["spent_usd"] == pytest.approx(6 * (8 * 1.0 + 2 * 2.0) / 1e6)
        assert told["declined"] == []
    assert {one["max_tokens"] for one in stub.asked} == {1024}
    data = read_dataset(tmp_path / "out")
    assert data["score"].sel(llm="openai/good").values.tolist() == [1.0, 1.0, 1.0]
    assert data["score"].sel(llm="openai/bad").values.tolist() == [0.0, 0.0, 0.0]
    assert float(data["output_tokens"].mean()) == 2.0
