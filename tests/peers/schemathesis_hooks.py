"""What schemathesis holds every answer of ours against: no fault, no error without a code of ours, nothing slow. And what it
takes for JSON in a document."""

import schemathesis
from hypothesis import strategies
from schemathesis.graphql import nodes

ANSWER_SECONDS_MAX = 3
# INTERNAL, which is a fault, and what the server answers in need are not among them.
REFUSALS = {"VALIDATION", "TOO_COMPLEX", "INVALID", "BAD_INPUT"}
# What a document can hold without being escaped.
PLAIN = strategies.characters(codec="utf-8", exclude_characters='"\\', exclude_categories=["Cc", "Cs"])


@schemathesis.check
def answered_or_refused(_context, response, _case):
    assert response.status_code == 200, f"status {response.status_code}"
    codes = {error.get("extensions", {}).get("code") for error in response.json().get("errors", [])}
    assert codes <= REFUSALS, f"errors with {codes - REFUSALS}"
    assert response.elapsed < ANSWER_SECONDS_MAX, f"answered after {response.elapsed} s"


schemathesis.graphql.scalar("JSON", strategies.text(PLAIN, max_size=20).map(nodes.String))
