//! Reads a JSON object as strictly as the real server does: nothing unknown, nothing of the wrong type, and each
//! complaint with the path of the field.

use super::refusal::Refusal;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

pub(super) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

/// What an update does to an optional part.
pub(super) enum Clearable<'a> {
    Unchanged,
    Cleared,
    Set(Fields<'a>),
}

impl<'a> Fields<'a> {
    pub(super) fn of(path: &str, value: &'a Value) -> Result<Self, Refusal> {
        let map = value.as_object().ok_or_else(|| Refusal::wrong_type(path, "an object", value))?;
        Ok(Self { path: path.to_owned(), map })
    }

    /// Refuses every field that is not listed.
    pub(super) fn only(self, allowed: &[&str]) -> Result<Self, Refusal> {
        match self.map.keys().find(|name| !allowed.contains(&name.as_str())) {
            Some(name) => Err(Refusal::unknown(&self.at(name))),
            None => Ok(self),
        }
    }

    pub(super) fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name)
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<Fields<'a>>, Refusal> {
        self.get(name).map(|value| Fields::of(&self.at(name), value)).transpose()
    }

    /// An object that an explicit null clears.
    pub(super) fn clearable(&self, name: &str) -> Result<Clearable<'a>, Refusal> {
        match self.get(name) {
            None => Ok(Clearable::Unchanged),
            Some(Value::Null) => Ok(Clearable::Cleared),
            Some(value) => Ok(Clearable::Set(Fields::of(&self.at(name), value)?)),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        self.read(name, "a string", Value::as_str)
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Refusal> {
        self.read(name, "a boolean", Value::as_bool)
    }

    pub(super) fn array(&self, name: &str) -> Result<Option<&'a Vec<Value>>, Refusal> {
        self.read(name, "an array", Value::as_array)
    }

    pub(super) fn integer(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Refusal> {
        let number = self.read(name, "an integer", Value::as_u64)?;
        match number {
            Some(number) if !range.contains(&number) => {
                Err(self.out_of_range(name, &range.start().to_string(), &range.end().to_string()))
            }
            within => Ok(within),
        }
    }

    pub(super) fn number(&self, name: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, Refusal> {
        let number = self.read(name, "a decimal", Value::as_f64)?;
        match number {
            Some(number) if !range.contains(&number) => {
                Err(self.out_of_range(name, &range.start().to_string(), &range.end().to_string()))
            }
            within => Ok(within),
        }
    }

    pub(super) fn one_of(&self, name: &str, supported: &[&str]) -> Result<Option<&'a str>, Refusal> {
        match self.text(name)? {
            Some(text) if !supported.contains(&text) => {
                Err(Refusal::not_one_of(&self.at(name), text, supported))
            }
            known => Ok(known),
        }
    }

    pub(super) fn required<T>(&self, name: &str, found: Option<T>) -> Result<T, Refusal> {
        found.ok_or_else(|| Refusal::missing(&self.at(name)))
    }

    fn read<T>(
        &self,
        name: &str,
        expected: &str,
        as_it: fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        as_it(value).map(Some).ok_or_else(|| Refusal::wrong_type(&self.at(name), expected, value))
    }

    fn out_of_range(&self, name: &str, least: &str, most: &str) -> Refusal {
        let at = self.at(name);
        Refusal::value(&at, format!("Invalid '{at}': expected a value between {least} and {most}."))
    }
}
