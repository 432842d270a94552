//! The quick bio: one line that says who a caller is, made from a profile by a declarative rule of the template, e.g.
//! `John Smith | Orange County | 2 Auto + 1 Home | Client since 2020`. What is missing or of another kind than the
//! rule expects is left out. Must never fail, whatever the document.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

const SEPARATOR: &str = " | ";
const PART_LENGTH_MAX: usize = 80;
const BIO_LENGTH_MAX: usize = 300;

/// The parts of the line, in order.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BioRule {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Part {
    /// The first of the fields that holds text or a number.
    Text {
        first_of: Vec<String>,
        #[serde(default)]
        before: String,
        #[serde(default)]
        after: String,
    },
    /// A year, from a whole number or from the beginning of a date.
    Year {
        at: String,
        #[serde(default)]
        before: String,
    },
    /// An amount of dollars.
    Money {
        at: String,
        #[serde(default)]
        before: String,
        #[serde(default)]
        after: String,
    },
    /// A value that has its own wording: an enum value, `true` or `false`.
    Choice { at: String, words: BTreeMap<String, String> },
    /// How many items several arrays hold.
    Counts { of: Vec<Count> },
    /// How many items of one array share each value of a field.
    CountsBy { array: String, field: String, words: BTreeMap<String, String> },
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    array: String,
    word: String,
}

impl BioRule {
    /// The line for a profile; empty when the profile holds nothing that the rule asks for.
    pub fn line(&self, profile: &Value) -> String {
        let parts = self.parts.iter().filter_map(|part| part.render(profile)).map(|text| tidy(&text));
        let line = parts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(SEPARATOR);
        shorten(&line, BIO_LENGTH_MAX)
    }

    /// The JSON Pointers of the fields that the line is made from.
    pub fn pointers(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().flat_map(Part::pointers).map(String::as_str)
    }
}

impl Part {
    fn render(&self, profile: &Value) -> Option<String> {
        match self {
            Self::Text { first_of, before, after } => {
                let text = first_of.iter().find_map(|at| text_at(profile, at))?;
                Some(format!("{before}{text}{after}"))
            }
            Self::Year { at, before } => Some(format!("{before}{}", year(profile.pointer(at)?)?)),
            Self::Money { at, before, after } => {
                Some(format!("{before}{}{after}", dollars(profile.pointer(at)?)?))
            }
            Self::Choice { at, words } => words.get(&word_key(profile.pointer(at)?)?).cloned(),
            Self::Counts { of } => {
                let of = of.iter().map(|count| (items(profile, &count.array).len(), count.word.as_str()));
                counted(of)
            }
            Self::CountsBy { array, field, words } => {
                let of = words.iter().map(|(key, word)| {
                    let same = |item: &&Value| item.get(field).and_then(word_key).as_ref() == Some(key);
                    (items(profile, array).iter().filter(same).count(), word.as_str())
                });
                counted(of)
            }
        }
    }

    fn pointers(&self) -> Vec<&String> {
        match self {
            Self::Text { first_of, .. } => first_of.iter().collect(),
            Self::Year { at, .. } | Self::Money { at, .. } | Self::Choice { at, .. } => vec![at],
            Self::Counts { of } => of.iter().map(|count| &count.array).collect(),
            Self::CountsBy { array, .. } => vec![array],
        }
    }
}

fn items<'a>(profile: &'a Value, pointer: &str) -> &'a [Value] {
    profile.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn counted<'a>(counts: impl Iterator<Item = (usize, &'a str)>) -> Option<String> {
    let some: Vec<_> = counts.filter(|(n, _)| 0 < *n).map(|(n, word)| format!("{n} {word}")).collect();
    if some.is_empty() { None } else { Some(some.join(" + ")) }
}

fn text_at(profile: &Value, pointer: &str) -> Option<String> {
    match profile.pointer(pointer)? {
        Value::String(text) if !tidy(text).is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn word_key(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn year(value: &Value) -> Option<i64> {
    let year = match value {
        Value::Number(number) => number.as_i64()?,
        Value::String(date) => date.get(..4)?.parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (1900..=2200).contains(&year).then_some(year)
}

/// Whole dollars with commas between the thousands, e.g. `$750,000`.
fn dollars(value: &Value) -> Option<String> {
    let amount = value.as_f64().filter(|a| (0.0..1e15).contains(a))?;
    let digits = format!("{amount:.0}");
    let mut text = String::from("$");
    for (place, digit) in digits.chars().enumerate() {
        if 0 < place && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    Some(text)
}

/// One line: control characters and runs of spaces become one space.
fn tidy(text: &str) -> String {
    let spaced = text.replace(|c: char| c.is_control() || c == '|', " ");
    shorten(&spaced.split_whitespace().collect::<Vec<_>>().join(" "), PART_LENGTH_MAX)
}

fn shorten(text: &str, length_max: usize) -> String {
    if text.chars().count() <= length_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(length_max.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}
