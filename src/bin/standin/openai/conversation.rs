//! The items of a Realtime conversation: what was said, called and answered, in order. Pure.

use super::fields::Fields;
use super::refusal::Refusal;
use crate::speech::ulaw;
use serde_json::{Value, json};

/// More than a call of an hour leaves.
const ITEMS_MAX: usize = 10_000;

#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) status: &'static str,
    pub(super) body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    /// What the caller said: what the model understood, and the transcript once there is one.
    Heard {
        text: String,
        transcript: Option<String>,
    },
    /// A message that the client wrote.
    Written {
        role: &'static str,
        text: String,
    },
    /// What the model said; `None` once its transcript was truncated away.
    Spoken {
        text: Option<String>,
        audio_bytes: usize,
    },
    /// What the model wrote.
    Answered {
        text: String,
    },
    Call {
        call_id: String,
        name: String,
        arguments: String,
    },
    CallOutput {
        call_id: String,
        output: String,
    },
}

#[derive(Debug, Default)]
pub(super) struct Conversation {
    items: Vec<Item>,
}

impl Item {
    pub(super) fn to_json(&self) -> Value {
        let mut item = match &self.body {
            Body::Heard { transcript, .. } => {
                let content = json!([{ "type": "input_audio", "transcript": transcript }]);
                json!({ "type": "message", "role": "user", "content": content })
            }
            Body::Written { role, text } => {
                let kind = if *role == "assistant" { "output_text" } else { "input_text" };
                json!({ "type": "message", "role": role, "content": [{ "type": kind, "text": text }] })
            }
            Body::Spoken { text, .. } => {
                let content = text.as_ref().map(|text| json!({ "type": "output_audio", "transcript": text }));
                json!({ "type": "message", "role": "assistant", "content": content.into_iter().collect::<Vec<_>>() })
            }
            Body::Answered { text } => {
                json!({ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": text }] })
            }
            Body::Call { call_id, name, arguments } => {
                json!({ "type": "function_call", "call_id": call_id, "name": name, "arguments": arguments })
            }
            Body::CallOutput { call_id, output } => {
                json!({ "type": "function_call_output", "call_id": call_id, "output": output })
            }
        };
        if let Value::Object(fields) = &mut item {
            fields.insert("id".to_owned(), self.id.clone().into());
            fields.insert("object".to_owned(), "realtime.item".into());
            fields.insert("status".to_owned(), self.status.into());
        }
        item
    }

    /// Reads the item of a `conversation.item.create`; `fresh` names it when the client did not.
    pub(super) fn read(value: &Value, fresh: impl FnOnce() -> String) -> Result<Self, Refusal> {
        let fields = Fields::of("item", value)?;
        let kinds = ["message", "function_call", "function_call_output"];
        let kind = fields.required("type", fields.one_of("type", &kinds)?)?;
        let owned = |name: &str| fields.required(name, fields.text(name)?).map(str::to_owned);
        let body = match kind {
            "message" => read_message(&fields)?,
            "function_call" => Body::Call {
                call_id: owned("call_id")?,
                name: owned("name")?,
                arguments: owned("arguments")?,
            },
            _ => Body::CallOutput { call_id: owned("call_id")?, output: owned("output")? },
        };
        let id = fields.text("id")?.map_or_else(fresh, str::to_owned);
        fields.only(&[
            "id",
            "type",
            "object",
            "status",
            "role",
            "content",
            "call_id",
            "name",
            "arguments",
            "output",
        ])?;
        Ok(Self { id, status: "completed", body })
    }
}

fn read_message(fields: &Fields<'_>) -> Result<Body, Refusal> {
    let role = fields.required("role", fields.one_of("role", &["user", "assistant", "system"])?)?;
    let (role, kind) = match role {
        "user" => ("user", "input_text"),
        "assistant" => ("assistant", "output_text"),
        _ => ("system", "input_text"),
    };
    let mut text = String::new();
    for (index, part) in fields.required("content", fields.array("content")?)?.iter().enumerate() {
        let part = Fields::of(&format!("item.content[{index}]"), part)?.only(&["type", "text"])?;
        part.required("type", part.one_of("type", &[kind])?)?;
        text.push_str(part.required("text", part.text("text")?)?);
    }
    Ok(Body::Written { role, text })
}

impl Conversation {
    pub(super) fn last_id(&self) -> Option<&str> {
        self.items.last().map(|item| item.id.as_str())
    }

    pub(super) fn get(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Item> {
        self.items.iter_mut().rev().find(|item| item.id == id)
    }

    /// Adds an item after the named one (`root` is the start), or at the end; tells the id before it.
    pub(super) fn insert(&mut self, item: Item, after: Option<&str>) -> Result<Option<String>, Refusal> {
        if ITEMS_MAX <= self.items.len() {
            return Err(Refusal::invalid("conversation_too_long", "The conversation has too many items."));
        }
        if self.get(&item.id).is_some() {
            let message = format!("Error adding item: an item with id '{}' already exists.", item.id);
            return Err(Refusal::value("item.id", message));
        }
        let position = match after {
            None => self.items.len(),
            Some("root") => 0,
            Some(id) => self.position(id)? + 1,
        };
        let previous =
            position.checked_sub(1).and_then(|index| self.items.get(index)).map(|item| item.id.clone());
        self.items.insert(position, item);
        Ok(previous)
    }

    pub(super) fn remove(&mut self, id: &str) -> Result<(), Refusal> {
        let position = self.position(id)?;
        self.items.remove(position);
        Ok(())
    }

    /// Cuts what the model said to what was heard of it; its transcript goes with the rest.
    pub(super) fn truncate(&mut self, id: &str, content_index: u64, end_ms: u64) -> Result<(), Refusal> {
        let position = self.position(id)?;
        let Some(Item { body: Body::Spoken { text, audio_bytes }, .. }) = self.items.get_mut(position) else {
            let message = "Only model output audio messages can be truncated.";
            return Err(Refusal::value("item_id", message));
        };
        if content_index != 0 {
            return Err(Refusal::value(
                "content_index",
                format!("Item has no content part {content_index}."),
            ));
        }
        let have_ms = ulaw::milliseconds(*audio_bytes);
        if have_ms < end_ms {
            let message = format!("Audio content of {have_ms}ms is already shorter than {end_ms}ms");
            return Err(Refusal::value("audio_end_ms", message));
        }
        *audio_bytes = usize::try_from(end_ms).unwrap_or(usize::MAX).saturating_mul(ulaw::BYTES_PER_MS);
        *text = None;
        Ok(())
    }

    /// What the caller said, turn by turn, up to now.
    pub(super) fn heard(&self) -> Vec<String> {
        let turns = self.items.iter().filter_map(|item| match &item.body {
            Body::Heard { text, .. } | Body::Written { role: "user", text } => Some(text.clone()),
            Body::Written { .. }
            | Body::Spoken { .. }
            | Body::Answered { .. }
            | Body::Call { .. }
            | Body::CallOutput { .. } => None,
        });
        turns.collect()
    }

    /// The tool answers since the caller, or the model, last spoke.
    pub(super) fn fresh_tool_outputs(&self) -> Vec<String> {
        let mut outputs: Vec<String> = Vec::new();
        for item in self.items.iter().rev() {
            match &item.body {
                Body::CallOutput { output, .. } => outputs.push(output.clone()),
                Body::Call { .. } => {}
                Body::Heard { .. } | Body::Written { .. } | Body::Spoken { .. } | Body::Answered { .. } => {
                    break;
                }
            }
        }
        outputs.reverse();
        outputs
    }

    /// Everything said so far, in characters: what the next response is billed for.
    pub(super) fn characters(&self) -> usize {
        let of = |item: &Item| match &item.body {
            Body::Heard { text, .. } | Body::Written { text, .. } | Body::Answered { text } => text.len(),
            Body::Spoken { text, .. } => text.as_ref().map_or(0, String::len),
            Body::Call { arguments, .. } => arguments.len(),
            Body::CallOutput { output, .. } => output.len(),
        };
        self.items.iter().map(of).sum()
    }

    fn position(&self, id: &str) -> Result<usize, Refusal> {
        let message = || format!("Item with id '{id}' not found.");
        let refusal =
            || Refusal { code: Some("item_not_found".to_owned()), ..Refusal::value("item_id", message()) };
        self.items.iter().position(|item| item.id == id).ok_or_else(refusal)
    }
}
