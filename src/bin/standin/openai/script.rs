//! What the model says: a small TOML file of rules over the caller's words. The rules know no tenant; what a caller or
//! a business is called comes from captures and from the instructions that the product sends. Pure. The file's own
//! words are explained in `tests/fixtures/scripts/insurance.toml`.

use super::analysis::{FactRule, SummaryRule};
use regex::Regex;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A script; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script(Arc<Book>);

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Book {
    opening: String,
    default: String,
    idle: String,
    pace: Pace,
    #[serde(rename = "rule")]
    rules: Vec<Rule>,
    #[serde(rename = "summary")]
    summaries: Vec<SummaryRule>,
    #[serde(rename = "fact")]
    facts: Vec<FactRule>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            opening: "Hello, how can I help you?".to_owned(),
            default: "I am sorry, I did not catch that. Could you say it again?".to_owned(),
            idle: "Are you still there?".to_owned(),
            pace: Pace::default(),
            rules: Vec::new(),
            summaries: Vec::new(),
            facts: Vec::new(),
        }
    }
}

/// How fast the model answers.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Pace {
    /// From the end of the caller's turn to the first delta.
    pub(super) think_ms: u64,
    /// Audio per delta.
    pub(super) delta_ms: u64,
    /// How many times faster than it plays the audio is sent.
    pub(super) speed: f64,
    /// From the commit to the transcript of what the caller said.
    pub(super) transcription_ms: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { think_ms: 120, delta_ms: 200, speed: 5.0, transcription_ms: 150 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    heard: Pattern,
    known: Option<Pattern>,
    #[serde(default)]
    say: Lines,
    #[serde(default)]
    unknown: Lines,
    #[serde(default)]
    call: Vec<Call>,
    #[serde(default)]
    after: Lines,
    #[serde(default)]
    failed: Lines,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    name: String,
    #[serde(default)]
    arguments: BTreeMap<String, Value>,
}

/// One line or several.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Lines {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

/// A regular expression in a script.
#[derive(Debug)]
pub(super) struct Pattern(Regex);

/// What a rule's patterns captured, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Captures(BTreeMap<String, String>);

/// What the model knows when it is to answer.
pub(super) struct Moment<'a> {
    pub(super) instructions: &'a str,
    /// Whether words to be said exactly count: the instructions are this response's own, or nobody has spoken yet.
    pub(super) literal: bool,
    /// What the caller said, turn by turn; the last is answered.
    pub(super) heard: &'a [String],
    /// The names of the tools that may be called.
    pub(super) tools: &'a [&'a str],
}

/// One output item.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Output {
    Say(String),
    Call { name: String, arguments: Value },
}

/// What a tool call leaves to be said once it is answered.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    rule: usize,
    captures: Captures,
}

impl Script {
    /// Reads a script and checks it whole.
    pub(crate) fn parse(text: &str) -> Result<Script, String> {
        let book: Book = toml::from_str(text).map_err(|error| error.to_string())?;
        if book.pace.delta_ms == 0 || !(0.01..=1_000.0).contains(&book.pace.speed) {
            return Err("pace: delta_ms must be at least 1 and speed between 0.01 and 1000".to_owned());
        }
        Ok(Script(Arc::new(book)))
    }

    /// The script of a command line; without one the model greets and understands nothing.
    pub(crate) fn given(file: Option<&Path>) -> Result<Script, String> {
        match file {
            Some(file) => Script::open(file).map_err(|error| error.to_string()),
            None => Script::parse(""),
        }
    }

    /// Reads a script from a file.
    fn open(path: &Path) -> io::Result<Script> {
        let text = std::fs::read_to_string(path);
        text.and_then(|text| Script::parse(&text).map_err(io::Error::other))
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
    }

    pub(super) fn pace(&self) -> Pace {
        self.0.pace
    }

    pub(super) fn summaries(&self) -> &[SummaryRule] {
        &self.0.summaries
    }

    pub(super) fn facts(&self) -> &[FactRule] {
        &self.0.facts
    }

    /// The line for a caller who stays silent.
    pub(super) fn idle(&self) -> Vec<Output> {
        vec![Output::Say(self.0.idle.clone())]
    }

    /// The answer to what was last heard, and what is left to be said when its tools have answered.
    pub(super) fn answer(&self, moment: &Moment<'_>) -> (Vec<Output>, Option<Pending>) {
        if moment.literal
            && let Some(line) = exact_words(moment.instructions)
        {
            return (vec![Output::Say(line)], None);
        }
        let Some((last, earlier)) = moment.heard.split_last() else {
            return (vec![Output::Say(self.0.opening.clone())], None);
        };
        let mut rules = self.0.rules.iter().enumerate();
        let found = rules.find_map(|(number, rule)| Some((number, rule, rule.heard.captures(last)?)));
        let Some((number, rule, mut captures)) = found else {
            return (vec![Output::Say(self.0.default.clone())], None);
        };
        if let Some(known) = &rule.known {
            let mut places = std::iter::once(moment.instructions).chain(earlier.iter().map(String::as_str));
            let Some(more) = places.find_map(|place| known.captures(place)) else {
                return (rule.unknown.said_with(&captures), None);
            };
            captures.0.extend(more.0);
        }
        let mut outputs = rule.say.said_with(&captures);
        let calls: Vec<Output> = rule
            .call
            .iter()
            .filter(|call| moment.tools.contains(&call.name.as_str()))
            .map(|call| call.with(&captures))
            .collect();
        if calls.is_empty() {
            outputs.extend(rule.after.said_with(&captures));
            return (outputs, None);
        }
        outputs.extend(calls);
        (outputs, Some(Pending { rule: number, captures }))
    }

    /// What is said once the tools have answered, given their answers as they came.
    pub(super) fn continued(&self, pending: Pending, answers: &[String]) -> Vec<Output> {
        let Some(rule) = self.0.rules.get(pending.rule) else { return Vec::new() };
        let mut captures = pending.captures;
        let mut failed = false;
        for answer in answers {
            captures.0.insert("output".to_owned(), answer.clone());
            let Ok(Value::Object(fields)) = serde_json::from_str(answer) else { continue };
            failed |= fields.contains_key("error");
            captures
                .0
                .extend(fields.into_iter().map(|(name, value)| (format!("output.{name}"), plain(value))));
        }
        let lines = if failed { &rule.failed } else { &rule.after };
        lines.said_with(&captures)
    }
}

impl Lines {
    fn said_with(&self, captures: &Captures) -> Vec<Output> {
        let lines = match self {
            Lines::None => &[],
            Lines::One(line) => std::slice::from_ref(line),
            Lines::Many(lines) => lines.as_slice(),
        };
        lines.iter().map(|line| Output::Say(captures.fill(line))).collect()
    }
}

impl Call {
    fn with(&self, captures: &Captures) -> Output {
        let arguments =
            self.arguments.iter().map(|(name, value)| (name.clone(), captures.fill_json(value))).collect();
        Output::Call { name: self.name.clone(), arguments: Value::Object(arguments) }
    }
}

impl Pattern {
    pub(super) fn captures(&self, text: &str) -> Option<Captures> {
        let found = self.0.captures(text)?;
        let named = self.0.capture_names().flatten();
        let pairs =
            named.filter_map(|name| Some((name.to_owned(), found.name(name)?.as_str().trim().to_owned())));
        Some(Captures(pairs.collect()))
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Regex::new(&text).map(Pattern).map_err(serde::de::Error::custom)
    }
}

impl Captures {
    /// The text with each `${name}` replaced; a name that captured nothing stays visible.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        for (name, value) in &self.0 {
            filled = filled.replace(&format!("${{{name}}}"), value);
        }
        filled
    }

    /// JSON with each string filled; a string that is `${name|int}` becomes a number.
    pub(super) fn fill_json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.number(text).unwrap_or_else(|| self.fill(text).into()),
            Value::Array(values) => values.iter().map(|value| self.fill_json(value)).collect(),
            Value::Object(fields) => Value::Object(
                fields.iter().map(|(name, value)| (name.clone(), self.fill_json(value))).collect(),
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn number(&self, text: &str) -> Option<Value> {
        let name = text.strip_prefix("${")?.strip_suffix("|int}")?;
        self.0.get(name)?.parse::<i64>().ok().map(Value::from)
    }
}

/// The words of an instruction like `Greet the caller. Say exactly: "Good morning!"`: the last such, to its closing
/// quotation mark, or to the end when there is none.
fn exact_words(instructions: &str) -> Option<String> {
    const COMMAND: &str = "say exactly:";
    let at = instructions.to_ascii_lowercase().rfind(COMMAND)?;
    let rest = instructions.get(at + COMMAND.len()..)?.trim();
    let words = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => rest,
    };
    (!words.trim().is_empty()).then(|| words.trim().to_owned())
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SCRIPT: &str = r#"
        default = "What?"
        [[rule]]
        heard = '(?i)my name is (?P<name>\w+)'
        say = "One moment."
        call = [{ name = "remember", arguments = { fact = "Name: ${name}", weight = 3 } }]
        after = "Noted, ${name}: ${output.note}"
        failed = "I could not note it."
        [[rule]]
        heard = 'my car'
        known = 'drives (?P<car>[\w ]+)'
        say = ["You drive ${car}.", "Anything else?"]
        unknown = "I do not know yet."
    "#;

    fn said(instructions: &str, heard: &[&str], tools: &[&str]) -> Vec<Output> {
        let heard: Vec<String> = heard.iter().map(|line| (*line).to_owned()).collect();
        Script::parse(SCRIPT).unwrap().answer(&Moment { instructions, literal: true, heard: &heard, tools }).0
    }

    fn check(instructions: &str, heard: &[&str], tools: &[&str], expected: &[&str]) {
        let said: Vec<String> = said(instructions, heard, tools)
            .into_iter()
            .map(|output| match output {
                Output::Say(text) => text,
                Output::Call { name, arguments } => format!("{name}{arguments}"),
            })
            .collect();
        assert_eq!(said, expected, "{heard:?} under {instructions:?}");
    }

    #[test]
    fn rules() {
        check("", &[], &[], &["Hello, how can I help you?"]);
        check("", &["mumble"], &[], &["What?"]);
        let call = r#"remember{"fact":"Name: Ann","weight":3}"#;
        check("", &["my name is Ann"], &["remember"], &["One moment.", call]);
        check("", &["my name is Ann"], &[], &["One moment.", "Noted, Ann: ${output.note}"]);
        check("", &["my car?"], &[], &["I do not know yet."]);
        check("He drives a Lada.", &["my car?"], &[], &["You drive a Lada.", "Anything else?"]);
        check("", &["she drives a Mini", "my car?"], &[], &["You drive a Mini.", "Anything else?"]);
    }

    #[test]
    fn exact_words_of_greetings() {
        for (instructions, expected) in [
            (r#"Be kind. Say exactly: "Good morning!" and wait."#, Some("Good morning!")),
            ("Greet the caller.\nSAY EXACTLY: Hi, this is Barbara.", Some("Hi, this is Barbara.")),
            ("Never say exactly: what stands here.\n\nSay exactly: \"Hi.\"", Some("Hi.")),
            ("Say exactly:  ", None),
            ("Say what you like.", None),
        ] {
            assert_eq!(exact_words(instructions).as_deref(), expected, "{instructions}");
        }
    }

    #[test]
    fn tools_that_answered_or_failed() {
        let script = Script::parse(SCRIPT).unwrap();
        let heard = ["my name is Ann".to_owned()];
        let pending = script
            .answer(&Moment { instructions: "", literal: false, heard: &heard, tools: &["remember"] })
            .1
            .unwrap();
        for (answer, expected) in
            [(json!({ "note": 7 }), "Noted, Ann: 7"), (json!({ "error": "no room" }), "I could not note it.")]
        {
            let said = script.continued(pending.clone(), &[answer.to_string()]);
            assert_eq!(said, [Output::Say(expected.to_owned())]);
        }
    }

    #[test]
    fn bad_scripts_are_refused_with_the_reason() {
        for (script, reason) in [
            ("[[rule]]\nheard = '('", "unclosed group"),
            ("[[rule]]\nheard = 'a'\nsays = 'b'", "unknown field"),
            ("[pace]\nspeed = 0.0", "speed"),
        ] {
            let problem = Script::parse(script).unwrap_err();
            assert!(problem.contains(reason), "{problem}");
        }
    }

    #[test]
    fn the_demo_script_answers_its_own_caller_lines() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let script = Script::open(&root.join("scripts/insurance.toml")).unwrap();
        let memory = "- name: \"John Smith\"\n- told before: \"John Smith drives a 2019 Toyota Camry. He lives at 12 Oak Street in Orange County.";
        for (heard, known, unknown) in [
            (
                "Hello. Do you know who I am?",
                "Yes, you are John Smith.",
                "I do not know you yet. May I ask your name?",
            ),
            (
                "Yes, this is John. What do you know about my car?",
                "You drive a 2019 Toyota Camry. It is in my notes.",
                "I do not know yet what you drive. Which car is it?",
            ),
            (
                "And where do I live?",
                "You live at 12 Oak Street in Orange County.",
                "I do not know yet where you live.",
            ),
        ] {
            for (instructions, expected) in [(memory, known), ("", unknown)] {
                let moment = Moment { instructions, literal: false, heard: &[heard.to_owned()], tools: &[] };
                assert_eq!(script.answer(&moment).0, [Output::Say(expected.to_owned())], "{heard}");
            }
        }
    }
}
