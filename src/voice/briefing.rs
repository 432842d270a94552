//! From what the slices know of a call to its plan. Pure; must never know where that comes from.

use chrono::{DateTime, Utc};

use super::plan::{Limits, Plan};
use super::prompt::{Acquaintance, Background, Greeting, Instructions};
use super::tools;
use crate::calls::CallerContext;
use crate::providers::openai::realtime::client::{SessionSettings, Transcription, VoiceActivity};
use crate::providers::twilio::CallSid;
use crate::sentences::Language;

/// The longest answer, in tokens: about a minute of speech.
const OUTPUT_TOKENS_MAX: u32 = 1_500;
/// Which share of an outgrown conversation is kept.
const RETENTION_RATIO: f64 = 0.8;

/// The plan of a call that begins at `at`.
pub(super) fn plan(
    call_sid: CallSid,
    context: &CallerContext,
    at: DateTime<Utc>,
    transcriber: &str,
    limits: Limits,
) -> Plan {
    let agent = &context.agent;
    let tools = tools::offered();
    let known = context.known.as_ref();
    let name = known.and_then(|known| known.name.as_deref());
    let persona = agent.sliders.instructions().join("\n");
    let caller = Background {
        name,
        quick_bio: known.map(|known| known.quick_bio.as_str()).filter(|bio| !bio.is_empty()),
        facts: known.map(|known| known.facts.as_slice()).unwrap_or_default(),
        summaries: known.map(|known| known.summaries.as_slice()).unwrap_or_default(),
    };
    let instructions = Instructions {
        agent_name: &agent.name,
        business_name: &context.business_name,
        persona: &persona,
        language: language_name(&agent.language),
        tools: &tools,
        caller,
        at,
        zone: agent.time_zone,
    };
    let greeting = Greeting {
        new_caller_template: &agent.new_caller_greeting,
        returning_caller_template: &agent.returning_caller_greeting,
        agent_name: &agent.name,
        business_name: &context.business_name,
        language: Language::of(&agent.language),
        caller: match known {
            Some(known) if 0 < known.calls_count => Acquaintance::Returning(name),
            Some(_) | None => Acquaintance::New,
        },
        at,
        zone: agent.time_zone,
    };
    Plan {
        call_sid,
        greeting: greeting.render(),
        session: SessionSettings {
            instructions: instructions.render(),
            voice: agent.voice.clone(),
            voice_activity: VoiceActivity {
                threshold: agent.vad.threshold,
                prefix_padding_ms: agent.vad.prefix_padding_ms,
                silence_duration_ms: agent.vad.silence_duration_ms,
            },
            transcription: Transcription { model: transcriber.to_owned(), language: agent.language.clone() },
            tools,
            output_tokens_max: OUTPUT_TOKENS_MAX,
            retention_ratio: RETENTION_RATIO,
        },
        language: Language::of(&agent.language),
        limits,
    }
}

fn language_name(code: &str) -> &str {
    match code {
        "en" => "English",
        "es" => "Spanish",
        "de" => "German",
        "fr" => "French",
        "it" => "Italian",
        "pt" => "Portuguese",
        "zh" => "Chinese",
        "ko" => "Korean",
        "vi" => "Vietnamese",
        "tl" => "Tagalog",
        other => other,
    }
}
