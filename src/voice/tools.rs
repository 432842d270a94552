//! What the agent can do during a call, as the model is told and as it is done, with the call's own rights; and what staff
//! read of it. Must never know how the model asks.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::access::TenantScope;
use crate::calls::Known;
use crate::db::Db;
use crate::error::Error;
use crate::ids::CallId;
use crate::memory::{self, Kind, NewMemory, Source};
use crate::providers::openai::realtime::client::Tool;

const GET_CURRENT_TIME: &str = "get_current_time";
const REMEMBER: &str = "remember";

/// What tools may use.
#[derive(Clone)]
pub(super) struct Toolbox {
    pub(super) db: Db,
    pub(super) scope: TenantScope,
    pub(super) call: CallId,
    pub(super) known: Option<Known>,
    pub(super) zone: Tz,
}

/// What came of a tool.
pub(super) struct Used {
    /// For the model: JSON.
    pub(super) output: String,
    /// For people, who see it among the turns.
    pub(super) account: String,
}

#[derive(Deserialize)]
struct Time {
    #[serde(default)]
    format: Clock,
}

#[derive(Deserialize, Default, Clone, Copy)]
enum Clock {
    #[default]
    #[serde(rename = "12-hour")]
    Twelve,
    #[serde(rename = "24-hour")]
    TwentyFour,
}

#[derive(Deserialize)]
struct Remember {
    fact: String,
    kind: Option<String>,
    importance: Option<i16>,
}

/// What the model is told that it can do.
pub(super) fn offered() -> Vec<Tool> {
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let time = json!({
        "type": "object", "additionalProperties": false,
        "properties": {"format": {"type": "string", "enum": ["12-hour", "24-hour"]}},
    });
    let remember = json!({
        "type": "object", "additionalProperties": false, "required": ["fact"],
        "properties": {
            "fact": {"type": "string", "description": "One sentence about the caller, in the third person."},
            "kind": {"type": "string", "enum": kinds},
            "importance": {"type": "integer", "minimum": 1, "maximum": 5},
        },
    });
    [
        (GET_CURRENT_TIME, "Tells the current date and time where the business is.", time),
        (REMEMBER, "Keeps a fact about the caller for later calls. Use it whenever the caller tells something lasting.", remember),
    ]
    .into_iter()
    .filter_map(|(name, description, schema)| {
        let parameters = RawValue::from_string(schema.to_string()).ok()?;
        Some(Tool { name, description, parameters })
    })
    .collect()
}

impl Toolbox {
    /// Runs a tool; whatever happens becomes something that the model can be told.
    pub(super) async fn run(self, name: &str, arguments: &str) -> Used {
        let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
        match name {
            GET_CURRENT_TIME => match serde_json::from_str(arguments) {
                Ok(Time { format }) => told_time(self.db.clock().now(), self.zone, format),
                Err(_) => misfit(name),
            },
            REMEMBER => match serde_json::from_str(arguments) {
                Ok(remember) => self.remember(remember).await,
                Err(_) => misfit(name),
            },
            _ => refused("there is no such tool", format!("{name}: refused, as there is no such tool")),
        }
    }

    async fn remember(self, asked: Remember) -> Used {
        let fact = asked.fact.replace('\0', " ");
        let Some(known) = &self.known else {
            return refused(
                "the caller's number is withheld, so nothing can be kept",
                format!("Not remembered, as the caller's number is withheld: {fact}"),
            );
        };
        let new = NewMemory {
            caller: known.caller,
            call: Some(self.call),
            kind: asked.kind.as_deref().and_then(Kind::named).unwrap_or(Kind::Fact),
            text: fact.clone(),
            importance: asked.importance.unwrap_or(3).clamp(1, 5),
            source: Source::Agent,
        };
        match self.write(new).await {
            Ok(()) => Used {
                output: json!({"remembered": true}).to_string(),
                account: format!("Remembered: {fact}"),
            },
            Err(Error::Invalid(_)) => refused(
                "the fact must have 1 to 1000 characters",
                "Not remembered, as a fact has 1 to 1000 characters.".to_owned(),
            ),
            Err(error) => {
                let call = self.call;
                tracing::warn!(%call, code = error.code(), "a fact could not be remembered");
                refused(
                    "the fact could not be kept just now",
                    format!("Not remembered, as we had trouble: {fact}"),
                )
            }
        }
    }

    async fn write(&self, new: NewMemory) -> Result<(), Error> {
        let mut session = self.db.tenant(&self.scope).await?;
        let mut tx = session.begin().await?;
        memory::remember(&mut tx, new).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn refused(why: &str, account: String) -> Used {
    Used { output: json!({ "error": why }).to_string(), account }
}

fn misfit(name: &str) -> Used {
    refused("the arguments do not fit", format!("{name}: refused, as its arguments did not fit"))
}

fn told_time(now: DateTime<Utc>, zone: Tz, format: Clock) -> Used {
    let local = now.with_timezone(&zone);
    let time = match format {
        Clock::Twelve => local.format("%-I:%M %p"),
        Clock::TwentyFour => local.format("%H:%M"),
    };
    let output = json!({
        "time": time.to_string(),
        "day": local.format("%A").to_string(),
        "date": local.format("%B %-d, %Y").to_string(),
        "time_zone": local.format("%Z").to_string(),
    });
    let account = format!("Looked at the clock: {time} on {}", local.format("%A, %B %-d, %Y (%Z)."));
    Used { output: output.to_string(), account }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_where_the_business_is() {
        let now = "2026-11-24T00:11:00Z".parse().unwrap();
        let zone = chrono_tz::America::Los_Angeles;
        for (format, time) in [(Clock::Twelve, "4:11 PM"), (Clock::TwentyFour, "16:11")] {
            let used = told_time(now, zone, format);
            let told: serde_json::Value = serde_json::from_str(&used.output).unwrap();
            let expected =
                json!({"time": time, "day": "Monday", "date": "November 23, 2026", "time_zone": "PST"});
            assert_eq!(told, expected);
            let account = format!("Looked at the clock: {time} on Monday, November 23, 2026 (PST).");
            assert_eq!(used.account, account);
        }
    }

    #[test]
    fn both_tools_are_offered_with_closed_schemas() {
        let offered = offered();
        assert_eq!(offered.iter().map(|tool| tool.name).collect::<Vec<_>>(), [GET_CURRENT_TIME, REMEMBER]);
        for tool in offered {
            let schema: serde_json::Value = serde_json::from_str(tool.parameters.get()).unwrap();
            assert_eq!(schema["additionalProperties"], false, "{}", tool.name);
        }
    }
}
