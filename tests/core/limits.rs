//! Documents that are refused before anything is executed.

use neurosphere::graphql::limits::{
    self, ALIASES_MAX, DUPLICATES_MAX, FIELDS_MAX, Introspection, NESTING_MAX, Refused, only_queries, parse,
};

fn check(document: &str, expected: Option<&Refused>) {
    let refused = parse(document, Introspection::Refused).err();
    assert_eq!(refused.as_ref(), expected, "{}", document.chars().take(120).collect::<String>());
}

fn nested(levels: usize) -> String {
    format!("{}a{}", "{a".repeat(levels), "}".repeat(levels))
}

#[test]
fn usual_documents_pass() {
    check("{ tenant { name } }", None);
    check("query A { a(b: \"}}}{{{\") } # {{{{", None);
    check("{ a(b: \"\"\"block \\\"\"\" {{{ \"\"\") { __typename } }", None);
    check("subscription { callTurns(callId: \"x\") { text } }", None);
    check(&nested(NESTING_MAX), None);
}

#[test]
fn what_is_too_much_is_refused_unread() {
    check(&format!("{{ a }} #{}", "x".repeat(limits::DOCUMENT_BYTES_MAX)), Some(&Refused::Long));
    check(&nested(NESTING_MAX + 1), Some(&Refused::Nested));
    check(&"{".repeat(30_000), Some(&Refused::Nested));
    check(&format!("{{ a(b: {}1{}) }}", "[".repeat(5_000), "]".repeat(5_000)), Some(&Refused::Nested));
    check(&format!("{{ {} }}", "a ".repeat(FIELDS_MAX + 1)), Some(&Refused::Wide));
    let aliases = (0..=ALIASES_MAX).map(|n| format!("a{n}: a ")).collect::<Vec<_>>().concat();
    check(&format!("{{ {aliases} }}"), Some(&Refused::Aliases));
    check(&format!("fragment F on Q {{ {aliases} }} {{ ...F }}"), Some(&Refused::Aliases));
}

#[test]
fn what_is_said_again_is_counted_where_it_is_written() {
    let said = |times: usize| "a ".repeat(times);
    check(&format!("{{ {} }}", said(DUPLICATES_MAX + 1)), None);
    let again = said(DUPLICATES_MAX + 2);
    for document in [
        format!("{{ {again} }}"),
        format!("{{ b {{ {again} }} }}"),
        format!("{{ ... on Q {{ {again} }} }}"),
        format!("fragment F on Q {{ {again} }} {{ ...F }}"),
        format!("{{ {} }}", "a b: a ".repeat(DUPLICATES_MAX / 2 + 2)),
        format!("query A {{ {0} }} query B {{ {0} }}", said(DUPLICATES_MAX / 2 + 2)),
    ] {
        check(&document, Some(&Refused::Duplicates));
    }
    // Each of many screens' parts may ask for the same field.
    let parts = (0..30).map(|n| format!("fragment F{n} on Q {{ a }} ")).collect::<Vec<_>>().concat();
    let spread = (0..30).map(|n| format!("...F{n} ")).collect::<Vec<_>>().concat();
    check(&format!("{parts} {{ {spread} }}"), None);
}

#[test]
fn fragments_that_unfold_exponentially_are_counted_in_linear_time() {
    let twice = (0..30).map(|n| format!("fragment F{n} on Q {{ ...F{m} ...F{m} }} ", m = n + 1));
    let twice = twice.collect::<Vec<_>>().concat();
    check(&format!("{{ ...F0 }} {twice} fragment F30 on Q {{ a }}"), Some(&Refused::Wide));
    let chain =
        (0..500).map(|n| format!("fragment F{n} on Q {{ ...F{} }} ", n + 1)).collect::<Vec<_>>().concat();
    check(&format!("{{ ...F0 }} {chain}"), Some(&Refused::Wide));
    check("{ ...A } fragment A on Q { ...B } fragment B on Q { ...A }", None);
}

#[test]
fn a_syntax_error_says_where_and_repeats_nothing() {
    check("{", Some(&Refused::Syntax { line: 1, column: 2 }));
    check("{ a\n  secretSecret( }", Some(&Refused::Syntax { line: 2, column: 17 }));
    for document in ["", "hello", "{ a } { b }", "query { a ", "\"", "\"\"\"", "{ é }", "{ a(b: \"\\"] {
        let refused = parse(document, Introspection::Refused).unwrap_err();
        assert!(matches!(refused, Refused::Syntax { .. }), "{document}: {refused:?}");
        assert!(document.is_empty() || !refused.to_string().contains(document), "{refused}");
    }
}

#[test]
fn introspection_is_for_development() {
    for document in [
        "{ __schema { types { name } } }",
        "{ a: __type(name: \"X\") { name } }",
        "{ ...F } fragment F on Query { __schema { description } }",
    ] {
        assert_eq!(parse(document, Introspection::Refused).err(), Some(Refused::Introspection), "{document}");
        assert!(parse(document, Introspection::Allowed).is_ok(), "{document}");
    }
}

#[test]
fn only_queries_are_only_queries() {
    let only = |document: &str| only_queries(&parse(document, Introspection::Refused).unwrap());
    assert!(only("{ a }") && only("query A { a } query B { b }"));
    assert!(
        !only("mutation { a }") && !only("query A { a } mutation B { b }") && !only("subscription { a }")
    );
}
