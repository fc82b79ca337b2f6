"""Settings that no service starts with: environment or file, and what the one line says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class BadSettings:
    """``environment`` and the text of the file that HEADRACE_CONFIG names, if there is one; ``said`` stands in the line."""

    name: str
    said: str
    environment: Mapping[str, str] = field(default_factory=dict)
    file: str | None = None


def _variable(name: str, variable: str, value: str, said: str | None = None) -> BadSettings:
    return BadSettings(name, said or variable, {variable: value})


def _file(name: str, text: str, said: str) -> BadSettings:
    return BadSettings(name, said, file=text)


_BOMB: Final = "a: &a [x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)},*{chr(97 + n)}]\n" for n in range(20)
)

SETTINGS: Final = (
    _variable("acks", "HEADRACE_KAFKA__ACKS", "1"),
    _variable("auto-commit", "HEADRACE_KAFKA__ENABLE_AUTO_COMMIT", "true"),
    _variable("read-uncommitted", "HEADRACE_KAFKA__ISOLATION_LEVEL", "read_uncommitted"),
    _variable("idempotence-off", "HEADRACE_KAFKA__ENABLE_IDEMPOTENCE", "false"),
    _variable("latest", "HEADRACE_KAFKA__AUTO_OFFSET_RESET", "latest"),
    _variable("auto-create", "HEADRACE_TOPICS__AUTO_CREATE", "true"),
    _variable("shared-transactional-prefix", "HEADRACE_KAFKA__TRANSACTIONAL_ID_PREFIX", "shared"),
    _variable("shared-transactional-id", "HEADRACE_VALIDATION__TRANSACTIONAL_ID", "shared"),
    _variable("session-below-the-brokers-least", "HEADRACE_KAFKA__SESSION_TIMEOUT", "1"),
    _variable("infinite-time", "HEADRACE_KAFKA__TRANSACTION_TIMEOUT", "inf"),
    _variable("unknown-protocol", "HEADRACE_KAFKA__SECURITY_PROTOCOL", "TRUST_ME"),
    _variable("sasl-without-a-password", "HEADRACE_KAFKA__SECURITY_PROTOCOL", "SASL_SSL", "HEADRACE_KAFKA"),
    _variable("server-without-a-port", "HEADRACE_KAFKA__BOOTSTRAP_SERVERS", "localhost"),
    _variable("server-with-a-scheme", "HEADRACE_KAFKA__BOOTSTRAP_SERVERS", "http://localhost"),
    _variable("no-partitions", "HEADRACE_TOPICS__PARTITIONS", "0"),
    _variable("prefix-with-a-slash", "HEADRACE_TOPICS__PREFIX", "../headrace."),
    _variable("more-in-sync-than-replicas", "HEADRACE_TOPICS__MIN_INSYNC_REPLICAS", "3", "nothing could ever be written"),
    _variable("port-out-of-range", "HEADRACE_HTTP__PORT", "70000"),
    _variable("dead-letter-share-nan", "HEADRACE_DEAD_LETTERS__SHARE", "nan"),
    _variable("dead-letter-share-above-all", "HEADRACE_DEAD_LETTERS__SHARE", "1.5"),
    _variable("window-inverted", "HEADRACE_VALIDATION__WINDOW_HOURS", "-1"),
    _variable("window-nan", "HEADRACE_VALIDATION__WINDOW_HOURS", "nan"),
    _variable("trust-root-without-a-key", "HEADRACE_TRUST__ROOTS", '[{"principal": "ada", "publicKey": "AA", "roles": ["admin"]}]'),
    _variable("trust-root-of-no-role", "HEADRACE_TRUST__ROOTS", '[{"principal": "ada", "publicKey": "x", "roles": ["king"]}]'),
    _variable("trust-root-is-no-json", "HEADRACE_TRUST__ROOTS", "ada", "HEADRACE_TRUST"),
    _variable("misspelt-key", "HEADRACE_KAFKA__BOOTSTRAP_SERVER", "localhost:9092"),
    _variable("misspelt-section", "HEADRACE_KAFAK__BOOTSTRAP_SERVERS", "localhost:9092"),
    _variable("section-is-no-json", "HEADRACE_KAFKA", "{"),
    _file("misspelt-section-in-a-file", "kafak: {bootstrap_servers: 'localhost:9092'}\n", "kafak"),
    _file("misspelt-key-in-a-file", "kafka: {bootstrap_server: 'localhost:9092'}\n", "BOOTSTRAP_SERVER is not a setting"),
    _file("nan-in-a-file", "dead_letters: {share: .nan}\n", "HEADRACE_DEAD_LETTERS__SHARE"),
    _file("password-in-a-file", "kafka: {sasl_password: hunter2}\n", "secret kafka.sasl_password"),
    _file("address-with-a-password-in-a-file", "mongo: {uri: 'mongodb://u:hunter2@h'}\n", "secret mongo.uri"),
    _file("bomb", _BOMB, "aliases"),
    _file("merge-key", "a: &a {x: 1}\nkafka: {<<: *a}\n", "aliases"),
    _file("tag-that-runs-code", "kafka: !!python/object/apply:os.system ['true']\n", "not plain YAML"),
    _file("tag-that-builds", "kafka: !!python/name:os.system ''\n", "not plain YAML"),
    _file("repeated-key", "topics: {partitions: 2, partitions: 8}\n", "twice"),
    _file("two-documents", "topics: {}\n---\ntopics: {}\n", "not plain YAML"),
    _file("list", "[1, 2]\n", "mapping"),
    _file("broken", "a: [\n", "not plain YAML"),
    _file("nested-without-end", "[" * 20_000, "not plain YAML"),
    _file("too-large", "a: " + "x" * 300_000 + "\n", "larger than"),
)  # fmt: skip
