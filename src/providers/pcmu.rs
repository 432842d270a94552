//! µ-law audio at 8 kHz in base64, as both legs of a call carry it. It passes through unchanged; only its length is
//! ever computed. Must never know who sent it.

use std::borrow::Cow;

/// Bytes of µ-law audio that play in one millisecond.
pub const BYTES_PER_MS: u64 = 8;

/// A piece of audio: base64 text that was checked, so that it can be written into JSON as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcmu<'a> {
    base64: Cow<'a, str>,
    bytes: u64,
}

/// Why a text is not audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not base64 with padding")]
pub struct BadAudio;

impl<'a> Pcmu<'a> {
    /// Checks the text and takes it over.
    pub fn parse(base64: Cow<'a, str>) -> Result<Self, BadAudio> {
        let body = base64.trim_end_matches('=');
        let padding = base64.len() - body.len();
        let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
        // Without stopping at the first stranger, so that many letters are looked at in one step.
        let all_known = body.bytes().fold(true, |known, b| known & in_alphabet(b));
        if !base64.len().is_multiple_of(4) || 2 < padding || !all_known {
            return Err(BadAudio);
        }
        let bytes = (base64.len() / 4 * 3 - padding) as u64;
        Ok(Self { base64, bytes })
    }

    /// Silence (0xFF in µ-law) of the given length.
    pub fn silence(bytes: u64) -> Pcmu<'static> {
        let groups = usize::try_from(bytes / 3).unwrap_or(0);
        let mut base64 = String::with_capacity(groups * 4 + 4);
        base64.extend(std::iter::repeat_n("////", groups));
        base64.push_str(match bytes % 3 {
            1 => "/w==",
            2 => "//8=",
            _ => "",
        });
        Pcmu { base64: Cow::Owned(base64), bytes }
    }

    /// The same, kept beyond the frame that it came in.
    pub fn into_owned(self) -> Pcmu<'static> {
        Pcmu { base64: Cow::Owned(self.base64.into_owned()), bytes: self.bytes }
    }

    /// The text as it travels.
    pub fn base64(&self) -> &str {
        &self.base64
    }

    /// How many samples it holds, one byte each.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn counts_bytes_and_refuses_what_could_break_out_of_json() {
        for (text, bytes) in
            [("", Some(0)), ("/w==", Some(1)), ("//8=", Some(2)), ("////", Some(3)), ("AAAAAAAA", Some(6))]
        {
            assert_eq!(Pcmu::parse(text.into()).ok().map(|audio| audio.bytes()), bytes, "{text}");
        }
        for bad in ["/", "//", "===", "/===", "A=AA", "AAA\"", "AA\\n", "AA A", "ÄÄ", "AA==AAAA"] {
            assert_eq!(Pcmu::parse(bad.into()), Err(BadAudio), "{bad}");
        }
    }

    #[test]
    fn silence_is_what_base64_says_it_is() {
        for bytes in [0usize, 1, 2, 3, 160, 8000] {
            let silence = Pcmu::silence(bytes as u64);
            assert_eq!(silence.base64(), STANDARD.encode(vec![0xFF; bytes]));
            assert_eq!(silence.bytes(), bytes as u64);
            assert_eq!(Pcmu::parse(silence.base64().into()), Ok(silence.clone()));
        }
    }
}
