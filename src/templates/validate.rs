//! Judges documents against a template and templates against our own stricter kind of JSON Schema: closed objects,
//! bounded arrays, no reference that leaves the document, patterns that run in linear time. Every broken rule is named
//! by JSON Pointer, in words for people, without repeating the value (it may be private).

use super::version::TemplateVersion;
use crate::error::Violation;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// The largest profile or patch, as JSON text.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// The deepest nesting of a profile or patch; a bare text has depth 1.
pub const DEPTH_MAX: usize = 12;
/// The most items of one array.
pub const ITEMS_MAX: usize = 200;
/// The most violations that are reported at once.
pub const VIOLATIONS_MAX: usize = 100;
/// The largest schema, as JSON text.
pub const SCHEMA_BYTES_MAX: usize = 256 * 1024;

const PATTERN_BYTES_MAX: usize = 1 << 20;
const COMPILED_MAX: usize = 64;
/// In a schema, replaces the message about a broken rule of the same object.
const MESSAGE_KEYWORD: &str = "x-message";

static COMPILED: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// Checks a profile; all broken rules are returned, in document order of the template.
pub fn profile(version: &TemplateVersion, document: &Value) -> Result<(), Vec<Violation>> {
    let mut violations = limits(document);
    if violations.is_empty() {
        match compiled(version) {
            Ok(validator) => {
                let broken = validator.iter_errors(document);
                violations.extend(broken.flat_map(|error| explain(version.schema(), &error)));
            }
            Err(violation) => violations.push(violation),
        }
    }
    // A text that breaks two rules of a field with its own message would say the same twice.
    violations.dedup();
    if violations.is_empty() { Ok(()) } else { Err(at_most(violations)) }
}

/// What no document may exceed, whatever its template says.
pub fn limits(document: &Value) -> Vec<Violation> {
    let mut violations = Vec::new();
    walk(document, &mut Vec::new(), &mut violations);
    if violations.is_empty() && DOCUMENT_BYTES_MAX < document.to_string().len() {
        violations.push(violation("", format!("must not exceed {} KB", DOCUMENT_BYTES_MAX / 1024)));
    }
    at_most(violations)
}

fn walk(value: &Value, path: &mut Vec<String>, violations: &mut Vec<Violation>) {
    let mut refuse = |message: String| violations.push(violation(&pointer(path), message));
    if DEPTH_MAX <= path.len() {
        refuse(format!("must not be nested deeper than {DEPTH_MAX} levels"));
        return;
    }
    match value {
        Value::Array(items) => {
            if ITEMS_MAX < items.len() {
                refuse(format!("must not have more than {ITEMS_MAX} items"));
                return;
            }
            for (place, item) in items.iter().enumerate() {
                path.push(place.to_string());
                walk(item, path, violations);
                path.pop();
            }
        }
        Value::Object(fields) => {
            if fields.keys().any(|key| key.contains('\0')) {
                refuse("must not have NUL characters in its names".to_owned());
                return;
            }
            for (key, field) in fields {
                path.push(key.clone());
                walk(field, path, violations);
                path.pop();
            }
        }
        Value::String(text) if text.contains('\0') => {
            refuse("must not contain NUL characters".to_owned());
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Like [`schema`], but remembers under the digest what passed, so that a version read again from its row costs nothing.
pub(super) fn schema_once(schema: &Value, sha256: &str) -> Vec<Violation> {
    if cache().contains_key(sha256) {
        return Vec::new();
    }
    let violations = self::schema(schema);
    if violations.is_empty()
        && let Ok(validator) = compile(schema)
    {
        keep(sha256, validator);
    }
    violations
}

/// Checks that a schema is of our kind, and that it compiles.
pub fn schema(schema: &Value) -> Vec<Violation> {
    if SCHEMA_BYTES_MAX < schema.to_string().len() {
        return vec![violation("/schema", format!("must not exceed {} KB", SCHEMA_BYTES_MAX / 1024))];
    }
    let mut violations = Vec::new();
    check_schema(schema, "/schema", &mut violations);
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        violations.push(violation("/schema/type", "must be \"object\""));
    }
    if violations.is_empty()
        && let Err(error) = compile(schema)
    {
        violations.push(violation(&format!("/schema{}", error.instance_path()), error.to_string()));
    }
    at_most(violations)
}

fn check_schema(schema: &Value, path: &str, violations: &mut Vec<Violation>) {
    let Value::Object(keywords) = schema else {
        violations.push(violation(path, "must be a schema object"));
        return;
    };
    let mut refuse = |keyword: &str, message: &str| {
        violations.push(violation(&format!("{path}/{keyword}"), message));
    };
    let of_type = |name| keywords.get("type").and_then(Value::as_str) == Some(name);
    if keywords.get("$ref").is_some_and(|target| !target.as_str().is_some_and(|t| t.starts_with("#/$defs/")))
    {
        refuse("$ref", "must point into this document, as #/$defs/…");
    }
    if (of_type("object") || keywords.contains_key("properties"))
        && keywords.get("additionalProperties") != Some(&Value::Bool(false))
    {
        refuse("additionalProperties", "must be false, so that later versions can add fields safely");
    }
    if of_type("array") {
        let bounded = keywords.get("maxItems").and_then(Value::as_u64).is_some_and(|n| n <= ITEMS_MAX as u64);
        if !bounded {
            refuse("maxItems", &format!("must be given, at most {ITEMS_MAX}"));
        }
        if !keywords.contains_key("items") {
            refuse("items", "must be given");
        }
    }
    let bounded = ["maxLength", "enum", "const", "format"].iter().any(|word| keywords.contains_key(*word));
    if of_type("string") && !bounded {
        refuse("maxLength", "must be given unless an enum, a const or a format bounds the text");
    }
    for group in ["properties", "$defs"] {
        for (name, inner) in keywords.get(group).and_then(Value::as_object).into_iter().flatten() {
            check_schema(inner, &format!("{path}/{group}/{}", escaped(name)), violations);
        }
    }
    if let Some(items) = keywords.get("items") {
        check_schema(items, &format!("{path}/items"), violations);
    }
}

fn compile(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX))
        .offline()
        .build(schema)
}

/// The validator of a version, compiled once per process and digest.
fn compiled(version: &TemplateVersion) -> Result<Arc<Validator>, Violation> {
    if let Some(found) = cache().get(version.sha256()) {
        return Ok(Arc::clone(found));
    }
    let fresh = compile(version.schema()).map_err(|error| {
        violation("", format!("cannot be checked, the template does not compile: {error}"))
    })?;
    Ok(keep(version.sha256(), fresh))
}

fn cache() -> MutexGuard<'static, HashMap<String, Arc<Validator>>> {
    COMPILED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep(sha256: &str, validator: Validator) -> Arc<Validator> {
    let validator = Arc::new(validator);
    let mut cache = cache();
    if COMPILED_MAX <= cache.len() {
        cache.clear();
    }
    cache.insert(sha256.to_owned(), Arc::clone(&validator));
    validator
}

/// One violation for each place that an error names.
fn explain(schema: &Value, error: &ValidationError<'_>) -> Vec<Violation> {
    let at = error.instance_path().as_str();
    let field = |name: &str, message: &str| violation(&format!("{at}/{}", escaped(name)), message);
    if let ValidationErrorKind::Required { property } = error.kind() {
        return vec![field(property.as_str().unwrap_or_default(), "is required")];
    }
    if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
        return unexpected.iter().map(|name| field(name, "is not a field of this template")).collect();
    }
    let own = own_message(schema, error.schema_path().as_str());
    vec![violation(at, own.unwrap_or_else(|| message(error)))]
}

/// What the template itself says when the rule at this place of the schema is broken.
fn own_message(schema: &Value, keyword_at: &str) -> Option<String> {
    let (object_at, _) = keyword_at.rsplit_once('/')?;
    Some(schema.pointer(object_at)?.get(MESSAGE_KEYWORD)?.as_str()?.to_owned())
}

fn message(error: &ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::Type { kind } => format!("must be {}", type_name(kind)),
        ValidationErrorKind::Enum { options } => format!("must be one of {}", listed(options)),
        ValidationErrorKind::Constant { expected_value } => format!("must be {expected_value}"),
        ValidationErrorKind::Format { format } => format_message(format),
        ValidationErrorKind::MaxLength { limit } => format!("must not have more than {limit} characters"),
        ValidationErrorKind::MinLength { limit: 1 } => "must not be empty".to_owned(),
        ValidationErrorKind::MinLength { limit } => format!("must have at least {limit} characters"),
        ValidationErrorKind::MaxItems { limit } => format!("must not have more than {limit} items"),
        ValidationErrorKind::MinItems { limit } => format!("must have at least {limit} items"),
        ValidationErrorKind::UniqueItems => "must not hold the same item twice".to_owned(),
        ValidationErrorKind::Maximum { limit } => format!("must be at most {limit}"),
        ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("must be below {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("must be above {limit}"),
        ValidationErrorKind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        ValidationErrorKind::MinProperties { limit: 1 } => "must hold at least one field".to_owned(),
        ValidationErrorKind::Pattern { .. } => "is not written in the form that is expected here".to_owned(),
        ValidationErrorKind::AdditionalItems { .. }
        | ValidationErrorKind::AdditionalProperties { .. }
        | ValidationErrorKind::AnyOf { .. }
        | ValidationErrorKind::BacktrackLimitExceeded { .. }
        | ValidationErrorKind::RegexEngineFailure { .. }
        | ValidationErrorKind::Contains
        | ValidationErrorKind::ContentEncoding { .. }
        | ValidationErrorKind::ContentMediaType { .. }
        | ValidationErrorKind::Custom { .. }
        | ValidationErrorKind::FalseSchema
        | ValidationErrorKind::FromUtf8 { .. }
        | ValidationErrorKind::MaxProperties { .. }
        | ValidationErrorKind::MinProperties { .. }
        | ValidationErrorKind::Not { .. }
        | ValidationErrorKind::OneOfMultipleValid { .. }
        | ValidationErrorKind::OneOfNotValid { .. }
        | ValidationErrorKind::PropertyNames { .. }
        | ValidationErrorKind::Required { .. }
        | ValidationErrorKind::UnevaluatedItems { .. }
        | ValidationErrorKind::UnevaluatedProperties { .. }
        | ValidationErrorKind::Referencing(_) => error.masked_with("the value").to_string(),
    }
}

fn type_name(kind: &TypeKind) -> String {
    let name = |json_type: &str| match json_type {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "an object",
        _ => "null",
    };
    match kind {
        TypeKind::Single(one) => name(one.as_str()).to_owned(),
        TypeKind::Multiple(set) => set.iter().map(|one| name(one.as_str())).collect::<Vec<_>>().join(" or "),
    }
}

fn format_message(format: &str) -> String {
    match format {
        "date" => "must be a date, e.g. 1990-05-30".to_owned(),
        "date-time" => "must be a date and time, e.g. 1990-05-30T09:00:00Z".to_owned(),
        "email" => "must be an email address".to_owned(),
        "uri" => "must be a URL".to_owned(),
        other => format!("must have the format {other}"),
    }
}

fn listed(options: &Value) -> String {
    let words = options.as_array().into_iter().flatten();
    words.map(|o| o.as_str().map_or_else(|| o.to_string(), str::to_owned)).collect::<Vec<_>>().join(", ")
}

fn at_most(mut violations: Vec<Violation>) -> Vec<Violation> {
    if VIOLATIONS_MAX < violations.len() {
        let left_out = violations.len() - VIOLATIONS_MAX;
        violations.truncate(VIOLATIONS_MAX);
        violations.push(violation("", format!("breaks {left_out} more rules")));
    }
    violations
}

fn violation(path: &str, message: impl Into<String>) -> Violation {
    Violation { path: path.to_owned(), message: message.into() }
}

fn pointer(path: &[String]) -> String {
    path.iter().flat_map(|step| ["/".to_owned(), escaped(step)]).collect()
}

/// RFC 6901, section 3.
fn escaped(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}
