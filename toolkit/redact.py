"""Keeps secrets out of what is recorded: by name, by shape, and by the values in the environment.

What is masked:

- the value under a name that says so: ``api_key``, ``hfToken``, ``db.password``, ``client-secret``;
  in a text, each item of a list or mapping there;
- text that has the shape of a well-known token, an authorization header or a private key;
- user-info and signatures in URLs;
- every value that a credential variable of the environment holds, wherever it turns up.

What is not: booleans, None and empty text under any name; numbers under the name of a token;
tokens of language models (``pad_token``, ``num_memory_tokens``); 40 hexadecimal digits, which are a
git commit. Other numbers under a credential's name are masked, because a PIN is a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from attrs import field
from attrs import frozen

MASK = "***"

_MIN_LITERAL = 8
"""A shorter value of an environment variable would mask parts of ordinary words."""


def _set(words: str) -> frozenset[str]:
    """The words of a text, for lists that would be hard to read one by one."""
    return frozenset(words.split())


_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_SECRETS = _set(
    "authorization cookie cookies credential credentials passcode passphrase passwords secret "
    "secrets accesskey privatekey secretkey"
)
_SECRET_ENDINGS = ("password", "passwd", "apikey")
_KEY_OWNERS = _set(
    "access account admin api auth consumer deploy encryption hmac license master private secret "
    "signing ssh subscription"
)
_TOKENS = _set("token accesstoken apitoken authtoken bearertoken hftoken")
_MODEL_WORDS = _set(
    "added additional assistant audio begin blank boa bod boi bos byte char class cls continuation "
    "control current decoder dummy each encoder end eoa eod eoi eom eos eot extra fake fim first "
    "image img input instruction label lang language last latent mask max memory middle min new "
    "newline next null num object output pad padding patch pause per placeholder prefix previous "
    "prompt query register response role sentinel sep separator sos source space special speech "
    "start stop sub subword suffix tail target text tgt think thinking tool unk unknown video "
    "vision word"
)
_QUANTITIES = _set("count has is length max min n num number total")
_NOT_SECRET = frozenset(("", "none", "null", "true", "false", MASK))
_NUMBER = re.compile(r"[-+]?[\d_.,]+(?:[eE][-+]?\d+)?%?")
_MARKER = re.compile(r"[<\[{|(].{0,62}[>\]}|)]", re.DOTALL)

# In all patterns below each repetition is possessive, bounded, or cut off by a class that excludes
# what precedes it, so that the time stays linear whatever the text. A shape begins with its literal
# part, and looks behind only after it: so the search for it runs at the speed of str.find. Those
# that end at a word's end come last, because masking what follows a word ends it.
_PEM_BREAK = r"(?:\s|\\[nr])*+"
_PEM_BODY = rf"(?:{_PEM_BREAK}[A-Za-z0-9+/=]{{16,}}+)*+"
_PEM_END = rf"(?:{_PEM_BREAK}[A-Za-z0-9+/=]*+{_PEM_BREAK}-----END [A-Z ]{{0,40}}PRIVATE KEY-----)?"
_SHAPES = tuple(
    (literal, re.compile(re.escape(literal) + rest, re.ASCII))
    for literal, rest in (
        ("-----BEGIN ", rf"[A-Z ]{{0,40}}PRIVATE KEY-----{_PEM_BODY}{_PEM_END}"),
        ("hf_", r"[A-Za-z0-9]{30,}"),  # Hugging Face
        ("api_org_", r"[A-Za-z0-9]{30,}"),
        ("sk-", r"(?<![\w-]sk-)(?=[A-Za-z_-]{0,40}\d)[\w-]{20,}"),  # OpenAI, Anthropic and others
        ("sk_live_", r"[A-Za-z0-9]{16,}"),  # Stripe
        ("rk_live_", r"[A-Za-z0-9]{16,}"),
        ("gh", r"[opsur]_[A-Za-z0-9]{30,}"),  # GitHub
        ("github_pat_", r"\w{22,}"),
        ("gl", r"(?:dt|pat|rt)-[\w-]{20,}"),  # GitLab
        ("AIza", r"[\w-]{35,}"),  # Google
        ("GOCSPX-", r"[\w-]{20,}"),
        ("ya29.", r"[\w-]{20,}"),
        ("xox", r"[a-z]-[A-Za-z0-9-]{10,}"),  # Slack
        ("wandb_v1_", r"[\w-]{20,}"),  # W&B
        ("pypi-", r"[\w-]{50,}"),
        ("npm_", r"[A-Za-z0-9]{36,}"),
        ("eyJ", r"(?<![\w-]eyJ)[\w-]{10,}+\.[\w-]{10,}+(?:\.[\w-]*+)?"),  # JSON Web Token
        ("dapi", r"(?<![\w-]dapi)[0-9a-f]{32}(?:-\d)?(?![\w-])"),  # Databricks
        ("AKIA", r"(?<![A-Za-z0-9]AKIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),  # AWS
        ("ASIA", r"(?<![A-Za-z0-9]ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    )
)
# A private key that was cut into lines: base64 in one of the widths in use, and not hexadecimal.
_PEM_LINE = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[A-Za-z0-9+/]+")
_PEM_WIDTHS = (64, 70, 76)

_USER_INFO = re.compile(r"""://[^\s/?#"'<>\\]+@""")
_URL_PASSWORD = re.compile(r"://[^\s/?#:@]*+:([^\s/?#@]++)@")
_SIGNATURE = re.compile(r"""([?&](?:x-amz-|x-goog-)?sig(?:nature)?=)[^\s&#"']+""", re.IGNORECASE)

_SCHEME = re.compile(
    r"\b(bearer|basic) {1,4}(?=[A-Z._~+/=-]{0,200}\d)[\w.~+/=-]{16,}", re.IGNORECASE | re.ASCII
)
_ASSIGNMENT = re.compile(
    r"""(?<![\w.-])(?:
        (?P<name>[\w.-]++)(?P<quote>\\?["'])?[ \t]{0,8}(?P<sign>(?:={1,3}|:(?!:|//))[=>]?)[ \t]{0,8}
        |(?P<option>--[\w.-]++)[ \t]{1,8}(?=[^\s-])
    )""",
    re.ASCII | re.VERBOSE,
)
_QUOTED = re.compile(
    r"""[bBrRuUfF]{0,2}(?P<quote>\\?["'])(?P<value>(?:(?!(?P=quote))(?:\\.|.))*+)"""
)
_BARE = re.compile(r"""(?P<value>[^\s"'&;]*[^\s"'&;,)\]}\\])""")
_GAP = r"(?:\s|\\[nrt])*+"
_ITEM = re.compile(
    rf"""{_GAP}(?:
        [bBrRuUfF]{{0,2}}(?P<quote>\\?["'])(?P<quoted>(?:(?!(?P=quote))(?:\\.|.))*+)(?P=quote)?
        |(?P<bare>[^\s"',:()\[\]{{}}][^"'\r\n,:()\[\]{{}}]*+)
    )?{_GAP}(?P<sign>[,:()\[\]{{}}])?""",
    re.VERBOSE,
)
_BRACKET = re.compile(r"[\[{(]")
_OPENING = ("[", "{", "(")
_CLOSING = ("]", "}", ")")
_ADJOINING = re.compile(r"""(?P<value>[^\s"'&;,)\]}\\](?:[^\s"'&;]*[^\s"'&;,)\]}\\])?)""")
_ITEMS_IN_HEADER = re.compile(rf"""[\[{{(](?:{_GAP}[\[{{(])*+{_GAP}[bBrRuUfF]{{0,2}}\\?["'\])}}]""")
_HEADER = re.compile(r"""(?P<value>[^\s"'][^"'\r\n]*)""")
_HEADERS = ("authorization", "cookie")
_PLAIN_WORD = re.compile(r"[^\W\d_]*[.,!?]?|.{1,7}")
_NAME_HINTS = _set("token key passw secret authorization credential cookie passphrase passcode pwd")
_NAMED = re.compile(
    r"(?:token|keys?|passw(?:ord|d)s?|passphrase|passcode|pwd|secrets?|credentials?|cookies?"
    r"""|authorization)[\d_.-]*+\\?["']?[ \t]{0,8}[=: \t]"""
)
_OPTION_NAME = re.compile(r"[-+~]*[\w.-]+", re.ASCII)


def _mentions(text: str, hints: Iterable[str]) -> bool:
    """Whether any hint is in the text; a plain loop takes a third of the time of any()."""
    for hint in hints:  # noqa: SIM110
        if hint in text:
            return True
    return False


def _is_pem(line: str) -> bool:
    """Whether the line looks as if cut out of a private key."""
    return len(line) in _PEM_WIDTHS and _PEM_LINE.fullmatch(line) is not None


def _words(name: str) -> list[str]:
    """The words of a name in snake, kebab, camel or dotted form, without numbers at its end."""
    words = [word.lower() for word in _WORD.findall(name)]
    while words and words[-1].isdigit():
        words.pop()
    return [] if words and words[0] in _QUANTITIES else words


def _names_token(words: Sequence[str]) -> bool:
    """Whether a text under this name is an access token."""
    if not words or words[-1] not in _TOKENS:
        return False
    return len(words) == 1 or words[-2] not in _MODEL_WORDS


def _names_secret(words: Sequence[str]) -> bool:
    """Whether anything under this name is a password, a key or the like."""
    if not words:
        return False
    if words[-1] in _SECRETS or words[-1].endswith(_SECRET_ENDINGS):
        return True
    if words[-1] in ("key", "keys"):
        return len(words) > 1 and words[-2] in _KEY_OWNERS
    return words[-1] == "pwd" and len(words) > 1 and words[-2] != "old"


def _hides(name: str, value: str) -> bool:
    """Whether this text is a secret, because of the name that it stands under."""
    return _is_hidden(_words(name), value)


def _is_hidden(words: Sequence[str], value: str) -> bool:
    """Whether this text is a secret under a name of these words."""
    if _names_token(words):
        is_harmless = _NUMBER.fullmatch(value) or _MARKER.fullmatch(value)
        return not is_harmless and value.strip().lower() not in _NOT_SECRET
    return _names_secret(words) and value.strip().lower() not in _NOT_SECRET


Span = tuple[int, int]


@frozen
class _Assignment:
    """A credential's name in a text, with the sign that assigns something to it."""

    match: re.Match[str]
    words: Sequence[str]
    """Of the name."""

    def secrets(self) -> tuple[list[Span], int]:
        """Where the secrets lie that are assigned, and where the search for others goes on."""
        text, start = self.match.string, self.match.end()
        is_header = self.match["sign"] == ":" and self.words[-1] in _HEADERS
        opening = _ITEMS_IN_HEADER if is_header else _BRACKET
        if opening.match(text, start):
            return self._items(start)
        bare = _HEADER if is_header else _BARE
        value = _QUOTED.match(text, start) or bare.match(text, start)
        if value is None or not self._is_secret(value["value"]):
            return [], start
        return [value.span("value")], value.end("value")

    def _is_secret(self, value: str, key: str = "") -> bool:
        """Whether it is one under the name, or under the key of a mapping that it stands in."""
        is_sentence = self.match["sign"] == ":" and not self.match["quote"]
        if is_sentence and self.words == ["token"] and _PLAIN_WORD.fullmatch(value):
            return False  # "Next token: hello" is no assignment
        return _is_hidden(self.words, value) or _hides(key, value)

    def _items(self, start: int) -> tuple[list[Span], int]:
        """The secrets up to the closing bracket of the one at ``start``, and of what adjoins it."""
        text, key, depth = self.match.string, "", 0
        spans: list[Span] = []
        while item := _ITEM.match(text, start):
            kind = "quoted" if item["quote"] else "bare"
            value, start, sign = (item[kind] or "").rstrip(), item.end(), item["sign"]
            is_key = sign == ":" and kind == "quoted"
            if value and not is_key and self._is_secret(value, key):
                spans.append((item.start(kind), item.start(kind) + len(value)))
            key = value if sign == ":" else ""
            depth += (sign in _OPENING) - (sign in _CLOSING)
            if sign is None or depth == 0:
                break
        rest = _ADJOINING.match(text, start) if depth == 0 else None
        if rest and self._is_secret(rest["value"]):
            spans.append(rest.span("value"))
            start = rest.end()
        return spans, start


def _assigned_secrets(text: str) -> Iterator[Span]:
    """Where the secrets lie that the text assigns to credentials' names, in order."""
    end = 0
    for match in _ASSIGNMENT.finditer(text):
        words = _words(match["name"] or match["option"])
        if match.start() >= end and (_names_token(words) or _names_secret(words)):
            spans, end = _Assignment(match, words).secrets()
            yield from spans


def _mask_spans(text: str, spans: Iterable[Span]) -> str:
    """The text with these spans masked; they are in order and don't overlap."""
    pieces = []
    done = 0
    for start, end in spans:
        pieces += [text[done:start], MASK]
        done = end
    return "".join([*pieces, text[done:]])


def _literals(name: str, value: str) -> Iterator[str]:
    """The secrets in one environment variable, each at most one line long."""
    words = _words(name)
    is_path = words[-1:] == ["credentials"] and value.startswith(("/", "~", "."))
    if (_names_secret(words) or _names_token(words)) and not is_path and _hides(name, value):
        yield from (line.strip() for line in value.splitlines())
    yield from _URL_PASSWORD.findall(value)


@frozen
class Redactor:
    """Masks secrets in text, in values by their names, and in command lines."""

    literals: tuple[str, ...] = field(default=(), repr=False)
    """Secrets that are masked wherever they turn up, longest first."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Redactor:
        """A redactor that knows the values of the environment's credential variables.

        These are the variables whose names say so (``*_API_KEY``, ``*_TOKEN``, ``*_SECRET``,
        ``*_PASSWORD``, ``AWS_SECRET_ACCESS_KEY``), and passwords in URLs. Values of fewer than 8
        characters, and values that are masked already, are no secrets.
        """
        found = {literal for item in environ.items() for literal in _literals(*item)}
        known = (text for text in found if len(text) >= _MIN_LITERAL and MASK not in text)
        return cls(tuple(sorted(known, key=lambda text: (-len(text), text))))

    def text(self, text: str) -> str:
        """The text with its secrets masked; a private key that was cut into lines, line by line."""
        for literal in self.literals:
            if literal in text:
                text = text.replace(literal, MASK)
        for literal, shape in _SHAPES:
            if literal in text:
                text = shape.sub(MASK, text)
        if len(text) >= _PEM_WIDTHS[0]:
            text = "\n".join(MASK if _is_pem(line) else line for line in text.split("\n"))
        if "://" in text:
            text = _SIGNATURE.sub(rf"\1{MASK}", _USER_INFO.sub(f"://{MASK}@", text))
        lowered = text.lower()
        if "bearer " in lowered or "basic " in lowered:
            text = _SCHEME.sub(rf"\1 {MASK}", text)
        if _mentions(lowered, _NAME_HINTS) and _NAMED.search(lowered):
            text = _mask_spans(text, _assigned_secrets(text))
        return text

    def values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The mapping with its secrets masked at any depth, by names and inside texts."""
        return {self.text(name): self._value(name, value) for name, value in values.items()}

    def command(self, argv: Iterable[str]) -> tuple[str, ...]:
        """The command line with its secrets masked, one argument for each one given.

        Knows ``--api-key X``, ``--api-key=X``, ``-o wandb.api_key=X``, ``KEY=VALUE``, and whatever
        `text` knows.
        """
        masked = []
        option = ""
        for argument in argv:
            is_option = argument.startswith("-")
            is_value = option and not is_option and _hides(option, argument)
            masked.append(MASK if is_value else self._argument(argument))
            option = argument if is_option and "=" not in argument else ""
        return tuple(masked)

    def _argument(self, argument: str) -> str:
        """One argument by itself; ``name=value`` is masked up to its end, spaces and all."""
        name, equals, value = argument.partition("=")
        if equals and _OPTION_NAME.fullmatch(name) and _hides(name, value):
            return f"{name}={MASK}"
        return self.text(argument)

    def _value(self, name: str, value: Any) -> Any:
        """One value under its name; items of a list stand under the list's name."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return MASK if _hides(name, value) else self.text(value)
        if isinstance(value, list | tuple):
            masked = self._items(name, value)
            return list(masked) if isinstance(value, list) else tuple(masked)
        if _names_secret(_words(name)):
            return MASK
        return self.values(value) if isinstance(value, Mapping) else value

    def _items(self, name: str, values: Sequence[Any]) -> Iterable[Any]:
        """The items of a list; one that has options in it is a command line."""
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) == len(values) and any(text.startswith("-") for text in texts):
            texts = list(self.command(texts))
            return (self._value(name, text) for text in texts)
        return (self._value(name, value) for value in values)
