//! The settings of a Realtime session: what `session.update` may change, checked as strictly as the real server
//! checks it, and how they are told back. Knows nothing of sockets or conversations.

use super::fields::{Clearable, Fields};
use super::refusal::Refusal;
use serde_json::{Value, json};

const VOICES: [&str; 10] =
    ["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"];
const SESSION: [&str; 15] = [
    "type",
    "model",
    "instructions",
    "output_modalities",
    "audio",
    "tools",
    "tool_choice",
    "max_output_tokens",
    "truncation",
    "include",
    "tracing",
    "prompt",
    "reasoning",
    "parallel_tool_calls",
    "id",
];
const TRANSCRIBERS: [&str; 7] = [
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-transcribe-diarize",
    "gpt-transcribe",
    "gpt-live-transcribe",
    "gpt-realtime-whisper",
];
const INSTRUCTIONS_CHARACTERS_MAX: usize = 200_000;
const TOOLS_MAX: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Format {
    Pcmu,
    Pcm,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Modality {
    Audio,
    Text,
}

#[derive(Clone, Debug)]
pub(super) struct TurnDetection {
    pub(super) semantic: Option<String>,
    pub(super) threshold: f64,
    pub(super) prefix_ms: u64,
    pub(super) silence_ms: u64,
    pub(super) idle_ms: Option<u64>,
    pub(super) create_response: bool,
    pub(super) interrupt_response: bool,
}

impl Default for TurnDetection {
    fn default() -> Self {
        Self {
            semantic: None,
            threshold: 0.5,
            prefix_ms: 300,
            silence_ms: 200,
            idle_ms: None,
            create_response: true,
            interrupt_response: true,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) model: String,
    pub(super) instructions: String,
    pub(super) modality: Modality,
    pub(super) input: Format,
    pub(super) output: Format,
    pub(super) transcription: Option<Value>,
    pub(super) noise_reduction: Value,
    pub(super) turn_detection: Option<TurnDetection>,
    pub(super) voice: String,
    speed: f64,
    pub(super) tools: Vec<Value>,
    pub(super) tool_choice: Value,
    max_output_tokens: Value,
    truncation: Value,
}

impl Settings {
    pub(super) fn new(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            instructions: "Your knowledge cutoff is 2023-10. You are a helpful, witty, and friendly AI."
                .to_owned(),
            modality: Modality::Audio,
            input: Format::Pcm,
            output: Format::Pcm,
            transcription: None,
            noise_reduction: Value::Null,
            turn_detection: Some(TurnDetection::default()),
            voice: "marin".to_owned(),
            speed: 1.0,
            tools: Vec::new(),
            tool_choice: json!("auto"),
            max_output_tokens: json!("inf"),
            truncation: json!("auto"),
        }
    }

    /// The settings after a `session.update`. `voice_is_fixed` once the model has spoken.
    pub(super) fn updated(&self, session: &Value, voice_is_fixed: bool) -> Result<Self, Refusal> {
        let fields = Fields::of("session", session)?;
        fields.required("type", fields.one_of("type", &["realtime", "transcription"])?)?;
        let fields = fields.only(&SESSION)?;
        let mut new = self.clone();
        if let Some(model) = fields.text("model")?
            && model != self.model
        {
            return Err(Refusal::value("session.model", "Cannot update a conversation's model."));
        }
        new.apply_common(&fields)?;
        if let Some(audio) = fields.object("audio")? {
            let audio = audio.only(&["input", "output"])?;
            if let Some(input) = audio.object("input")? {
                new.apply_input(&input.only(&[
                    "format",
                    "transcription",
                    "noise_reduction",
                    "turn_detection",
                ])?)?;
            }
            if let Some(output) = audio.object("output")? {
                new.apply_output(&output.only(&["format", "voice", "speed"])?)?;
            }
        }
        if voice_is_fixed && new.voice != self.voice {
            let message = "Cannot update a conversation's voice if assistant audio is present.";
            return Err(Refusal {
                code: Some("cannot_update_voice".to_owned()),
                ..Refusal::value("session.audio.output.voice", message)
            });
        }
        Ok(new)
    }

    /// The settings of one response: its own fields replace the session's.
    pub(super) fn for_response(&self, response: &Value) -> Result<Self, Refusal> {
        let fields = Fields::of("response", response)?.only(&[
            "instructions",
            "tools",
            "tool_choice",
            "output_modalities",
            "audio",
            "max_output_tokens",
            "metadata",
            "conversation",
            "input",
            "prompt",
            "reasoning",
            "parallel_tool_calls",
        ])?;
        let mut new = self.clone();
        new.apply_common(&fields)?;
        if let Some(audio) = fields.object("audio")?
            && let Some(output) = audio.only(&["output"])?.object("output")?
        {
            new.apply_output(&output.only(&["format", "voice"])?)?;
        }
        Ok(new)
    }

    fn apply_common(&mut self, fields: &Fields<'_>) -> Result<(), Refusal> {
        if let Some(text) = fields.text("instructions")? {
            if INSTRUCTIONS_CHARACTERS_MAX < text.len() {
                let at = fields.at("instructions");
                return Err(Refusal::value(&at, format!("Invalid '{at}': string too long.")));
            }
            text.clone_into(&mut self.instructions);
        }
        if let Some(modalities) = fields.array("output_modalities")? {
            self.modality = modality(&fields.at("output_modalities"), modalities)?;
        }
        if let Some(tools) = fields.array("tools")? {
            self.tools = checked_tools(&fields.at("tools"), tools)?;
        }
        if let Some(choice) = fields.get("tool_choice") {
            if !choice.is_object() {
                fields.one_of("tool_choice", &["none", "auto", "required"])?;
            }
            self.tool_choice = choice.clone();
        }
        if let Some(limit) = fields.get("max_output_tokens") {
            if limit != "inf" {
                fields.integer("max_output_tokens", 1..=4_096)?;
            }
            self.max_output_tokens = limit.clone();
        }
        if let Some(truncation) = fields.get("truncation") {
            self.truncation = truncation.clone();
        }
        Ok(())
    }

    fn apply_input(&mut self, input: &Fields<'_>) -> Result<(), Refusal> {
        if let Some(format) = input.object("format")? {
            self.input = read_format(&format)?;
        }
        match input.clearable("transcription")? {
            Clearable::Unchanged => {}
            Clearable::Cleared => self.transcription = None,
            Clearable::Set(fields) => {
                let fields =
                    fields.only(&["model", "language", "prompt", "delay", "languages", "keywords"])?;
                fields.one_of("model", &TRANSCRIBERS)?;
                fields.text("language")?;
                fields.text("prompt")?;
                self.transcription = input.get("transcription").cloned();
            }
        }
        match input.clearable("noise_reduction")? {
            Clearable::Unchanged => {}
            Clearable::Cleared => self.noise_reduction = Value::Null,
            Clearable::Set(fields) => {
                fields.only(&["type", "strength"])?.one_of("type", &["near_field", "far_field"])?;
                self.noise_reduction = input.get("noise_reduction").cloned().unwrap_or_default();
            }
        }
        match input.clearable("turn_detection")? {
            Clearable::Unchanged => {}
            Clearable::Cleared => self.turn_detection = None,
            Clearable::Set(fields) => self.turn_detection = Some(read_turn_detection(fields)?),
        }
        Ok(())
    }

    fn apply_output(&mut self, output: &Fields<'_>) -> Result<(), Refusal> {
        if let Some(format) = output.object("format")? {
            self.output = read_format(&format)?;
        }
        if let Some(voice) = output.one_of("voice", &VOICES)? {
            voice.clone_into(&mut self.voice);
        }
        if let Some(speed) = output.number("speed", 0.25..=1.5)? {
            self.speed = speed;
        }
        Ok(())
    }

    /// The names of the tools that the model may call now.
    pub(super) fn offered(&self) -> Vec<&str> {
        if self.tool_choice == "none" {
            return Vec::new();
        }
        self.tools.iter().filter_map(|tool| tool.get("name")?.as_str()).collect()
    }

    pub(super) fn modalities(&self) -> Value {
        match self.modality {
            Modality::Audio => json!(["audio"]),
            Modality::Text => json!(["text"]),
        }
    }

    pub(super) fn audio_output(&self) -> Value {
        json!({ "format": self.output.to_json(), "voice": self.voice })
    }

    /// The session as `session.created` and `session.updated` tell it.
    pub(super) fn to_json(&self, id: &str, expires_at: u64) -> Value {
        let turn_detection = self.turn_detection.as_ref().map(TurnDetection::to_json);
        json!({
            "type": "realtime", "object": "realtime.session", "id": id, "expires_at": expires_at,
            "model": self.model, "output_modalities": self.modalities(), "instructions": self.instructions,
            "tools": self.tools, "tool_choice": self.tool_choice, "max_output_tokens": self.max_output_tokens,
            "truncation": self.truncation, "tracing": null, "prompt": null, "include": null,
            "audio": {
                "input": {
                    "format": self.input.to_json(), "transcription": self.transcription,
                    "noise_reduction": self.noise_reduction, "turn_detection": turn_detection,
                },
                "output": { "format": self.output.to_json(), "voice": self.voice, "speed": self.speed },
            },
        })
    }
}

impl Format {
    fn to_json(self) -> Value {
        match self {
            Format::Pcmu => json!({ "type": "audio/pcmu" }),
            Format::Pcm => json!({ "type": "audio/pcm", "rate": 24_000 }),
        }
    }
}

impl TurnDetection {
    fn to_json(&self) -> Value {
        if let Some(eagerness) = &self.semantic {
            return json!({
                "type": "semantic_vad", "eagerness": eagerness, "create_response": self.create_response,
                "interrupt_response": self.interrupt_response,
            });
        }
        json!({
            "type": "server_vad", "threshold": self.threshold, "prefix_padding_ms": self.prefix_ms,
            "silence_duration_ms": self.silence_ms, "idle_timeout_ms": self.idle_ms,
            "create_response": self.create_response, "interrupt_response": self.interrupt_response,
        })
    }
}

fn read_format(format: &Fields<'_>) -> Result<Format, Refusal> {
    let kind = format.required("type", format.one_of("type", &["audio/pcmu", "audio/pcma", "audio/pcm"])?)?;
    match (kind, format.get("rate")) {
        ("audio/pcm", Some(rate)) if rate != 24_000 => {
            let at = format.at("rate");
            Err(Refusal::value(&at, format!("Invalid value: '{rate}'. Supported values are: 24000.")))
        }
        ("audio/pcm", _) => Ok(Format::Pcm),
        (_, Some(_)) => Err(Refusal::unknown(&format.at("rate"))),
        ("audio/pcmu", None) => Ok(Format::Pcmu),
        (other, None) => {
            Err(Refusal::value(&format.at("type"), format!("The stand-in has no codec for '{other}'.")))
        }
    }
}

fn read_turn_detection(fields: Fields<'_>) -> Result<TurnDetection, Refusal> {
    let kind = fields.required("type", fields.one_of("type", &["server_vad", "semantic_vad"])?)?;
    let mut rule = TurnDetection::default();
    let fields = if kind == "server_vad" {
        fields.only(&[
            "type",
            "threshold",
            "prefix_padding_ms",
            "silence_duration_ms",
            "idle_timeout_ms",
            "create_response",
            "interrupt_response",
        ])?
    } else {
        fields.only(&["type", "eagerness", "create_response", "interrupt_response"])?
    };
    if kind == "semantic_vad" {
        let eagerness = fields.one_of("eagerness", &["low", "medium", "high", "auto"])?.unwrap_or("auto");
        rule.silence_ms = match eagerness {
            "low" => 1_600,
            "high" => 400,
            _ => 800,
        };
        rule.semantic = Some(eagerness.to_owned());
    }
    rule.threshold = fields.number("threshold", 0.0..=1.0)?.unwrap_or(rule.threshold);
    rule.prefix_ms = fields.integer("prefix_padding_ms", 0..=5_000)?.unwrap_or(rule.prefix_ms);
    rule.silence_ms = fields.integer("silence_duration_ms", 0..=10_000)?.unwrap_or(rule.silence_ms);
    if fields.get("idle_timeout_ms") != Some(&Value::Null) {
        rule.idle_ms = fields.integer("idle_timeout_ms", 5_000..=30_000)?;
    }
    rule.create_response = fields.boolean("create_response")?.unwrap_or(true);
    rule.interrupt_response = fields.boolean("interrupt_response")?.unwrap_or(true);
    Ok(rule)
}

fn modality(at: &str, modalities: &[Value]) -> Result<Modality, Refusal> {
    match modalities {
        [one] if one == "audio" => Ok(Modality::Audio),
        [one] if one == "text" => Ok(Modality::Text),
        _ => {
            let got = Value::from(modalities.to_vec());
            let message =
                format!("Invalid modalities: {got}. Supported combinations are: ['text'] and ['audio'].");
            Err(Refusal::value(at, message))
        }
    }
}

fn checked_tools(at: &str, tools: &[Value]) -> Result<Vec<Value>, Refusal> {
    if TOOLS_MAX < tools.len() {
        return Err(Refusal::value(at, format!("Invalid '{at}': array too long.")));
    }
    for (index, tool) in tools.iter().enumerate() {
        let fields = Fields::of(&format!("{at}[{index}]"), tool)?;
        if fields.required("type", fields.one_of("type", &["function", "mcp"])?)? == "function" {
            let fields = fields.only(&["type", "name", "description", "parameters"])?;
            fields.required("name", fields.text("name")?)?;
            fields.object("parameters")?;
        }
    }
    Ok(tools.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "so that each row is one literal")]
    fn check(session: Value, expected: Result<&str, &str>) {
        let result = Settings::new("gpt-realtime-2.1").updated(&session, false);
        match (result, expected) {
            (Ok(settings), Ok(pointer)) => {
                let told = settings.to_json("sess_1", 0);
                assert_eq!(told.pointer(pointer), session.pointer(pointer), "{session}");
            }
            (Err(refusal), Err(param)) => assert_eq!(refusal.param.as_deref(), Some(param), "{session}"),
            (result, expected) => panic!("{session}: {result:?}, not {expected:?}"),
        }
    }

    fn input(value: &Value) -> Value {
        json!({ "type": "realtime", "audio": { "input": value } })
    }

    #[test]
    fn updates() {
        check(json!({ "type": "realtime", "instructions": "" }), Ok("/instructions"));
        check(json!({ "type": "realtime", "tools": [] }), Ok("/tools"));
        check(input(&json!({ "turn_detection": null })), Ok("/audio/input/turn_detection"));
        check(input(&json!({ "format": { "type": "audio/pcmu" } })), Ok("/audio/input/format"));
        check(json!({ "instructions": "" }), Err("session.type"));
        check(json!({ "type": "realtime", "temperature": 0.8 }), Err("session.temperature"));
        check(json!({ "type": "realtime", "model": "gpt-live-1" }), Err("session.model"));
        check(
            json!({ "type": "realtime", "output_modalities": ["text", "audio"] }),
            Err("session.output_modalities"),
        );
        check(json!({ "type": "realtime", "instructions": 1 }), Err("session.instructions"));
        check(json!({ "type": "realtime", "tools": [{ "type": "function" }] }), Err("session.tools[0].name"));
        let rated = json!({ "format": { "type": "audio/pcmu", "rate": 8_000 } });
        check(input(&rated), Err("session.audio.input.format.rate"));
        let detection = |field: &str, value: Value| {
            let mut detection = json!({ "type": "server_vad" });
            detection[field] = value;
            input(&json!({ "turn_detection": detection }))
        };
        check(
            detection("idle_timeout_ms", json!(1_000)),
            Err("session.audio.input.turn_detection.idle_timeout_ms"),
        );
        check(detection("eagerness", json!("low")), Err("session.audio.input.turn_detection.eagerness"));
        check(detection("threshold", json!(2.0)), Err("session.audio.input.turn_detection.threshold"));
        check(
            detection("silence_duration_ms", json!(1.5)),
            Err("session.audio.input.turn_detection.silence_duration_ms"),
        );
        let nova = json!({ "type": "realtime", "audio": { "output": { "voice": "nova" } } });
        check(nova, Err("session.audio.output.voice"));
    }

    #[test]
    fn the_voice_is_fixed_once_the_model_has_spoken() {
        let settings = Settings::new("gpt-realtime-2.1");
        let cedar = json!({ "type": "realtime", "audio": { "output": { "voice": "cedar" } } });
        assert!(settings.updated(&cedar, false).is_ok());
        let refusal = settings.updated(&cedar, true).err().unwrap();
        assert_eq!(refusal.code.as_deref(), Some("cannot_update_voice"));
    }
}
