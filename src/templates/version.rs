//! One immutable version of a template: a closed JSON Schema, hints for forms, the rule of the quick bio, and the
//! digest that names all of it. Must never know which tenants follow it.

use super::bio::BioRule;
use super::validate;
use crate::error::{Fault, OrFault, Violation};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const INSURANCE: &str = include_str!("seeds/insurance.json");
const REAL_ESTATE: &str = include_str!("seeds/real_estate.json");
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 2..=40;
const NAME_LENGTH_MAX: usize = 200;

/// A published version; never changed afterwards.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateVersion {
    key: String,
    name: String,
    number: i32,
    schema: Value,
    ui: Value,
    bio_json: Value,
    bio: BioRule,
    sha256: String,
}

/// What a version is made of, as it stands in a file or in a row.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// The name in commands and rows, e.g. `insurance`.
    pub key: String,
    /// The name for people.
    pub name: String,
    /// Counts from 1 for each key.
    pub number: i32,
    /// A closed JSON Schema 2020-12 of the profile.
    pub schema: Value,
    /// Order, labels, widgets and help for forms, by JSON Pointer of the field.
    pub ui: Value,
    /// The rule of the quick bio; see [`BioRule`].
    pub bio: Value,
}

impl TemplateVersion {
    /// Checks the parts and takes their digest.
    pub fn new(parts: Parts) -> Result<Self, Vec<Violation>> {
        let Parts { key, name, number, schema, ui, bio: bio_json } = parts;
        let mut violations = Vec::new();
        let mut refuse = |path: &str, message: String| {
            violations.push(Violation { path: path.to_owned(), message });
        };
        if !is_key(&key) {
            refuse("/key", "must be 2 to 40 of a-z, 0-9 and _, beginning with a letter".to_owned());
        }
        if name.is_empty() || NAME_LENGTH_MAX < name.chars().count() {
            refuse("/name", format!("must have 1 to {NAME_LENGTH_MAX} characters"));
        }
        if number < 1 {
            refuse("/number", "must be 1 or more".to_owned());
        }
        if !ui.is_object() {
            refuse("/ui", "must be an object".to_owned());
        }
        let bio = BioRule::deserialize(&bio_json).map_err(|error| refuse("/bio", error.to_string()));
        let digested = json!({"key": key, "number": number, "schema": schema, "ui": ui, "bio": bio_json});
        let sha256 = hex(&Sha256::digest(canonical(&digested)));
        violations.extend(validate::schema_once(&schema, &sha256));
        match bio {
            Ok(bio) if violations.is_empty() => {
                Ok(Self { key, name, number, schema, ui, bio_json, bio, sha256 })
            }
            Ok(_) | Err(()) => Err(violations),
        }
    }

    /// The name in commands and rows.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The name for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts from 1 for each key.
    pub fn number(&self) -> i32 {
        self.number
    }

    /// The JSON Schema of the profile.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// The hints for forms.
    pub fn ui(&self) -> &Value {
        &self.ui
    }

    /// The rule of the quick bio as it is stored.
    pub fn bio_json(&self) -> &Value {
        &self.bio_json
    }

    /// The rule of the quick bio.
    pub fn bio(&self) -> &BioRule {
        &self.bio
    }

    /// The digest over key, number, schema, hints and bio rule, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// The templates that come with the platform, for `neurosphere template list` and for the seeding of a new database.
pub fn built_in() -> Result<Vec<TemplateVersion>, Fault> {
    [INSURANCE, REAL_ESTATE].into_iter().map(from_file).collect()
}

fn from_file(text: &str) -> Result<TemplateVersion, Fault> {
    let parts: Parts = serde_json::from_str(text).or_fault("read a built-in template")?;
    let key = parts.key.clone();
    TemplateVersion::new(parts).map_err(|violations| {
        let lines: Vec<_> = violations.iter().map(|v| format!("{}: {}", v.path, v.message)).collect();
        Fault::caused(format!("check the built-in template {key}"), lines.join("; "))
    })
}

fn is_key(key: &str) -> bool {
    KEY_LENGTH.contains(&key.len())
        && key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The same bytes for equal documents: no spaces, the keys of every object in byte order.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| *key);
            let each =
                sorted.into_iter().map(|(k, v)| format!("{}:{}", Value::from(k.as_str()), canonical(v)));
            format!("{{{}}}", each.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|n| char::from_digit(n.into(), 16))
        .collect()
}
