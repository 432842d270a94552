//! Reads the short notation in which templates were first sketched, e.g. `"year": "int"` or `"children": "array[text]"`,
//! and writes our kind of closed JSON Schema. Pure. Must never accept what it does not understand: every mistake is
//! named by its path.
//!
//! A field is a type name (`text`, `int`, `number`, `money`, `bool`, `date`, `datetime`, `email`, `phone`, `url`,
//! `array[T]`, `enum[a|b]`), a spec such as `{"type": "text", "required": true}`, or an object of fields. An object
//! is a spec when its `type` is text and it has no other keys than a spec may have. Numbered slots (`auto_1`,
//! `auto_2`) of one shape become a list of that shape, named without the number.

use super::validate::{self, ITEMS_MAX};
use crate::error::Violation;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const TEXT_LENGTH_MAX: u64 = 2_000;
const DEPTH_MAX: usize = 8;
const FIELDS_MAX: usize = 500;
const NAME_LENGTH_MAX: usize = 60;
const SPEC_KEYS: [&str; 7] = ["type", "required", "label", "help", "values", "items", "fields"];
const TYPES: &str =
    "text, int, number, money, bool, date, datetime, email, phone, url, array[…] or enum[a|b]";

/// The JSON Schema of a seed, or every mistake in it.
pub fn import(title: &str, seed: &Value) -> Result<Value, Vec<Violation>> {
    let mut importer = Importer { mistakes: Vec::new(), fields: 0 };
    let schema = match seed {
        Value::Object(fields) => importer.object(fields, "", 0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            importer.refuse("", "must be an object of fields")
        }
    };
    if !importer.mistakes.is_empty() {
        return Err(importer.mistakes);
    }
    let mut whole = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title});
    if let (Value::Object(whole), Value::Object(schema)) = (&mut whole, schema) {
        whole.extend(schema);
    }
    let violations = validate::schema(&whole);
    if violations.is_empty() { Ok(whole) } else { Err(violations) }
}

struct Importer {
    mistakes: Vec<Violation>,
    fields: usize,
}

/// A field as compiled, and whether its object must have it.
struct Field {
    schema: Value,
    required: bool,
}

impl Importer {
    fn refuse(&mut self, path: &str, message: impl Into<String>) -> Value {
        self.mistakes.push(Violation { path: path.to_owned(), message: message.into() });
        Value::Null
    }

    fn object(&mut self, fields: &Map<String, Value>, path: &str, depth: usize) -> Value {
        if DEPTH_MAX <= depth {
            return self.refuse(path, format!("must not be nested deeper than {DEPTH_MAX} levels"));
        }
        if fields.is_empty() {
            return self.refuse(path, "must have at least one field");
        }
        let (single, slots) = split_slots(fields);
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (name, seed) in single {
            let here = format!("{path}/{name}");
            let field = self.field(name, seed, &here, depth);
            if field.required {
                required.push(name.clone());
            }
            properties.insert(name.clone(), field.schema);
        }
        for (base, slots) in slots {
            let items = self.slots(base, &slots, path, depth);
            if properties.contains_key(base) {
                let message = format!("clashes with the numbered slots {base}_1, …");
                self.refuse(&format!("{path}/{base}"), message);
            }
            properties.insert(base.to_owned(), list(&items));
        }
        let mut schema = json!({"type": "object", "additionalProperties": false, "properties": properties});
        if let (Value::Object(keywords), false) = (&mut schema, required.is_empty()) {
            keywords.insert("required".to_owned(), json!(required));
        }
        schema
    }

    /// The item that all slots of a base describe.
    fn slots(&mut self, base: &str, slots: &BTreeMap<u32, &Value>, path: &str, depth: usize) -> Value {
        let mut item = Value::Null;
        for (place, (number, seed)) in (1..).zip(slots) {
            let here = format!("{path}/{base}_{number}");
            if *number != place {
                self.refuse(&here, format!("skips a number: {base}_{place} is missing"));
            }
            let schema = self.field(base, seed, &here, depth).schema;
            if place == 1 {
                item = schema;
            } else if schema != item {
                self.refuse(
                    &here,
                    format!("has another shape than {base}_1, so the two cannot share a list"),
                );
            }
        }
        item
    }

    fn field(&mut self, name: &str, seed: &Value, path: &str, depth: usize) -> Field {
        self.fields += 1;
        if self.fields == FIELDS_MAX + 1 {
            self.refuse("", format!("must not have more than {FIELDS_MAX} fields"));
        }
        if FIELDS_MAX < self.fields {
            return Field { schema: Value::Null, required: false };
        }
        if !is_name(name) {
            self.refuse(path, format!("must be named with a-z, 0-9 and _, at most {NAME_LENGTH_MAX}"));
        }
        match seed {
            Value::String(type_name) => {
                Field { schema: self.named_type(type_name, path, depth), required: false }
            }
            Value::Object(spec) if is_spec(spec) => self.spec(spec, path, depth),
            Value::Object(fields) => Field { schema: self.object(fields, path, depth + 1), required: false },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                let schema = self.refuse(path, format!("must be {TYPES}, or an object"));
                Field { schema, required: false }
            }
        }
    }

    fn spec(&mut self, spec: &Map<String, Value>, path: &str, depth: usize) -> Field {
        let text = |key| spec.get(key).and_then(Value::as_str);
        let mut schema = match text("type").unwrap_or_default() {
            "enum" => self.choice(spec.get("values").unwrap_or(&Value::Null), path),
            "array" => match spec.get("items") {
                Some(items) => list(&self.field("items", items, &format!("{path}/items"), depth + 1).schema),
                None => self.refuse(&format!("{path}/items"), "must be given for an array"),
            },
            "object" => match spec.get("fields") {
                Some(Value::Object(fields)) => self.object(fields, &format!("{path}/fields"), depth + 1),
                Some(_) | None => self.refuse(&format!("{path}/fields"), "must be an object of fields"),
            },
            type_name => self.named_type(type_name, path, depth),
        };
        if let Value::Object(keywords) = &mut schema {
            for (from, to) in [("label", "title"), ("help", "description")] {
                if let Some(words) = text(from) {
                    keywords.insert(to.to_owned(), words.into());
                }
            }
        }
        let required = match spec.get("required") {
            None => false,
            Some(Value::Bool(required)) => *required,
            Some(_) => {
                self.refuse(&format!("{path}/required"), "must be true or false");
                false
            }
        };
        Field { schema, required }
    }

    fn named_type(&mut self, type_name: &str, path: &str, depth: usize) -> Value {
        if DEPTH_MAX <= depth {
            return self.refuse(path, format!("must not be nested deeper than {DEPTH_MAX} levels"));
        }
        if let Some(of) = type_name.strip_prefix("array[").and_then(|rest| rest.strip_suffix(']')) {
            return list(&self.named_type(of.trim(), path, depth + 1));
        }
        if let Some(values) = type_name.strip_prefix("enum[").and_then(|rest| rest.strip_suffix(']')) {
            let values: Vec<_> = values.split(['|', ',']).map(str::trim).collect();
            return self.choice(&json!(values), path);
        }
        match type_name {
            "text" | "string" => json!({"type": "string", "minLength": 1, "maxLength": TEXT_LENGTH_MAX}),
            "int" | "integer" => json!({"type": "integer"}),
            "number" | "float" => json!({"type": "number"}),
            "money" => json!({"type": "number", "minimum": 0}),
            "bool" | "boolean" => json!({"type": "boolean"}),
            "date" => json!({"type": "string", "format": "date"}),
            "datetime" => json!({"type": "string", "format": "date-time"}),
            "email" => json!({"type": "string", "format": "email", "maxLength": 254}),
            "url" => json!({"type": "string", "format": "uri", "maxLength": TEXT_LENGTH_MAX}),
            "phone" => json!({
                "type": "string", "pattern": "^\\+[1-9][0-9]{6,14}$", "maxLength": 16,
                "x-message": "must be a phone number in E.164 form, e.g. +19495550123"
            }),
            _ => self.refuse(path, format!("must be {TYPES}")),
        }
    }

    fn choice(&mut self, values: &Value, path: &str) -> Value {
        let words: Vec<_> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let listed = values.as_array().map_or(0, Vec::len);
        let mut unique = words.clone();
        unique.sort_unstable();
        unique.dedup();
        if words.is_empty() || words.len() != listed || unique.len() != listed || words.contains(&"") {
            return self.refuse(path, "must list one or more different texts as the values of an enum");
        }
        json!({"type": "string", "enum": words})
    }
}

fn list(items: &Value) -> Value {
    json!({"type": "array", "items": items, "maxItems": ITEMS_MAX})
}

fn is_spec(object: &Map<String, Value>) -> bool {
    object.get("type").is_some_and(Value::is_string)
        && object.keys().all(|key| SPEC_KEYS.contains(&key.as_str()))
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_LENGTH_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

type Singles<'a> = Vec<(&'a String, &'a Value)>;
type Slots<'a> = BTreeMap<&'a str, BTreeMap<u32, &'a Value>>;

/// Tells fields from numbered slots: `auto_1` is a slot, and so is `auto_2` when there is an `auto_1`.
fn split_slots(fields: &Map<String, Value>) -> (Singles<'_>, Slots<'_>) {
    let mut singles = Vec::new();
    let mut slots = Slots::new();
    for (name, seed) in fields {
        match slot(name).filter(|(base, _)| fields.contains_key(&format!("{base}_1"))) {
            Some((base, number)) => {
                slots.entry(base).or_default().insert(number, seed);
            }
            None => singles.push((name, seed)),
        }
    }
    (singles, slots)
}

fn slot(name: &str) -> Option<(&str, u32)> {
    let (base, number) = name.rsplit_once('_')?;
    let plain = !number.starts_with(['0', '+']);
    Some((base, number.parse().ok().filter(|_| plain && !base.is_empty())?))
}
