from __future__ import annotations

import pytest

from bellwether.cli.kubectl_words import failure

LOGGED = 'E1130 07:16:16.655665   27078 memcache.go:265] "Unhandled Error" err="no API group list"'
REFUSED = "The connection to the server localhost:8080 was refused - did you specify the right host or port?"
DIALLED = 'Get "http://localhost:8080/openapi/v2": dial tcp 127.0.0.1:8080: connect: connection refused'
NOT_FOUND = 'Error from server (NotFound): tradingsystems.bellwether.dev "demo" not found'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            f"{LOGGED}\n{LOGGED}\n{REFUSED}\n",
            f"the cluster does not answer: {REFUSED} Look at KUBECONFIG and --context",
        ),
        (
            f'error: error validating "x.yaml": error validating data: failed to download openapi: {DIALLED}; if you '
            "choose to ignore these errors, turn validation off with --validate=false\n",
            f"the cluster does not answer: {DIALLED}. Look at KUBECONFIG and --context",
        ),
        (f"{NOT_FOUND}\n", NOT_FOUND),
        (
            "error: current-context must exist in order to minify\n",
            "kubectl has no current context, so no cluster is known: set KUBECONFIG, or name one with --context",
        ),
        ('error: context "x" does not exist\n', 'context "x" does not exist'),
        (f"{LOGGED}\n", "kubectl ended with 7"),
        ("", "kubectl ended with 7"),
    ],
)
def test_what_kubectl_says_is_one_line_without_what_its_library_logs(text: str, words: str) -> None:
    assert failure(text, 7) == words
