"""Secrets are masked by name, by shape and by value, and nothing else is touched."""

from __future__ import annotations

import base64
import random
import string
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from toolkit.redact import MASK
from toolkit.redact import Redactor

_ALPHANUMERIC = string.ascii_letters + string.digits
_COMMIT = "3f786850e387550fdab836ed7e6dc881de23001b"


def _random(length: int, alphabet: str = _ALPHANUMERIC) -> str:
    """Random text with a digit in it, the same at every run."""
    source = random.Random(length)
    return "7" + "".join(source.choices(alphabet, k=length - 1))


# Put together at run time, so that no scanner takes this file for a leak.
_TOKENS = {
    "Hugging Face": "hf_" + _random(34),
    "OpenAI": "sk-" + _random(48),
    "OpenAI project": "sk-proj-" + _random(120, _ALPHANUMERIC + "_-"),
    "Anthropic": "sk-ant-api03-" + _random(93, _ALPHANUMERIC + "_-"),
    "Stripe": "sk_live_" + _random(24),
    "GitHub": "ghp_" + _random(36),
    "GitHub OAuth": "gho_" + _random(36),
    "GitHub fine-grained": "github_pat_" + _random(22) + "_" + _random(59),
    "GitLab": "glpat-" + _random(20),
    "AWS": "AKIA" + _random(16, string.ascii_uppercase + string.digits),
    "Google": "AIza" + _random(35),
    "Slack": "xoxb-" + _random(12, string.digits) + "-" + _random(24),
    "W&B": "wandb_v1_" + _random(60),
    "PyPI": "pypi-" + _random(150),
    "npm": "npm_" + _random(36),
    "Databricks": "dapi" + _random(32, "0123456789abcdef"),
    "JSON Web Token": "eyJ" + _random(30) + ".eyJ" + _random(60) + "." + _random(43),
}


@pytest.mark.parametrize("token", _TOKENS.values(), ids=_TOKENS.keys())
@pytest.mark.parametrize("text", ["{}", "using {} now", "x='{}',", "[{}]\n", "https://host/{}/x"])
def test_token_shapes(token: str, text: str) -> None:
    """A token of a well-known shape is masked wherever it stands in a text."""
    masked = Redactor().text(text.format(token))

    assert token not in masked
    assert masked == text.format(MASK)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("password=hunter2", "password=***"),
        ("api_key = 'a b c', lr=0.1", "api_key = '***', lr=0.1"),
        ('{"apiKey": "abc", "lr": 0.1}', '{"apiKey": "***", "lr": 0.1}'),
        ('{\\"secret\\": \\"abc\\", \\"lr\\": 1}', '{\\"secret\\": \\"***\\", \\"lr\\": 1}'),
        ("Config(password='it\\'s', lr=0.1)", "Config(password='***', lr=0.1)"),
        ("Config(password=abc)", "Config(password=***)"),
        ("Config(hf_token=b'abc')", "Config(hf_token=b'***')"),
        ("db.password: abc", "db.password: ***"),
        ("client-secret: abc", "client-secret: ***"),
        ("AccountName=me;AccountKey=abc;x=1", "AccountName=me;AccountKey=***;x=1"),
        ("export WANDB_API_KEY=abc && run", "export WANDB_API_KEY=*** && run"),
        ("run --api-key abc --lr 0.1", "run --api-key *** --lr 0.1"),
        ("run --hf-token=abc", "run --hf-token=***"),
        ("https://host/x?access_token=abc&page=2", "https://host/x?access_token=***&page=2"),
        ("https://host/x?X-Amz-Signature=abc&y=1", "https://host/x?X-Amz-Signature=***&y=1"),
        ("PGPASSWORD=abc psql", "PGPASSWORD=*** psql"),
        ("token=abc", "token=***"),
        ("token: a1b2c3d4e5", "token: ***"),
        ("secret: 1234", "secret: ***"),
        ("password2=abc", "password2=***"),
        ('"password": "unfinished', '"password": "***'),
        ("{'passwords': ['hunter22', b'x y']}", "{'passwords': ['***', b'***']}"),
        ('{"token": [101, 102], "lr": 1}', '{"token": [101, 102], "lr": 1}'),
        ('{"secrets": [], "token": {"id": 5}}', '{"secrets": [], "token": {"id": 5}}'),
        ('{\\"secrets\\": [\\n \\"abc\\"]\\n}', '{\\"secrets\\": [\\n \\"***\\"]\\n}'),
        (
            '"secret": {"user": "joe", "of": ("x",)}, 1',
            '"secret": {"user": "***", "of": ("***",)}, 1',
        ),
        ("passwords: [abc, d e]\nlr: 1", "passwords: [***, ***]\nlr: 1"),
        ("password=(abc)token=x y", "password=(***)*** y"),
        ('"passwords": ["unfinished', '"passwords": ["***'),
        ('{"cookie": ["a=1; b=2"], "lr": 1}', '{"cookie": ["***"], "lr": 1}'),
    ],
)
def test_assignments(text: str, masked: str) -> None:
    """In running text, what follows a credential's name is masked, item by item, and only that."""
    assert Redactor().text(text) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abc def", "Authorization: ***"),
        ("-H 'Authorization: Token abc' x", "-H 'Authorization: ***' x"),
        ("{'Authorization': 'Basic abc'}", "{'Authorization': '***'}"),
        ("Cookie: a=1; session=2", "Cookie: ***"),
        ("sent Bearer 0123456789abcdef0", "sent Bearer ***"),
        ("sent basic dXNlcjpwYXNzd29yZDE=", "sent basic ***"),
    ],
)
def test_headers(text: str, masked: str) -> None:
    """Authorization and cookie headers are masked up to their end."""
    assert Redactor().text(text) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://me:pw@db:5432/x", "postgresql://***@db:5432/x"),
        ("http://me:p@ss@proxy:3128", "http://***@proxy:3128"),
        ("https://oauth2@host/repo.git", "https://***@host/repo.git"),
        ("at https://host/a@b and c@d", "at https://host/a@b and c@d"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
    ],
)
def test_user_info(text: str, masked: str) -> None:
    """User-info is cut out of URLs; an @ elsewhere is none."""
    assert Redactor().text(text) == masked


def _pem(kind: str) -> str:
    source = random.Random(5)
    body = base64.b64encode(source.randbytes(300)).decode("ascii")
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----"])


@pytest.mark.parametrize("kind", ["PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY"])
def test_private_key(kind: str) -> None:
    """A private key is masked from its first line to its last, also when newlines are escaped."""
    key = _pem(kind)
    escaped = key.replace("\n", "\\n")

    assert Redactor().text(f"before\n{key}\nafter") == f"before\n{MASK}\nafter"
    assert Redactor().text(f'{{"a": "{escaped}", "b": 1}}') == f'{{"a": "{MASK}", "b": 1}}'


def test_private_key_in_lines() -> None:
    """A private key that arrives line by line loses its first line and every full one."""
    lines = _pem("PRIVATE KEY").splitlines()

    masked = [Redactor().text(line) for line in lines]

    assert masked[:-2] == [MASK] * (len(lines) - 2)


_CREDENTIALS = (
    "api_key apikey apiKey APIKey API_KEY wandb.api_key openai-api-key secret client_secret "
    "password db_password dbPassword passwd passphrase db_pwd access_token accessToken auth_token "
    "hf_token hfToken github_token token private_key privateKey credentials aws_secret_access_key "
    "authorization cookie SecretKey api_key_2 secrets"
)


@pytest.mark.parametrize("name", _CREDENTIALS.split())
def test_credential_names(name: str) -> None:
    """A text under a credential's name is masked, in snake, kebab, camel and dotted form."""
    assert Redactor().values({name: "abc"}) == {name: MASK}
    assert Redactor().text(f"{name}=abcdefgh") == f"{name}={MASK}"
    assert Redactor().command([f"--{name}", "abc"]) == (f"--{name}", MASK)


_HARMLESS = (
    "num_memory_tokens max_tokens max_token tokenizer tokenizer_name pad_token padToken eos_token "
    "bos_token mask_token unk_token cls_token sep_token image_token decoder_start_token "
    "token_dropout token_type token_id special_tokens additional_special_tokens key keys monkey "
    "keyboard key_dim query_key secretary password_length api_key_file PWD OLDPWD tokens"
)


@pytest.mark.parametrize("name", _HARMLESS.split())
def test_harmless_names(name: str) -> None:
    """Names that only look alike keep their values, in values, texts and commands."""
    assert Redactor().values({name: "abcdef12"}) == {name: "abcdef12"}
    assert Redactor().text(f"{name}=abcdef12") == f"{name}=abcdef12"
    assert Redactor().command([f"--{name}", "abcdef12"]) == (f"--{name}", "abcdef12")


@pytest.mark.parametrize(
    "text",
    [
        _COMMIT,
        f"commit {_COMMIT} (HEAD -> main)",
        "step 10 | loss: 0.31 tokens/s: 15023 token: 12 token_accuracy=0.4",
        "Next token: hello, and the token: world",
        "task-based-risk-1234567890-evaluation-run",
        "Basic classification of basic things; a bearer of news",
        "token=<|endoftext|> token='[PAD]'",
        "password=None token=null secret: false api_key='' cookie=***",
        "std::secret::Value secret://vault/path",
        "monkey=1 turkey: 2 key=3",
        "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ],
)
def test_harmless_text(text: str) -> None:
    """Commits, hashes, measurements and sentences stay as they are."""
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    ("values", "masked"),
    [
        ({"password": 1234, "token": 1234}, {"password": MASK, "token": 1234}),
        ({"password": True, "api_key": None}, {"password": True, "api_key": None}),
        ({"password": "", "use_auth_token": "true"}, {"password": "", "use_auth_token": "true"}),
        ({"hf_token": "<pad>"}, {"hf_token": "<pad>"}),
        ({"a": {"b": [{"password": "x"}]}}, {"a": {"b": [{"password": MASK}]}}),
        ({"credentials": {"user": "x"}}, {"credentials": MASK}),
        ({"api_keys": ["x", "y"]}, {"api_keys": [MASK, MASK]}),
        ({"uri": ("http://u:p@h", 1)}, {"uri": (f"http://{MASK}@h", 1)}),
        ({"argv": ["x.py", "--api-key", "abc"]}, {"argv": ["x.py", "--api-key", MASK]}),
        ({"token": {"size": 3}}, {"token": {"size": 3}}),
        ({"http://u:p@h": 1}, {f"http://{MASK}@h": 1}),
    ],
)
def test_values(values: dict[str, Any], masked: dict[str, Any]) -> None:
    """Values are masked at any depth; numbers under all names but tokens'; no bool, None or ''."""
    assert Redactor().values(values) == masked


@pytest.mark.parametrize(
    ("argv", "masked"),
    [
        (["--api-key", "X"], ["--api-key", MASK]),
        (["--api-key=X Y"], [f"--api-key={MASK}"]),
        (["-o", "wandb.api_key=X"], ["-o", f"wandb.api_key={MASK}"]),
        (["env", "HF_TOKEN=X", "run"], ["env", f"HF_TOKEN={MASK}", "run"]),
        (["+db.password=X"], [f"+db.password={MASK}"]),
        (["--use-auth-token", "--lr", "1"], ["--use-auth-token", "--lr", "1"]),
        (["--db", "mysql://u:p@h/d"], ["--db", f"mysql://{MASK}@h/d"]),
        (["--uri=mysql://u:p@h/d"], [f"--uri=mysql://{MASK}@h/d"]),
        (["bash", "-c", "run --token X --lr 1"], ["bash", "-c", f"run --token {MASK} --lr 1"]),
        (["-H", "Authorization: Bearer X"], ["-H", f"Authorization: {MASK}"]),
        (["--max-tokens", "512"], ["--max-tokens", "512"]),
    ],
)
def test_command(argv: list[str], masked: list[str]) -> None:
    """A command line keeps its shape and loses its secrets."""
    assert Redactor().command(argv) == tuple(masked)


def test_environment_secrets() -> None:
    """The values of credential variables, and passwords in URLs, are masked wherever they are."""
    redactor = Redactor.from_environment(
        {
            "WANDB_API_KEY": _COMMIT,
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
            "MLFLOW_TRACKING_PASSWORD": "correct horse",
            "DATABASE_URL": "postgresql://me:battery-staple@db/x",
        }
    )

    text = f"{_COMMIT} wJalrXUtnFEMI/K7MDENG 'correct horse' battery-staple"
    assert redactor.text(text) == f"{MASK} {MASK} '{MASK}' {MASK}"
    assert redactor.values({"x": [text]}) == {"x": [f"{MASK} {MASK} '{MASK}' {MASK}"]}
    assert redactor.command([_COMMIT]) == (MASK,)


def test_environment_without_secrets() -> None:
    """Short values, paths, masked values and other variables are no secrets."""
    redactor = Redactor.from_environment(
        {
            "SMALL_TOKEN": "short",
            "GOOGLE_APPLICATION_CREDENTIALS": "/etc/credentials.json",
            "PWD": "/home/somebody/project",
            "TOKENIZERS_PARALLELISM": "somewhere",
            "OTHER_PASSWORD": "********",
        }
    )

    assert redactor == Redactor()


def test_longest_secret_first() -> None:
    """A secret that begins with another one is masked as a whole."""
    redactor = Redactor.from_environment({"A_TOKEN": "abcdefgh", "B_TOKEN": "abcdefghijkl"})

    assert redactor.text("abcdefghijkl") == MASK


def test_secrets_of_several_lines() -> None:
    """A secret of several lines is masked although text comes line by line."""
    redactor = Redactor.from_environment({"A_SECRET": "first line\nsecond line"})

    assert redactor.text("the second line") == f"the {MASK}"


def test_redactor_does_not_show_its_secrets() -> None:
    """Printing a redactor prints no secret."""
    assert "abcdefgh" not in repr(Redactor.from_environment({"A_TOKEN": "abcdefgh"}))


_SYNTAX = (
    "password token api_key -- = : :// @ Bearer authorization *** None a 7 , [ { ) & abcdefghi"
)
_FRAGMENTS = st.sampled_from([*_TOKENS.values(), *_SYNTAX.split(), *" \n\t'\"\\"])


@settings(max_examples=300)
@given(st.lists(_FRAGMENTS | st.text(max_size=5), max_size=15))
def test_text_is_idempotent(pieces: list[str]) -> None:
    """Masking a masked text changes nothing."""
    redactor = Redactor.from_environment({"A_SECRET": "abcdefghi"})
    once = redactor.text("".join(pieces))

    assert redactor.text(once) == once


@settings(max_examples=200)
@given(st.text(alphabet=st.characters(exclude_characters="=:-@"), max_size=60))
def test_text_without_assignments_is_unchanged(text: str) -> None:
    """Text that has no assignment, URL or token in it stays as it is."""
    assert Redactor().text(text) == text


@settings(max_examples=200)
@given(st.lists(_FRAGMENTS | st.text(max_size=5), max_size=8).map("".join))
def test_no_token_survives(around: str) -> None:
    """A token between spaces is masked whatever stands around it."""
    token = _TOKENS["GitHub"]

    assert token not in Redactor().text(f"{around} {token} {around}")


_PIECES = (
    "sk- eyJ eyJaaaaaaaaaaaaa. password= password=) password='\\ token: token=< :// ://a@ a - _ "
    "api_org_ passw A1a key Aa secret\\ ?sig= token=' x\" password=[ token=({ secret=[], [a,"
)
_SPACED_PIECES = (
    "--token ",
    "key \t",
    "authorization: ",
    "bearer ",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----A",
    "A1a/" * 16 + "\n",
)


@pytest.mark.parametrize("piece", [*_PIECES.split(), *_SPACED_PIECES])
def test_time_is_linear(piece: str) -> None:
    """Four times the text takes nowhere near the 16 times as long of quadratic time."""
    short, long = piece * 5_000, piece * 20_000
    redactor = Redactor()

    def fastest(text: str) -> float:
        times = []
        for _ in range(3):
            start = time.process_time()
            redactor.text(f"password{text}token=<>")
            times.append(time.process_time() - start)
        return min(times)

    assert fastest(long) < 9 * fastest(short) + 0.05
