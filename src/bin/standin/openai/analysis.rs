//! What `/v1/responses` finds in a transcript, by the script's `[[summary]]` and `[[fact]]` rules, shaped to whatever
//! JSON Schema was asked for: known fields from the rules, every other one neutral. Pure.

use super::script::{Captures, Pattern, Script};
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

const DEPTH_MAX: usize = 16;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SummaryRule {
    heard: Pattern,
    text: String,
    #[serde(default)]
    topics: Vec<String>,
    sentiment: Option<String>,
    resolution: Option<String>,
    caller_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FactRule {
    heard: Pattern,
    text: String,
    kind: String,
    #[serde(default = "middling")]
    importance: u8,
    /// Merged into the caller's profile.
    patch: Option<Value>,
}

fn middling() -> u8 {
    3
}

/// The answer to a transcript, in the shape of the schema.
pub(super) fn analysed(script: &Script, transcript: &str, schema: &Value) -> Value {
    let known = findings(script, &callers_words(transcript));
    shaped(schema, Some(&known), 0)
}

/// The answer in plain words, for a request without a schema.
pub(super) fn summarised(script: &Script, transcript: &str) -> String {
    let known = findings(script, &callers_words(transcript));
    known.get("summary").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The caller's lines of a transcript, or the whole text when no line says who speaks.
fn callers_words(transcript: &str) -> String {
    static CALLER: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?im)^[\s*-]*(?:[\[(][^\])]*[\])]\s*)?(?:caller|user|customer)\b[^:\n]*:\s*(.*)$").ok()
    });
    let lines: Vec<&str> = CALLER
        .iter()
        .flat_map(|caller| caller.captures_iter(transcript))
        .filter_map(|line| line.get(1))
        .map(|line| line.as_str())
        .collect();
    if lines.is_empty() { transcript.to_owned() } else { lines.join("\n") }
}

fn findings(script: &Script, words: &str) -> Value {
    let mut texts: Vec<String> = Vec::new();
    let mut topics: Vec<&str> = Vec::new();
    let mut found = Map::new();
    for rule in script.summaries() {
        let Some(captures) = rule.heard.captures(words) else { continue };
        texts.push(captures.fill(&rule.text));
        topics.extend(rule.topics.iter().map(String::as_str));
        let fields = [
            ("sentiment", &rule.sentiment),
            ("resolution", &rule.resolution),
            ("caller_name", &rule.caller_name),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                found.insert(name.to_owned(), captures.fill(value).into());
            }
        }
    }
    let mut patch = json!({});
    let mut facts = Vec::new();
    for rule in script.facts() {
        let Some(captures) = rule.heard.captures(words) else { continue };
        facts.push(rule.fact(&captures));
        if let Some(more) = &rule.patch {
            merge(&mut patch, captures.fill_json(more));
        }
    }
    let summary =
        if texts.is_empty() { "The caller left nothing to note.".to_owned() } else { texts.join(" ") };
    topics.dedup();
    found.insert("summary".to_owned(), summary.into());
    found.insert("topics".to_owned(), topics.into());
    found.insert("facts".to_owned(), facts.into());
    found.insert("profile_patch_json".to_owned(), patch.to_string().into());
    found.insert("profile_patch".to_owned(), patch);
    Value::Object(found)
}

impl FactRule {
    fn fact(&self, captures: &Captures) -> Value {
        json!({ "text": captures.fill(&self.text), "kind": self.kind, "importance": self.importance })
    }
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}

/// A value that the schema allows, taken from what is known where that fits.
fn shaped(schema: &Value, known: Option<&Value>, depth: usize) -> Value {
    if let Some(choices) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
        let fitting = choices.iter().find(|choice| known.is_some_and(|known| fits(choice, known)));
        let neutral = choices.iter().find(|choice| fits(choice, &Value::Null)).or_else(|| choices.first());
        return fitting.or(neutral).map_or(Value::Null, |choice| shaped(choice, known, depth + 1));
    }
    let known = known.filter(|known| fits(schema, known));
    if DEPTH_MAX < depth {
        return Value::Null;
    }
    match (schema.get("properties").and_then(Value::as_object), known) {
        (Some(properties), known) => Value::Object(
            properties
                .iter()
                .map(|(name, schema)| {
                    (name.clone(), shaped(schema, known.and_then(|known| known.get(name)), depth + 1))
                })
                .collect(),
        ),
        (None, Some(Value::Array(values))) => match schema.get("items") {
            Some(items) => values.iter().map(|value| shaped(items, Some(value), depth + 1)).collect(),
            None => values.clone().into(),
        },
        (None, Some(known)) => known.clone(),
        (None, None) => neutral(schema),
    }
}

/// Whether a value has one of the schema's types and is one of its enum's values.
fn fits(schema: &Value, value: &Value) -> bool {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let typed = |name: &str| name == kind || name == "number" && kind == "integer";
    let of_type = match schema.get("type") {
        Some(Value::String(name)) => typed(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(typed),
        _ => true,
    };
    let listed = schema.get("enum").and_then(Value::as_array).is_none_or(|values| values.contains(value));
    of_type && listed
}

fn neutral(schema: &Value) -> Value {
    if fits(schema, &Value::Null) {
        return Value::Null;
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let calm =
            values.iter().find(|value| matches!(value.as_str(), Some("neutral" | "unknown" | "other")));
        return calm.or_else(|| values.first()).cloned().unwrap_or_default();
    }
    let least = || schema.get("minimum").cloned().unwrap_or_else(|| json!(0));
    let kind = match schema.get("type") {
        Some(Value::Array(names)) => names.first(),
        kind => kind,
    };
    match kind.and_then(Value::as_str) {
        Some("array") => json!([]),
        Some("object") => json!({}),
        Some("boolean") => json!(false),
        Some("integer" | "number") => least(),
        _ => json!(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = r#"
        [[summary]]
        heard = '(?i)name is (?P<name>\w+ \w+)'
        text = "${name} called."
        topics = ["names"]
        sentiment = "positive"
        caller_name = "${name}"
        [[fact]]
        heard = '(?P<year>\d{4}) (?P<make>\w+)'
        text = "Drives a ${make}."
        kind = "vehicle"
        importance = 4
        patch = { vehicles = [{ year = "${year|int}", make = "${make}" }] }
    "#;

    fn schema() -> Value {
        json!({ "type": "object", "properties": {
            "summary": { "type": "string" },
            "topics": { "type": "array", "items": { "type": "string" } },
            "sentiment": { "type": "string", "enum": ["positive", "neutral"] },
            "resolution": { "type": "string", "enum": ["resolved", "unknown"] },
            "facts": { "type": "array", "items": { "type": "object", "properties": {
                "text": { "type": "string" }, "kind": { "type": "string" }, "importance": { "type": "integer" },
                "source": { "type": ["string", "null"] } } } },
            "profile_patch_json": { "type": "string" },
            "caller_name": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
            "score": { "type": "integer", "minimum": 1 },
        } })
    }

    #[test]
    fn a_transcript_fills_the_schema() {
        let script = Script::parse(SCRIPT).unwrap();
        let transcript = "Agent: My name is Barbara Bot.\nCaller (0:03): My name is Ann Lee, a 2019 Lada.";
        assert_eq!(
            analysed(&script, transcript, &schema()),
            json!({ "summary": "Ann Lee called.", "topics": ["names"], "sentiment": "positive", "resolution": "unknown",
                "facts": [{ "text": "Drives a Lada.", "kind": "vehicle", "importance": 4, "source": null }],
                "profile_patch_json": r#"{"vehicles":[{"make":"Lada","year":2019}]}"#, "caller_name": "Ann Lee", "score": 1 })
        );
    }

    #[test]
    fn a_silent_caller_fills_it_too() {
        let answer = analysed(
            &Script::parse(SCRIPT).unwrap(),
            "Agent: My name is Barbara Bot.\nCaller: ...",
            &schema(),
        );
        assert_eq!(answer.get("caller_name"), Some(&Value::Null));
        assert_eq!(answer.get("sentiment"), Some(&json!("neutral")));
        assert_eq!(answer.get("facts"), Some(&json!([])));
    }
}
