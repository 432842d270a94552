//! The thirty sliders of an agent's personality, and the published rule that turns them into words for the model.
//! Pure. Must never know where the values are kept or which model reads the words.
//!
//! The rule: 50 says nothing; above it one instruction, its strength *moderately* (51–64), *quite* (65–79) or *very*
//! (80–100); 30–49 a mild opposite; below 30 the strong opposite. One exception: no value of `selfReference` makes
//! the agent deny that it is an AI, since a caller who asks is owed the truth.

use crate::error::Violation;
use serde_json::{Map, Value};

/// How many sliders there are.
pub const COUNT: usize = 30;

const NEUTRAL: u8 = 50;
const VALUE_MAX: u8 = 100;
const MILD_MIN: u8 = 30;
const QUITE_MIN: u8 = 65;
const VERY_MIN: u8 = 80;

/// Where a slider stands on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
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

impl Group {
    /// The heading on the screen.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Core => "Core",
            Self::Emotional => "Emotional",
            Self::Communication => "Communication",
            Self::Interaction => "Interaction",
            Self::Advanced => "Advanced",
        }
    }
}

/// What is said for a slider; `{}` in `high` is the place of the strength.
struct Words {
    high: &'static str,
    mild_low: &'static str,
    strong_low: &'static str,
}

macro_rules! sliders {
    ($($slider:ident $key:literal $label:literal $group:ident { $high:literal $mild:literal $strong:literal })*) => {
        /// One trait of the agent's personality, from 0 (its opposite) to 100.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is documented by its label and by the words it turns into")]
        pub enum Slider { $($slider),* }

        impl Slider {
            /// Every slider in the order of the screen, which is also the order of the instructions.
            pub const ALL: [Self; COUNT] = [$(Self::$slider),*];

            /// The name in JSON.
            pub const fn key(self) -> &'static str {
                match self { $(Self::$slider => $key),* }
            }

            /// The name on the screen.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$slider => $label),* }
            }

            /// The part of the screen it stands in.
            pub const fn group(self) -> Group {
                match self { $(Self::$slider => Group::$group),* }
            }

            const fn words(self) -> Words {
                match self {
                    $(Self::$slider => Words { high: $high, mild_low: $mild, strong_low: $strong }),*
                }
            }
        }
    };
}

sliders! {
    Warmth "warmth" "Warmth/Friendliness" Core {
        "Be {} warm and friendly with the caller."
        "Be courteous but a little reserved rather than warm."
        "Stay neutral and professional, without personal warmth."
    }
    Formality "formality" "Formality/Politeness" Core {
        "Be {} formal and polite in how you speak."
        "Speak in a somewhat casual way."
        "Speak very casually, as you would among friends."
    }
    Humor "humor" "Humor/Wit" Core {
        "Be {} playful, with light humor where it fits."
        "Keep humor to a rare light remark."
        "Use no humor at all and keep every answer serious."
    }
    Directness "directness" "Directness/Brevity" Core {
        "Be {} direct and concise."
        "Take a little time to explain before you come to the point."
        "Give elaborate, thorough answers instead of brief ones."
    }
    Empathy "empathy" "Empathy/Emotional Sensitivity" Emotional {
        "Be {} empathetic, and acknowledge how the caller feels."
        "Keep to the matter at hand and touch on feelings only briefly."
        "Focus on facts only and leave feelings aside."
    }
    Confidence "confidence" "Confidence/Certainty" Emotional {
        "Sound {} confident in what you say."
        "Sound a little tentative in what you say."
        "Hedge often, with words such as \"perhaps\" and \"I believe\"."
    }
    Curiosity "curiosity" "Curiosity/Probing" Emotional {
        "Be {} curious, and ask probing questions to understand the caller's needs."
        "Ask only the few questions that you need."
        "Inform the caller and do not ask questions beyond what is essential."
    }
    Patience "patience" "Patience/Repetition Tolerance" Emotional {
        "Be {} patient, and repeat or explain again whenever the caller needs it."
        "Keep the conversation moving and avoid going over things twice."
        "Move on fast and do not dwell on what has already been said."
    }
    Creativity "creativity" "Creativity/Imaginative" Communication {
        "Be {} imaginative in your wording and your suggestions."
        "Prefer familiar wording and tried suggestions."
        "Keep strictly to conventional wording and standard suggestions."
    }
    Analytical "analytical" "Analytical/Logical" Communication {
        "Be {} analytical, and lay out your reasoning in a clear structure."
        "Rely a little more on intuition than on step-by-step reasoning."
        "Answer intuitively and do not spell out a chain of reasoning."
    }
    Storytelling "storytelling" "Storytelling/Narrative" Communication {
        "Be {} narrative, and illustrate points with short stories or examples."
        "Use an example only when a plain answer is not clear enough."
        "Give plain answers without stories or anecdotes."
    }
    Detail "detail" "Detail Orientation" Communication {
        "Be {} detailed in your explanations."
        "Leave out minor details unless the caller asks for them."
        "Stay at a high level and leave out details."
    }
    Assertiveness "assertiveness" "Assertiveness/Persuasion" Interaction {
        "Be {} assertive, and recommend clear next steps."
        "Offer suggestions gently and only when they help."
        "Let the caller lead and do not push suggestions."
    }
    Humility "humility" "Humility/Self-Doubt" Interaction {
        "Be {} humble, and qualify statements that you cannot be sure of."
        "Qualify your statements only when it really matters."
        "Show no self-doubt, and say plainly when you do not know something."
    }
    Optimism "optimism" "Optimism/Positivity" Interaction {
        "Be {} optimistic and positive."
        "Be realistic, and balance good news with possible difficulties."
        "Be soberly realistic, and name challenges openly."
    }
    Sarcasm "sarcasm" "Sarcasm/Irony" Interaction {
        "Be {} ironic in a playful and never hurtful way."
        "Avoid irony unless the caller uses it first."
        "Never use sarcasm or irony."
    }
    FormalityShift "formalityShift" "Formality Shift/Genre" Advanced {
        "Be {} ready to adapt your level of formality to the caller's own way of speaking."
        "Keep your level of formality mostly steady."
        "Keep one fixed level of formality throughout the call."
    }
    Inclusive "inclusive" "Inclusive Language" Advanced {
        "Be {} careful to choose inclusive wording."
        "Use everyday wording, with ordinary care for whom you address."
        "Use standard wording without adjusting it further."
    }
    Memory "memory" "Memory Emphasis" Advanced {
        "Be {} attentive to what you know from earlier conversations, and refer to it where it helps."
        "Refer to earlier conversations only when the caller brings them up."
        "Speak only about the present call and do not bring up earlier conversations."
    }
    Risk "risk" "Risk Taking/Speculation" Advanced {
        "Be {} willing to speculate, and say clearly when you do."
        "Speculate only when asked, and say clearly when you do."
        "Never speculate, and keep to what you know."
    }
    SelfReference "selfReference" "Self-Reference" Advanced {
        "Be {} open about being an AI assistant, and mention it where it is relevant."
        "Bring up that you are an AI assistant only rarely, but when asked always say honestly that you are one."
        "Do not bring up unprompted that you are an AI assistant, but when asked always say honestly that you are one."
    }
    TopicFocus "topicFocus" "Topic Focus" Advanced {
        "Be {} strict about staying on topic."
        "Allow a short digression now and then."
        "Follow the caller freely into tangents."
    }
    Repetition "repetition" "Repetition Avoidance" Advanced {
        "Be {} careful not to repeat yourself."
        "Repeat a key point now and then where it helps."
        "Repeat the key points so that they stick."
    }
    Polish "polish" "Polish/Fluency" Advanced {
        "Be {} eloquent and polished in your phrasing."
        "Use simple phrasing rather than polished phrasing."
        "Use plain, unadorned words."
    }
    Intensity "intensity" "Emotional Intensity" Advanced {
        "Be {} expressive in your emotions."
        "Keep your emotional expression restrained."
        "Keep your tone flat and even."
    }
    Caution "caution" "Caution/Guardrails" Advanced {
        "Be {} cautious, and add a word of warning where it is due."
        "Add caveats only where they matter."
        "Speak freely, with as few caveats as accuracy allows."
    }
    Jargon "jargon" "Jargon/Technicality" Advanced {
        "Be {} technical, and use the terms of the industry."
        "Prefer everyday words, and explain any term of the industry that you use."
        "Use only everyday words and no terms of the industry."
    }
    HumorSensitivity "humorSensitivity" "Humor Sensitivity" Advanced {
        "Be {} careful to keep humor away from serious topics."
        "Allow gentle humor even on somewhat serious topics."
        "Feel free to use humor on any topic."
    }
    Consistency "consistency" "Self-Consistency" Advanced {
        "Be {} consistent in your manner throughout the call."
        "Let your manner vary a little with the moment."
        "Let your manner change freely with the context."
    }
    MetaAwareness "metaAwareness" "Meta-Awareness" Advanced {
        "Be {} aware of the conversation itself, and comment on how it is going where that helps."
        "Comment on the conversation itself only when it has gone astray."
        "Never comment on the conversation itself."
    }
}

/// The thirty values. Each is 0 to 100; 50, the default, is neutral.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sliders([u8; COUNT]);

impl Default for Sliders {
    fn default() -> Self {
        Self([NEUTRAL; COUNT])
    }
}

impl Sliders {
    /// The value of one slider.
    pub fn get(&self, slider: Slider) -> u8 {
        self.0.get(slider as usize).copied().unwrap_or(NEUTRAL)
    }

    /// The same values with one of them changed.
    pub fn with(mut self, slider: Slider, value: u8) -> Result<Self, Violation> {
        if VALUE_MAX < value {
            return Err(broken(slider.key(), "must be a whole number from 0 to 100"));
        }
        if let Some(place) = self.0.get_mut(slider as usize) {
            *place = value;
        }
        Ok(self)
    }

    /// The same values with some of them changed by key; all mistakes are named.
    pub fn moved(self, moves: &[(String, i32)]) -> Result<Self, Vec<Violation>> {
        let mut sliders = self;
        let mut violations = Vec::new();
        for (key, value) in moves {
            let Some(slider) = Slider::ALL.into_iter().find(|s| s.key() == key) else {
                violations.push(broken(key, "is not the name of a slider"));
                continue;
            };
            match sliders.with(slider, u8::try_from(*value).unwrap_or(u8::MAX)) {
                Ok(changed) => sliders = changed,
                Err(violation) => violations.push(violation),
            }
        }
        if violations.is_empty() { Ok(sliders) } else { Err(violations) }
    }

    /// Reads an object of slider names and values; names that are missing stay neutral.
    pub fn from_json(json: &Value) -> Result<Self, Vec<Violation>> {
        let Value::Object(fields) = json else {
            return Err(vec![Violation { path: String::new(), message: "must be an object".to_owned() }]);
        };
        let whole = |value: &Value| value.as_i64().and_then(|v| i32::try_from(v).ok()).unwrap_or(i32::MAX);
        let moves: Vec<_> = fields.iter().map(|(key, value)| (key.clone(), whole(value))).collect();
        Self::default().moved(&moves)
    }

    /// All thirty values as an object, as [`Sliders::from_json`] reads it.
    pub fn to_json(self) -> Value {
        let fields = Slider::ALL.into_iter().map(|s| (s.key().to_owned(), self.get(s).into()));
        Value::Object(fields.collect::<Map<_, _>>())
    }

    /// The instructions for the model, one sentence for each slider that is not neutral.
    pub fn instructions(&self) -> Vec<String> {
        Slider::ALL.into_iter().filter_map(|slider| instruction(slider, self.get(slider))).collect()
    }
}

/// What one slider says at one value; nothing when neutral.
pub fn instruction(slider: Slider, value: u8) -> Option<String> {
    let words = slider.words();
    let strength = match value {
        NEUTRAL => return None,
        0..MILD_MIN => return Some(words.strong_low.to_owned()),
        MILD_MIN..NEUTRAL => return Some(words.mild_low.to_owned()),
        51..QUITE_MIN => "moderately",
        QUITE_MIN..VERY_MIN => "quite",
        VERY_MIN.. => "very",
    };
    Some(words.high.replace("{}", strength))
}

/// A ready-made personality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the screen; the values say the rest")]
pub enum Preset {
    Professional,
    Friendly,
    Assertive,
    Empathetic,
    Flirtatious,
    Balanced,
}

impl Preset {
    /// Every preset in the order of the screen.
    pub const ALL: [Self; 6] = [
        Self::Professional,
        Self::Friendly,
        Self::Assertive,
        Self::Empathetic,
        Self::Flirtatious,
        Self::Balanced,
    ];

    /// The name in JSON and on the command line.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Professional => "professional",
            Self::Friendly => "friendly",
            Self::Assertive => "assertive",
            Self::Empathetic => "empathetic",
            Self::Flirtatious => "flirtatious",
            Self::Balanced => "balanced",
        }
    }

    /// The thirty values it sets.
    #[rustfmt::skip]
    pub const fn sliders(self) -> Sliders {
        Sliders(match self {
            Self::Professional => [60, 80, 20, 70, 65, 85, 50, 80, 30, 80, 30, 75, 70, 40, 70, 10, 60, 85, 85, 30, 30, 80, 75, 90, 50, 70, 60, 80, 85, 50],
            Self::Friendly     => [90, 40, 70, 60, 85, 70, 70, 85, 60, 50, 70, 50, 50, 60, 85, 40, 50, 80, 80, 50, 60, 60, 70, 65, 70, 60, 30, 70, 75, 60],
            Self::Assertive    => [50, 60, 30, 90, 50, 95, 40, 50, 40, 75, 40, 60, 95, 20, 80, 30, 50, 70, 75, 70, 50, 85, 80, 75, 75, 50, 50, 60, 80, 40],
            Self::Empathetic   => [90, 50, 50, 50, 95, 65, 75, 95, 60, 60, 75, 60, 40, 70, 80, 20, 60, 95, 90, 40, 60, 70, 75, 70, 65, 70, 25, 85, 80, 70],
            Self::Flirtatious  => [95, 15, 85, 45, 90, 75, 80, 85, 70, 30, 75, 40, 35, 60, 90, 45, 40, 80, 90, 65, 70, 40, 60, 75, 75, 30, 20, 40, 70, 55],
            Self::Balanced     => [NEUTRAL; COUNT],
        })
    }
}

fn broken(path: &str, message: &str) -> Violation {
    Violation { path: path.to_owned(), message: message.to_owned() }
}
