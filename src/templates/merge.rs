//! Changes a profile by a JSON merge patch (RFC 7396), checked as a whole: a patch whose result breaks the template
//! changes nothing and says why. Must never know who asked for the change.

use super::validate;
use super::version::TemplateVersion;
use crate::error::Violation;
use serde_json::{Map, Value};

/// The document after the patch, or every rule that the result would break.
pub fn apply(version: &TemplateVersion, document: &Value, patch: &Value) -> Result<Value, Vec<Violation>> {
    if !patch.is_object() {
        return Err(vec![Violation { path: String::new(), message: "a patch must be an object".to_owned() }]);
    }
    let too_large = validate::limits(patch);
    if !too_large.is_empty() {
        return Err(too_large);
    }
    let changed = patched(document, patch);
    validate::profile(version, &changed)?;
    Ok(changed)
}

/// RFC 7396, section 2: objects merge, `null` removes, everything else replaces.
pub fn patched(document: &Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else {
        return patch.clone();
    };
    let mut fields = document.as_object().cloned().unwrap_or_else(Map::new);
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(key);
        } else {
            let before = fields.get(key).unwrap_or(&Value::Null);
            let after = patched(before, change);
            fields.insert(key.clone(), after);
        }
    }
    Value::Object(fields)
}
