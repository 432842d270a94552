//! How the business's agent speaks, and the changes of it.

use async_graphql::{Enum, InputObject, Object, SimpleObject};

use crate::tenants::agent;
use crate::tenants::persona;

/// How the business's agent speaks to callers.
pub(super) struct Agent(pub(super) agent::Agent);

/// How the business's agent speaks to callers.
#[Object]
impl Agent {
    /// What the agent calls itself.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The voice it speaks with, e.g. marin or cedar.
    async fn voice(&self) -> &str {
        &self.0.voice
    }

    /// The language it speaks and expects, as an ISO 639-1 code.
    async fn language(&self) -> &str {
        &self.0.language
    }

    /// Said to those who call for the first time. Placeholders: `{agent_name}`, `{user_name}`, `{time_greeting}`, `{business_name}`.
    async fn new_caller_greeting(&self) -> &str {
        &self.0.new_caller_greeting
    }

    /// Said to those who have called before; the same placeholders.
    async fn returning_caller_greeting(&self) -> &str {
        &self.0.returning_caller_greeting
    }

    /// The thirty sliders of its personality, in the order of the screen.
    async fn sliders(&self) -> Vec<Slider> {
        persona::Slider::ALL
            .into_iter()
            .map(|slider| Slider::of(slider, self.0.sliders.get(slider)))
            .collect()
    }

    /// The IANA time zone that greetings and the agent's clock follow.
    async fn time_zone(&self) -> &str {
        self.0.time_zone.name()
    }

    /// When the caller's turn counts as over.
    async fn vad(&self) -> TurnDetection {
        let vad = self.0.vad;
        TurnDetection {
            threshold: vad.threshold,
            prefix_padding_ms: vad.prefix_padding_ms,
            silence_duration_ms: vad.silence_duration_ms,
        }
    }

    /// To whom a caller may be put through.
    async fn transfer_rules(&self) -> Vec<TransferRule> {
        self.0.transfer_rules.iter().cloned().map(TransferRule::from).collect()
    }

    /// Said when all lines are taken; absent where a sentence of the platform is said.
    async fn busy_message(&self) -> Option<&str> {
        self.0.busy_message.as_deref()
    }

    /// Counts the changes.
    async fn revision(&self) -> i32 {
        self.0.revision
    }
}

/// One trait of the agent's personality.
#[derive(SimpleObject)]
pub(super) struct Slider {
    /// Its stable name.
    key: &'static str,
    /// Its name on the screen.
    label: &'static str,
    /// The part of the screen it stands in.
    group: SliderGroup,
    /// From 0, its opposite, to 100; 50 is neutral.
    value: i32,
    /// What the agent is told because of the value; absent when neutral.
    instruction: Option<String>,
}

impl Slider {
    fn of(slider: persona::Slider, value: u8) -> Self {
        Self {
            key: slider.key(),
            label: slider.label(),
            group: slider.group().into(),
            value: value.into(),
            instruction: persona::instruction(slider, value),
        }
    }
}

/// The parts of the screen that sliders stand in.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "persona::Group")]
pub(super) enum SliderGroup {
    /// The first impression.
    Core,
    /// How feelings are met.
    Emotional,
    /// How things are said.
    Communication,
    /// Who leads the conversation.
    Interaction,
    /// The fine tuning.
    Advanced,
}

/// When the caller's turn counts as over.
#[derive(SimpleObject, InputObject)]
#[graphql(input_name = "TurnDetectionInput")]
pub(super) struct TurnDetection {
    /// 0 to 1; higher needs louder speech.
    threshold: f64,
    /// Milliseconds of audio kept from before speech was detected.
    prefix_padding_ms: u32,
    /// Milliseconds of silence that end the caller's turn.
    silence_duration_ms: u32,
}

/// Who is reached by which word.
#[derive(SimpleObject, InputObject)]
#[graphql(input_name = "TransferRuleInput")]
pub(super) struct TransferRule {
    /// What the caller asks for.
    keyword: String,
    /// Where to, in E.164 form.
    number: String,
    /// Who or what that is.
    description: String,
}

impl From<agent::TransferRule> for TransferRule {
    fn from(rule: agent::TransferRule) -> Self {
        Self { keyword: rule.keyword, number: rule.number, description: rule.description }
    }
}

impl From<TransferRule> for agent::TransferRule {
    fn from(rule: TransferRule) -> Self {
        Self { keyword: rule.keyword, number: rule.number, description: rule.description }
    }
}

/// A slider and its new value.
#[derive(InputObject)]
pub(super) struct SliderInput {
    /// The stable name of the slider.
    key: String,
    /// From 0 to 100.
    value: i32,
}

/// What to change of the agent; what is left out stays as it is.
#[derive(InputObject)]
pub(super) struct UpdateAgentInput {
    /// What the agent calls itself.
    name: Option<String>,
    /// The voice it speaks with.
    voice: Option<String>,
    /// The language it speaks and expects, as an ISO 639-1 code. Greetings that nobody wrote follow it.
    language: Option<String>,
    /// Said to those who call for the first time.
    new_caller_greeting: Option<String>,
    /// Said to those who have called before.
    returning_caller_greeting: Option<String>,
    /// The sliders to move; the others stay.
    sliders: Option<Vec<SliderInput>>,
    /// The IANA time zone that greetings and the agent's clock follow.
    time_zone: Option<String>,
    /// When the caller's turn counts as over.
    vad: Option<TurnDetection>,
    /// The whole list of transfer rules.
    transfer_rules: Option<Vec<TransferRule>>,
    /// Said when all lines are taken, at most 300 characters; an empty one takes it back.
    busy_message: Option<String>,
}

impl From<UpdateAgentInput> for agent::AgentChange {
    fn from(input: UpdateAgentInput) -> Self {
        let moved = |slider: SliderInput| (slider.key, slider.value);
        Self {
            name: input.name,
            voice: input.voice,
            language: input.language,
            new_caller_greeting: input.new_caller_greeting,
            returning_caller_greeting: input.returning_caller_greeting,
            sliders: input.sliders.into_iter().flatten().map(moved).collect(),
            time_zone: input.time_zone,
            vad: input.vad.map(|vad| agent::Vad {
                threshold: vad.threshold,
                prefix_padding_ms: vad.prefix_padding_ms,
                silence_duration_ms: vad.silence_duration_ms,
            }),
            transfer_rules: input.transfer_rules.map(|rules| rules.into_iter().map(Into::into).collect()),
            busy_message: input.busy_message,
        }
    }
}
