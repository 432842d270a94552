//! How a business's agent speaks: name, voice, greetings, sliders, time zone, turn detection, transfer rules. Checked
//! here, whoever changes it. Must never know what a model provider makes of it.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::persona::Sliders;
use crate::db::Row;
use crate::error::{Error, Fault, OrFault as _, Violation};
use crate::ids::PhoneNumber;
use crate::sentences::{Language, Sentence};

/// The voices that a caller can be answered with.
pub const VOICES: [&str; 10] =
    ["alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse"];

/// What a greeting may contain in braces.
pub const PLACEHOLDERS: [&str; 4] = ["agent_name", "user_name", "time_greeting", "business_name"];

const GREETING_CHARS_MAX: usize = 500;
const BUSY_CHARS_MAX: usize = 300;
const NAME_CHARS_MAX: usize = 80;
const TRANSFER_RULES_MAX: usize = 50;

/// The agent's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// What the agent calls itself.
    pub name: String,
    /// One of [`VOICES`].
    pub voice: String,
    /// ISO 639-1, e.g. `en`; pins the transcription. Greetings that are still those of a new agent follow it.
    pub language: String,
    /// Said to those who call for the first time.
    pub new_caller_greeting: String,
    /// Said to those who have called before.
    pub returning_caller_greeting: String,
    /// The thirty sliders.
    pub sliders: Sliders,
    /// Where the business is.
    pub time_zone: Tz,
    /// When the caller's turn is over.
    pub vad: Vad,
    /// To whom a caller may be put through.
    pub transfer_rules: Vec<TransferRule>,
    /// Said when all lines are taken; a sentence of the platform where there is none.
    pub busy_message: Option<String>,
    /// Counts the changes.
    pub revision: i32,
}

/// Turn detection, as of server VAD.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vad {
    /// 0 to 1; higher needs louder speech.
    pub threshold: f64,
    /// Audio kept from before speech was detected.
    pub prefix_padding_ms: u32,
    /// Silence that ends the caller's turn.
    pub silence_duration_ms: u32,
}

impl Default for Vad {
    fn default() -> Self {
        Self { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500 }
    }
}

impl Vad {
    pub(super) fn to_json(self) -> Value {
        json!(self)
    }
}

/// Who is reached by which word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferRule {
    /// What the caller asks for.
    pub keyword: String,
    /// Where to, in E.164 form.
    pub number: String,
    /// Who or what that is.
    #[serde(default)]
    pub description: String,
}

/// A change of the settings: what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AgentChange {
    /// See [`Agent::name`].
    pub name: Option<String>,
    /// See [`Agent::voice`].
    pub voice: Option<String>,
    /// See [`Agent::language`].
    pub language: Option<String>,
    /// See [`Agent::new_caller_greeting`].
    pub new_caller_greeting: Option<String>,
    /// See [`Agent::returning_caller_greeting`].
    pub returning_caller_greeting: Option<String>,
    /// Sliders to move, by key; the others stay.
    pub sliders: Vec<(String, i32)>,
    /// IANA name, e.g. `America/Los_Angeles`.
    pub time_zone: Option<String>,
    /// See [`Agent::vad`].
    pub vad: Option<Vad>,
    /// The whole list.
    pub transfer_rules: Option<Vec<TransferRule>>,
    /// See [`Agent::busy_message`]; an empty one takes it back.
    pub busy_message: Option<String>,
}

impl Agent {
    /// What a business starts with.
    pub fn named(name: &str, time_zone: Tz) -> Self {
        Self {
            name: name.to_owned(),
            voice: "marin".to_owned(),
            language: "en".to_owned(),
            new_caller_greeting: Sentence::NewCallerGreeting.said_in(Language::English).to_owned(),
            returning_caller_greeting: Sentence::ReturningCallerGreeting
                .said_in(Language::English)
                .to_owned(),
            sliders: Sliders::default(),
            time_zone,
            vad: Vad::default(),
            transfer_rules: Vec::new(),
            busy_message: None,
            revision: 0,
        }
    }

    /// The settings after a change, or every rule that the change breaks.
    pub fn changed(&self, change: AgentChange) -> Result<Self, Error> {
        let mut violations = Vec::new();
        let time_zone = match change.time_zone.as_deref().map(str::parse::<Tz>) {
            None => self.time_zone,
            Some(Ok(zone)) => zone,
            Some(Err(_)) => {
                violations.push(broken("timeZone", "is not an IANA time zone such as America/Los_Angeles"));
                self.time_zone
            }
        };
        let sliders = self.sliders.moved(&change.sliders).unwrap_or_else(|mistakes| {
            let named = |v: Violation| Violation { path: format!("sliders.{}", v.path), ..v };
            violations.extend(mistakes.into_iter().map(named));
            self.sliders
        });
        let language = change.language.unwrap_or_else(|| self.language.clone());
        let next = Self {
            new_caller_greeting: change.new_caller_greeting.unwrap_or_else(|| {
                self.greeting_in(&language, &self.new_caller_greeting, Sentence::NewCallerGreeting)
            }),
            returning_caller_greeting: change.returning_caller_greeting.unwrap_or_else(|| {
                self.greeting_in(
                    &language,
                    &self.returning_caller_greeting,
                    Sentence::ReturningCallerGreeting,
                )
            }),
            language,
            name: change.name.unwrap_or_else(|| self.name.clone()).trim().to_owned(),
            voice: change.voice.unwrap_or_else(|| self.voice.clone()),
            sliders,
            time_zone,
            vad: change.vad.unwrap_or(self.vad),
            transfer_rules: change.transfer_rules.unwrap_or_else(|| self.transfer_rules.clone()),
            busy_message: match change.busy_message {
                None => self.busy_message.clone(),
                Some(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            },
            revision: self.revision,
        };
        next.check(&mut violations);
        if violations.is_empty() { Ok(next) } else { Err(Error::Invalid(violations)) }
    }

    /// A greeting when the language becomes this one: of its own only if nobody wrote another.
    fn greeting_in(&self, language: &str, greeting: &str, unwritten: Sentence) -> String {
        if greeting == unwritten.said_in(Language::of(&self.language)) {
            unwritten.said_in(Language::of(language)).to_owned()
        } else {
            greeting.to_owned()
        }
    }

    fn check(&self, violations: &mut Vec<Violation>) {
        let mut must = |holds: bool, path: &str, message: &str| {
            if !holds {
                violations.push(broken(path, message));
            }
        };
        must(
            (1..=NAME_CHARS_MAX).contains(&self.name.chars().count()),
            "name",
            "must have 1 to 80 characters",
        );
        must(
            !self.name.contains(|c: char| matches!(c, '{' | '}' | '"') || c.is_control()),
            "name",
            "must not contain braces, double quotes or control characters",
        );
        must(VOICES.contains(&self.voice.as_str()), "voice", "is not one of the voices on offer");
        let language = self.language.len() == 2 && self.language.bytes().all(|b| b.is_ascii_lowercase());
        must(language, "language", "must be an ISO 639-1 code such as en");
        for (path, greeting) in [
            ("newCallerGreeting", &self.new_caller_greeting),
            ("returningCallerGreeting", &self.returning_caller_greeting),
        ] {
            must(
                (1..=GREETING_CHARS_MAX).contains(&greeting.trim().chars().count()),
                path,
                "must have 1 to 500 characters",
            );
            must(
                !greeting.contains(|c: char| c == '"' || c.is_control()),
                path,
                "must not contain double quotes or control characters",
            );
            must(
                placeholders_known(greeting),
                path,
                "may contain {agent_name}, {user_name}, {time_greeting} and {business_name}, and no other braces",
            );
        }
        let busy = self.busy_message.as_deref().unwrap_or_default();
        must(busy.chars().count() <= BUSY_CHARS_MAX, "busyMessage", "must have at most 300 characters");
        must(!busy.contains(char::is_control), "busyMessage", "must not contain control characters");
        must((0.0..=1.0).contains(&self.vad.threshold), "vad.threshold", "must be from 0 to 1");
        must(self.vad.prefix_padding_ms <= 2_000, "vad.prefixPaddingMs", "must be at most 2000");
        must(
            (200..=3_000).contains(&self.vad.silence_duration_ms),
            "vad.silenceDurationMs",
            "must be from 200 to 3000",
        );
        must(self.transfer_rules.len() <= TRANSFER_RULES_MAX, "transferRules", "must be at most 50");
        for (place, rule) in self.transfer_rules.iter().enumerate() {
            must(
                !rule.keyword.trim().is_empty(),
                &format!("transferRules.{place}.keyword"),
                "must not be empty",
            );
            must(
                !rule.keyword.contains(char::is_control) && !rule.description.contains(char::is_control),
                &format!("transferRules.{place}"),
                "must not contain control characters",
            );
            let number = rule.number.parse::<PhoneNumber>().is_ok();
            must(
                number,
                &format!("transferRules.{place}.number"),
                "must be in E.164 form, e.g. +19495550123",
            );
        }
    }

    pub(super) fn transfer_rules_json(&self) -> Value {
        json!(self.transfer_rules)
    }

    /// In the order of the ten columns that a call reads too; the busy message is not among them.
    pub(crate) fn from_columns(row: &Row) -> Result<Self, Fault> {
        let doing = "read the agent's settings";
        let sliders = Sliders::from_json(&row.get::<_, Value>(5)).map_err(|_| Fault::new(doing))?;
        Ok(Self {
            name: row.get(0),
            voice: row.get(1),
            language: row.get(2),
            new_caller_greeting: row.get(3),
            returning_caller_greeting: row.get(4),
            sliders,
            time_zone: row.get::<_, String>(6).parse().or_fault(doing)?,
            vad: serde_json::from_value(row.get(7)).or_fault(doing)?,
            transfer_rules: serde_json::from_value(row.get(8)).or_fault(doing)?,
            busy_message: None,
            revision: row.get(9),
        })
    }
}

fn broken(path: &str, message: &str) -> Violation {
    Violation { path: path.to_owned(), message: message.to_owned() }
}

fn placeholders_known(greeting: &str) -> bool {
    let mut rest = greeting.to_owned();
    for name in PLACEHOLDERS {
        rest = rest.replace(&format!("{{{name}}}"), "");
    }
    !rest.contains(['{', '}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: AgentChange) -> Vec<String> {
        let agent = Agent::named("Barbara", Tz::UTC);
        match agent.changed(change) {
            Err(Error::Invalid(violations)) => violations.into_iter().map(|v| v.path).collect(),
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn every_broken_rule_is_named_at_once() {
        let change = AgentChange {
            name: Some(String::new()),
            voice: Some("nova".to_owned()),
            language: Some("English".to_owned()),
            new_caller_greeting: Some("Hi {nobody}".to_owned()),
            sliders: vec![("warmth".to_owned(), 101), ("charm".to_owned(), 1)],
            time_zone: Some("Mars/Olympus".to_owned()),
            vad: Some(Vad { threshold: 2.0, prefix_padding_ms: 9_999, silence_duration_ms: 1 }),
            transfer_rules: Some(vec![TransferRule {
                keyword: " ".to_owned(),
                number: "911".to_owned(),
                description: String::new(),
            }]),
            busy_message: Some("busy ".repeat(61)),
            ..AgentChange::default()
        };
        let paths = refused(change);
        let expected = [
            "timeZone",
            "sliders.warmth",
            "sliders.charm",
            "name",
            "voice",
            "language",
            "newCallerGreeting",
            "busyMessage",
            "vad.threshold",
            "vad.prefixPaddingMs",
            "vad.silenceDurationMs",
            "transferRules.0.keyword",
            "transferRules.0.number",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn no_text_has_control_characters() {
        let rule = |keyword: &str, description: &str| TransferRule {
            keyword: keyword.to_owned(),
            number: "+19495550123".to_owned(),
            description: description.to_owned(),
        };
        let text = || Some("Barb\0ara".to_owned());
        let change = AgentChange {
            name: text(),
            new_caller_greeting: text(),
            returning_caller_greeting: text(),
            transfer_rules: Some(vec![
                rule("sales", "Sales"),
                rule("sa\0les", "Sales"),
                rule("sales", "Sa\0les"),
            ]),
            busy_message: text(),
            ..AgentChange::default()
        };
        let expected = [
            "name",
            "newCallerGreeting",
            "returningCallerGreeting",
            "busyMessage",
            "transferRules.1",
            "transferRules.2",
        ];
        assert_eq!(refused(change), expected);
    }

    #[test]
    fn greetings_that_nobody_wrote_follow_the_language() {
        let into =
            |language: &str| AgentChange { language: Some(language.to_owned()), ..AgentChange::default() };
        let mut agent = Agent::named("Barbara", Tz::UTC);
        agent.returning_caller_greeting = "Welcome back, {user_name}!".to_owned();
        let spanish = agent.changed(into("es")).unwrap();
        assert_eq!(
            spanish.new_caller_greeting,
            "{time_greeting}. Le habla {agent_name}, de {business_name}. ¿En qué puedo ayudarle?"
        );
        assert_eq!(spanish.returning_caller_greeting, "Welcome back, {user_name}!");
        assert_eq!(spanish.changed(into("en")).unwrap(), agent);
        let both = AgentChange { new_caller_greeting: Some("Hola.".to_owned()), ..into("es") };
        assert_eq!(agent.changed(both).unwrap().new_caller_greeting, "Hola.");
    }

    #[test]
    fn a_change_leaves_the_rest() {
        let agent = Agent::named("Barbara", Tz::UTC);
        let next =
            agent.changed(AgentChange { voice: Some("cedar".to_owned()), ..AgentChange::default() }).unwrap();
        assert_eq!(next, Agent { voice: "cedar".to_owned(), ..agent });
        let busy = |text: &str| AgentChange { busy_message: Some(text.to_owned()), ..AgentChange::default() };
        let next = next.changed(busy(" All lines are taken. ")).unwrap();
        assert_eq!(next.busy_message.as_deref(), Some("All lines are taken."));
        assert_eq!(next.changed(AgentChange::default()).unwrap().busy_message, next.busy_message);
        assert_eq!(next.changed(busy(" ")).unwrap().busy_message, None, "an empty one takes it back");
    }
}
