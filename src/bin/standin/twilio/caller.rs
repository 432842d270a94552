//! What a caller does, as people write it down: a TOML file (or the same as JSON) with a voice and steps. Owns the
//! format; who performs it is [`super::performer`]. A small example, and all of the steps:
//!
//! ```toml
//! voice = "caller"                                            # of every line that names none
//! steps = [
//!   { do = "await_reply", quiet_ms = 700, within_ms = 20000 },  # until the agent has spoken and been quiet so long
//!   { do = "await_quiet", quiet_ms = 700, within_ms = 20000 },  # until the agent is quiet, spoken or not
//!   { do = "say", text = "Hello.", voice = "other" },
//!   { do = "interrupt", text = "Wait.", after_ms = 600, within_ms = 20000 },  # once the agent has spoken so long
//!   { do = "expect_clear", within_ms = 1500 },                  # counted from the caller's last word's beginning
//!   { do = "dtmf", digits = "12#" },
//!   { do = "silence", ms = 500 },
//!   { do = "noise", ms = 500, level = 800 },
//!   { do = "gap", ms = 500 },                                   # no frames at all, as on mute or hold
//!   { do = "raw", text = "{", times = 1 },                      # "{stream_sid}" in the text is filled in
//!   { do = "raw_binary", bytes = 100, times = 1 },
//!   { do = "oversized", bytes = 1000000 },                      # one media frame with so large a payload
//!   { do = "flood", frames = 5000 },                            # media frames as fast as the socket takes them
//!   { do = "vanish" },                                          # the socket breaks without stop or close
//!   { do = "hang_up" },
//! ]
//! ```
//! A step that waits in vain is noted as `step_failed` and the caller goes on. After the last step the caller stays
//! on the line, silent.

use serde::Deserialize;

/// Steps of one caller.
const STEPS_MAX: usize = 1_000;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Caller {
    #[serde(default = "voice")]
    pub(crate) voice: String,
    #[serde(default)]
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Step {
    AwaitReply {
        #[serde(default = "quiet_ms")]
        quiet_ms: u64,
        #[serde(default = "within_ms")]
        within_ms: u64,
    },
    AwaitQuiet {
        #[serde(default = "quiet_ms")]
        quiet_ms: u64,
        #[serde(default = "within_ms")]
        within_ms: u64,
    },
    Say {
        text: String,
        voice: Option<String>,
    },
    Interrupt {
        text: String,
        voice: Option<String>,
        after_ms: u64,
        #[serde(default = "within_ms")]
        within_ms: u64,
    },
    ExpectClear {
        within_ms: u64,
    },
    Dtmf {
        digits: String,
    },
    Silence {
        ms: u64,
    },
    Noise {
        ms: u64,
        level: i16,
    },
    Gap {
        ms: u64,
    },
    Raw {
        text: String,
        #[serde(default = "once")]
        times: u32,
    },
    RawBinary {
        bytes: usize,
        #[serde(default = "once")]
        times: u32,
    },
    Oversized {
        bytes: usize,
    },
    Flood {
        frames: u32,
    },
    Vanish,
    HangUp,
}

impl Caller {
    pub(crate) fn from_toml(text: &str) -> Result<Caller, String> {
        toml::from_str(text).map_err(|error| error.to_string()).and_then(Caller::checked)
    }

    /// The caller when their digits can be dialled and their sizes be held.
    pub(crate) fn checked(self) -> Result<Caller, String> {
        if STEPS_MAX < self.steps.len() {
            return Err(format!("a caller has at most {STEPS_MAX} steps"));
        }
        for step in &self.steps {
            match step {
                Step::Dtmf { digits } if digits.chars().any(|digit| !"0123456789*#ABCD".contains(digit)) => {
                    return Err(format!("{digits:?} are not all digits that a telephone has"));
                }
                Step::RawBinary { bytes, .. } | Step::Oversized { bytes } if 16_000_000 < *bytes => {
                    return Err("a frame is at most 16,000,000 bytes".to_owned());
                }
                Step::AwaitReply { .. }
                | Step::AwaitQuiet { .. }
                | Step::Say { .. }
                | Step::Interrupt { .. }
                | Step::ExpectClear { .. }
                | Step::Dtmf { .. }
                | Step::Silence { .. }
                | Step::Noise { .. }
                | Step::Gap { .. }
                | Step::Raw { .. }
                | Step::RawBinary { .. }
                | Step::Oversized { .. }
                | Step::Flood { .. }
                | Step::Vanish
                | Step::HangUp => {}
            }
        }
        Ok(self)
    }
}

fn voice() -> String {
    "caller".to_owned()
}

fn quiet_ms() -> u64 {
    700
}

fn within_ms() -> u64 {
    20_000
}

fn once() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_above_is_read() {
        let lines = include_str!("caller.rs").lines().map(|line| line.trim_start_matches("//!"));
        let example: String = lines
            .skip_while(|line| *line != " ```toml")
            .skip(1)
            .take_while(|line| *line != " ```")
            .fold(String::new(), |mut example, line| {
                example.push_str(line);
                example.push('\n');
                example
            });
        let caller = Caller::from_toml(&example).unwrap();
        assert_eq!(caller.voice, "caller");
        assert_eq!(caller.steps.len(), 15);
        assert_eq!(caller.steps[14], Step::HangUp);
        assert_eq!(caller.steps[0], Step::AwaitReply { quiet_ms: 700, within_ms: 20_000 });
    }

    #[test]
    fn the_callers_of_the_demo_say_what_is_recorded() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let lines = std::fs::read_to_string(folder.join("speech/lines.toml")).unwrap();
        for name in ["stranger", "elsewhere", "returning"] {
            let text = std::fs::read_to_string(folder.join(format!("callers/{name}.toml"))).unwrap();
            let caller = Caller::from_toml(&text).unwrap();
            for step in &caller.steps {
                if let Step::Say { text, .. } | Step::Interrupt { text, .. } = step {
                    assert!(lines.contains(&format!("\"{text}\"")), "{name} says what is no fixture: {text}");
                }
            }
            assert_eq!(caller.steps.last(), Some(&Step::HangUp), "{name}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, problem) in [
            ("steps = [{ do = \"sing\" }]", "sing"),
            ("steps = [{ do = \"say\" }]", "text"),
            ("steps = [{ do = \"say\", text = \"a\", volume = 3 }]", "volume"),
            ("steps = [{ do = \"dtmf\", digits = \"1x\" }]", "1x"),
            ("steps = [{ do = \"oversized\", bytes = 16000001 }]", "16,000,000"),
            ("voices = \"a\"", "voices"),
        ] {
            let refused = Caller::from_toml(text).unwrap_err();
            assert!(refused.contains(problem), "{text}: {refused}");
        }
    }
}
