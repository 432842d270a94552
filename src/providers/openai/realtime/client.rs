//! The events that we send, each finished text.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::providers::pcmu::Pcmu;

/// Everything a session is told about itself; sent once, before anything else.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// Who the agent is and what it must do.
    pub instructions: String,
    /// With which voice it speaks; fixed after the first audio.
    pub voice: String,
    /// When the caller counts as speaking.
    pub voice_activity: VoiceActivity,
    /// What puts the caller's words in writing.
    pub transcription: Transcription,
    /// What the agent may ask us to do.
    pub tools: Vec<Tool>,
    /// How long one answer may be.
    pub output_tokens_max: u32,
    /// Which share of the conversation is kept when it outgrows the model's window; below 1 so that the rest stays
    /// cached for a while.
    pub retention_ratio: f64,
}

/// When the caller counts as speaking.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct VoiceActivity {
    /// How sure the detector must be, from 0 to 1.
    pub threshold: f64,
    /// How much audio before the detected start belongs to it.
    pub prefix_padding_ms: u32,
    /// How much silence ends it.
    pub silence_duration_ms: u32,
}

/// What puts the caller's words in writing.
#[derive(Debug, Clone, Serialize)]
pub struct Transcription {
    /// The model.
    pub model: String,
    /// The language, as ISO 639-1; pinned, as noise is otherwise heard as any language.
    pub language: String,
}

/// What the agent may ask us to do.
#[derive(Debug, Clone, Serialize)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// When to use it.
    pub description: &'static str,
    /// JSON Schema of its arguments.
    pub parameters: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Event<'a> {
    #[serde(rename = "session.update")]
    SessionUpdate { event_id: &'a str, session: Session<'a> },
    #[serde(rename = "session.update")]
    InitiativeUpdate { event_id: &'a str, session: SessionChange },
    #[serde(rename = "response.create")]
    ResponseCreate { event_id: &'a str, response: Response<'a> },
    #[serde(rename = "response.cancel")]
    ResponseCancel { response_id: &'a str },
    #[serde(rename = "conversation.item.create")]
    ItemCreate { item: Item<'a> },
    #[serde(rename = "conversation.item.truncate")]
    ItemTruncate { item_id: &'a str, content_index: u32, audio_end_ms: u64 },
    #[serde(rename = "conversation.item.delete")]
    ItemDelete { item_id: &'a str },
}

#[derive(Serialize)]
struct Session<'a> {
    r#type: &'static str,
    output_modalities: [&'static str; 1],
    instructions: &'a str,
    audio: Audio<'a>,
    tools: Vec<TypedTool<'a>>,
    tool_choice: &'static str,
    max_output_tokens: u32,
    truncation: Truncation,
}

/// What is left out of an update stays as it is, within `audio` too.
#[derive(Serialize)]
struct SessionChange {
    r#type: &'static str,
    audio: AudioChange,
}

#[derive(Serialize)]
struct AudioChange {
    input: InputChange,
}

#[derive(Serialize)]
struct InputChange {
    turn_detection: TurnDetection,
}

#[derive(Serialize)]
struct Audio<'a> {
    input: AudioInput<'a>,
    output: AudioOutput<'a>,
}

#[derive(Serialize)]
struct AudioInput<'a> {
    format: Format,
    transcription: &'a Transcription,
    noise_reduction: NoiseReduction,
    turn_detection: TurnDetection,
}

#[derive(Serialize)]
struct AudioOutput<'a> {
    format: Format,
    voice: &'a str,
}

/// `audio/pcmu` takes no `rate` here; the server refuses one.
#[derive(Serialize)]
struct Format {
    r#type: &'static str,
}

const PCMU: Format = Format { r#type: "audio/pcmu" };

#[derive(Serialize)]
struct NoiseReduction {
    r#type: &'static str,
}

#[derive(Serialize)]
struct TurnDetection {
    r#type: &'static str,
    #[serde(flatten)]
    activity: VoiceActivity,
    create_response: bool,
    interrupt_response: bool,
}

/// What the model does of its own accord when the caller speaks. It listens and writes down in any case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Initiative {
    /// Nothing.
    Withheld,
    /// It falls silent when the caller begins, and answers when they have finished.
    Granted,
}

impl TurnDetection {
    fn new(activity: VoiceActivity, initiative: Initiative) -> Self {
        let granted = initiative == Initiative::Granted;
        Self { r#type: "server_vad", activity, create_response: granted, interrupt_response: granted }
    }
}

#[derive(Serialize)]
struct TypedTool<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    tool: &'a Tool,
}

#[derive(Serialize)]
struct Truncation {
    r#type: &'static str,
    retention_ratio: f64,
}

#[derive(Serialize)]
struct Response<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item<'a> {
    Message { role: &'static str, content: [Content<'a>; 1] },
    FunctionCallOutput { call_id: &'a str, output: &'a str },
}

#[derive(Serialize)]
struct Content<'a> {
    r#type: &'static str,
    text: &'a str,
}

/// `session.update` with everything. The model listens, but neither falls silent nor answers of its own accord.
pub fn session_update(event_id: &str, settings: &SessionSettings) -> String {
    let tools = settings.tools.iter().map(|tool| TypedTool { r#type: "function", tool }).collect();
    let input = AudioInput {
        format: PCMU,
        transcription: &settings.transcription,
        noise_reduction: NoiseReduction { r#type: "far_field" },
        turn_detection: TurnDetection::new(settings.voice_activity, Initiative::Withheld),
    };
    write(&Event::SessionUpdate {
        event_id,
        session: Session {
            r#type: "realtime",
            output_modalities: ["audio"],
            instructions: &settings.instructions,
            audio: Audio { input, output: AudioOutput { format: PCMU, voice: &settings.voice } },
            tools,
            tool_choice: "auto",
            max_output_tokens: settings.output_tokens_max,
            truncation: Truncation { r#type: "retention_ratio", retention_ratio: settings.retention_ratio },
        },
    })
}

/// `session.update` after which the model falls silent when the caller speaks, and answers when they have finished.
pub fn grant_initiative(event_id: &str, activity: VoiceActivity) -> String {
    let input = InputChange { turn_detection: TurnDetection::new(activity, Initiative::Granted) };
    let session = SessionChange { r#type: "realtime", audio: AudioChange { input } };
    write(&Event::InitiativeUpdate { event_id, session })
}

/// `response.create` by the session's own instructions.
pub fn answer(event_id: &str) -> String {
    write(&Event::ResponseCreate { event_id, response: Response { instructions: None, tool_choice: None } })
}

/// `response.create` by instructions that replace the session's, without tools.
pub fn answer_as_told(event_id: &str, instructions: &str) -> String {
    let response = Response { instructions: Some(instructions), tool_choice: Some("none") };
    write(&Event::ResponseCreate { event_id, response })
}

/// `response.cancel`.
pub fn cancel(response_id: &str) -> String {
    write(&Event::ResponseCancel { response_id })
}

/// `conversation.item.create` of something written in the caller's name.
pub fn caller_text(text: &str) -> String {
    let content = [Content { r#type: "input_text", text }];
    write(&Event::ItemCreate { item: Item::Message { role: "user", content } })
}

/// `conversation.item.create` of a tool's result.
pub fn tool_output(call_id: &str, output: &str) -> String {
    write(&Event::ItemCreate { item: Item::FunctionCallOutput { call_id, output } })
}

/// `conversation.item.truncate`: the model forgets what was not heard.
pub fn truncate(item_id: &str, content_index: u32, audio_end_ms: u64) -> String {
    write(&Event::ItemTruncate { item_id, content_index, audio_end_ms })
}

/// `conversation.item.delete`: the model forgets an item of which nothing was heard.
pub fn delete(item_id: &str) -> String {
    write(&Event::ItemDelete { item_id })
}

/// `input_audio_buffer.append`; the audio goes as it came.
pub fn append(audio: &Pcmu<'_>) -> String {
    const BEFORE: &str = "{\"type\":\"input_audio_buffer.append\",\"audio\":\"";
    let mut event = String::with_capacity(BEFORE.len() + audio.base64().len() + 2);
    event.push_str(BEFORE);
    event.push_str(audio.base64());
    event.push_str("\"}");
    event
}

/// `input_audio_buffer.commit`: what was said so far becomes an item, although nobody paused.
pub fn commit() -> String {
    "{\"type\":\"input_audio_buffer.commit\"}".to_owned()
}

/// `input_audio_buffer.clear`: what was said so far is forgotten.
pub fn clear_input() -> String {
    "{\"type\":\"input_audio_buffer.clear\"}".to_owned()
}

fn write(event: &Event<'_>) -> String {
    // Text keys, finite numbers and checked JSON cannot fail to be written.
    serde_json::to_string(event).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[expect(clippy::needless_pass_by_value, reason = "a table reads better without references")]
    fn check(event: &str, expected: Value) {
        assert_eq!(serde_json::from_str::<Value>(event).unwrap(), expected);
    }

    #[test]
    fn the_session_is_set_up_for_unchanged_telephone_audio() {
        let parameters = RawValue::from_string(r#"{"type":"object"}"#.to_owned()).unwrap();
        let settings = SessionSettings {
            instructions: "Be \"kind\".".to_owned(),
            voice: "marin".to_owned(),
            voice_activity: VoiceActivity {
                threshold: 0.5,
                prefix_padding_ms: 300,
                silence_duration_ms: 500,
            },
            transcription: Transcription { model: "t".to_owned(), language: "en".to_owned() },
            tools: vec![Tool { name: "n", description: "d", parameters }],
            output_tokens_max: 1024,
            retention_ratio: 0.75,
        };
        let expected = json!({"type":"session.update","event_id":"e1","session":{
            "type":"realtime","output_modalities":["audio"],"instructions":"Be \"kind\".",
            "audio":{
                "input":{"format":{"type":"audio/pcmu"},"transcription":{"model":"t","language":"en"},
                    "noise_reduction":{"type":"far_field"},
                    "turn_detection":{"type":"server_vad","threshold":0.5,"prefix_padding_ms":300,
                        "silence_duration_ms":500,"create_response":false,"interrupt_response":false}},
                "output":{"format":{"type":"audio/pcmu"},"voice":"marin"}},
            "tools":[{"type":"function","name":"n","description":"d","parameters":{"type":"object"}}],
            "tool_choice":"auto","max_output_tokens":1024,
            "truncation":{"type":"retention_ratio","retention_ratio":0.75}}});
        check(&session_update("e1", &settings), expected);
    }

    #[test]
    fn events_are_exact() {
        let activity = VoiceActivity { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500 };
        check(
            &grant_initiative("e", activity),
            json!({"type":"session.update","event_id":"e","session":{"type":"realtime","audio":{"input":{
                "turn_detection":{"type":"server_vad","threshold":0.5,"prefix_padding_ms":300,
                    "silence_duration_ms":500,"create_response":true,"interrupt_response":true}}}}}),
        );
        check(&answer("e"), json!({"type":"response.create","event_id":"e","response":{}}));
        check(
            &answer_as_told("e", "x"),
            json!({"type":"response.create","event_id":"e","response":{"instructions":"x","tool_choice":"none"}}),
        );
        check(&cancel("r"), json!({"type":"response.cancel","response_id":"r"}));
        check(
            &caller_text("x"),
            json!({"type":"conversation.item.create","item":{"type":"message","role":"user",
                "content":[{"type":"input_text","text":"x"}]}}),
        );
        check(
            &tool_output("c", "{\"a\":1}"),
            json!({"type":"conversation.item.create","item":{"type":"function_call_output","call_id":"c","output":"{\"a\":1}"}}),
        );
        check(
            &truncate("i", 0, 120),
            json!({"type":"conversation.item.truncate","item_id":"i","content_index":0,"audio_end_ms":120}),
        );
        check(&delete("i"), json!({"type":"conversation.item.delete","item_id":"i"}));
        check(&append(&Pcmu::silence(3)), json!({"type":"input_audio_buffer.append","audio":"////"}));
        check(&commit(), json!({"type":"input_audio_buffer.commit"}));
        check(&clear_input(), json!({"type":"input_audio_buffer.clear"}));
    }

    #[test]
    fn appending_audio_costs_one_allocation() {
        let event = append(&Pcmu::silence(160));
        assert_eq!(event.len(), event.capacity());
    }
}
