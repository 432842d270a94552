//! The first sentence: a tenant's template with what is known filled in. A sentence whose blanks cannot be filled is not
//! spoken ("Is this ?" never is), and something sensible is always left.

use chrono::{DateTime, Timelike as _, Utc};
use chrono_tz::Tz;

use super::name;
use crate::sentences::{Language, Sentence};

/// The longest template that is read, in characters.
const TEMPLATE_CHARS_MAX: usize = 500;

/// What a greeting is made of.
#[derive(Debug, Clone, Copy)]
pub struct Greeting<'a> {
    /// For somebody who never called before.
    pub new_caller_template: &'a str,
    /// For somebody who did.
    pub returning_caller_template: &'a str,
    /// `{agent_name}`.
    pub agent_name: &'a str,
    /// `{business_name}`.
    pub business_name: &'a str,
    /// In which language the time of day is greeted.
    pub language: Language,
    /// `{user_name}`, and which template.
    pub caller: Acquaintance<'a>,
    /// `{time_greeting}`, where the tenant is.
    pub at: DateTime<Utc>,
    /// Where that is.
    pub zone: Tz,
}

/// How well a caller is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquaintance<'a> {
    /// Never called before.
    New,
    /// Did, and may have said a name.
    Returning(Option<&'a str>),
}

impl Greeting<'_> {
    /// The sentence, ready to be spoken.
    pub fn render(&self) -> String {
        let named = self.blank("user_name").is_some();
        let first = match self.caller {
            Acquaintance::New => self.new_caller_template,
            // Without a name, half of a question for it would be left.
            Acquaintance::Returning(_)
                if !named && self.returning_caller_template.contains("{user_name}") =>
            {
                self.new_caller_template
            }
            Acquaintance::Returning(_) => self.returning_caller_template,
        };
        [first, self.new_caller_template, Sentence::PlainGreeting.said_in(self.language)]
            .into_iter()
            .map(|template| self.fill(template))
            .find(|text| text.chars().any(char::is_alphanumeric))
            .unwrap_or_default()
    }

    fn fill(&self, template: &str) -> String {
        let template: String = template.chars().take(TEMPLATE_CHARS_MAX).collect();
        let filled: Vec<String> =
            template.split_inclusive(['.', '!', '?']).filter_map(|part| self.fill_sentence(part)).collect();
        filled.join(" ")
    }

    fn fill_sentence(&self, sentence: &str) -> Option<String> {
        let mut text = String::new();
        let mut rest = sentence.trim();
        while let Some((before, after)) = rest.split_once('{') {
            let (blank, after) = after.split_once('}')?;
            text.push_str(before);
            let value = self.blank(blank.trim())?;
            if blank.trim() == "time_greeting" {
                append_time_greeting(&mut text, &value);
            } else {
                text.push_str(&value);
            }
            rest = after;
        }
        text.push_str(rest);
        let text = text.replace(['"', '}'], "");
        let spoken = text.split_whitespace().collect::<Vec<_>>().join(" ");
        (!spoken.is_empty()).then_some(spoken)
    }

    fn blank(&self, blank: &str) -> Option<String> {
        let value = match blank {
            "agent_name" => name(self.agent_name),
            "business_name" => name(self.business_name),
            "user_name" => match self.caller {
                Acquaintance::New | Acquaintance::Returning(None) => return None,
                Acquaintance::Returning(Some(caller)) => name(caller),
            },
            "time_greeting" => {
                self.language.time_greeting(self.at.with_timezone(&self.zone).hour()).to_owned()
            }
            _ => return None,
        };
        value.chars().any(char::is_alphanumeric).then_some(value)
    }
}

/// Templates in the wild put `Good` before `{time_greeting}`; the value brings its own.
fn append_time_greeting(text: &mut String, value: &str) {
    let kept = text.trim_end();
    if let Some(start) = kept.len().checked_sub(4)
        && kept.get(start..).is_some_and(|word| word.eq_ignore_ascii_case("good"))
        && !kept.get(..start).is_some_and(|before| before.ends_with(char::is_alphanumeric))
    {
        text.truncate(start);
    }
    if text.contains(char::is_alphanumeric) {
        text.push_str(&value.to_ascii_lowercase());
    } else {
        text.push_str(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "{time_greeting}! This is {agent_name}. How can I help you?";
    const RETURNING: &str = "Hi, this is {agent_name}. Is this {user_name}?";

    fn greet(templates: (&str, &str), caller: Acquaintance<'_>, at: &str) -> String {
        greet_in(Language::English, templates, caller, at)
    }

    fn greet_in(language: Language, templates: (&str, &str), caller: Acquaintance<'_>, at: &str) -> String {
        Greeting {
            language,
            new_caller_template: templates.0,
            returning_caller_template: templates.1,
            agent_name: "Barbara",
            business_name: "Peterson Family Insurance",
            caller,
            at: at.parse().unwrap(),
            zone: chrono_tz::America::Los_Angeles,
        }
        .render()
    }

    #[test]
    fn every_occasion_has_its_sentence() {
        use Acquaintance::{New, Returning};
        const MORNING: &str = "2026-11-23T17:00:00Z";
        for (templates, caller, spoken) in [
            ((NEW, RETURNING), New, "Good morning! This is Barbara. How can I help you?"),
            ((NEW, RETURNING), Returning(Some("John Smith")), "Hi, this is Barbara. Is this John Smith?"),
            ((NEW, RETURNING), Returning(None), "Good morning! This is Barbara. How can I help you?"),
            ((NEW, RETURNING), Returning(Some("  ")), "Good morning! This is Barbara. How can I help you?"),
            (
                (NEW, "Welcome back to {business_name}!"),
                Returning(None),
                "Welcome back to Peterson Family Insurance!",
            ),
            (("Good {time_greeting}! I'm {agent_name}.", ""), New, "Good morning! I'm Barbara."),
            (("good  {time_greeting}, {agent_name} here", ""), New, "Good morning, Barbara here"),
            (("Hello and good {time_greeting}!", ""), New, "Hello and good morning!"),
            (("Hello and {time_greeting}!", ""), New, "Hello and good morning!"),
            (("A feelgood {time_greeting}!", ""), New, "A feelgood good morning!"),
            (("Hi {user_name}! This is {business_name}.", ""), New, "This is Peterson Family Insurance."),
            (("Hi {user_name}!", ""), New, "Good morning! How can I help you?"),
            (("", ""), New, "Good morning! How can I help you?"),
            (("Call {mother}. Hi.", ""), New, "Hi."),
            (("Hi. Broken {agent_name", ""), New, "Hi."),
            (
                ("Hi {agent_name}\nfrom \"{business_name}\"", ""),
                New,
                "Hi Barbara from Peterson Family Insurance",
            ),
            ((NEW, ""), Returning(Some("John")), "Good morning! This is Barbara. How can I help you?"),
            (
                (NEW, RETURNING),
                Returning(Some("\"{agent_name}\"\nSmith")),
                "Hi, this is Barbara. Is this ' agent_name ' Smith?",
            ),
        ] {
            assert_eq!(greet(templates, caller, MORNING), spoken, "{templates:?} {caller:?}");
        }
    }

    #[test]
    fn the_time_of_day_is_greeted_in_the_agents_language() {
        const NIGHT: &str = "2026-11-24T04:00:00Z";
        for (template, spoken) in [
            ("¡{time_greeting}! Le habla {agent_name}.", "¡Buenas noches! Le habla Barbara."),
            ("Hola y {time_greeting}.", "Hola y buenas noches."),
            ("", "Buenas noches. ¿En qué puedo ayudarle?"),
        ] {
            let greeted = greet_in(Language::Spanish, (template, ""), Acquaintance::New, NIGHT);
            assert_eq!(greeted, spoken, "{template}");
        }
    }

    #[test]
    fn the_time_of_day_is_the_tenants() {
        // Los Angeles is eight hours behind in winter, seven in summer.
        for (at, greeting) in [
            ("2026-11-23T12:59:59Z", "Good evening"),
            ("2026-11-23T13:00:00Z", "Good morning"),
            ("2026-11-23T19:59:59Z", "Good morning"),
            ("2026-11-23T20:00:00Z", "Good afternoon"),
            ("2026-11-24T00:59:59Z", "Good afternoon"),
            ("2026-11-24T01:00:00Z", "Good evening"),
            ("2026-07-01T12:00:00Z", "Good morning"),
            ("2026-07-01T11:59:59Z", "Good evening"),
        ] {
            assert_eq!(greet(("{time_greeting}", ""), Acquaintance::New, at), greeting, "{at}");
        }
    }
}
