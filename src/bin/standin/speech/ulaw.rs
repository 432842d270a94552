//! G.711 µ-law at 8 kHz: what a byte sounds like, and how loud a stretch of them is. Knows nothing of calls or models.

/// Bytes per millisecond.
pub(crate) const BYTES_PER_MS: usize = 8;
/// Bytes of one 20 ms frame, the unit in which lines are cut and padded.
pub(crate) const FRAME: usize = 160;
/// The byte of digital silence.
pub(crate) const SILENCE: u8 = 0xff;

const LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        #[expect(clippy::indexing_slicing, reason = "a constant: out of range would not compile")]
        let place = &mut table[code];
        *place = decoded(code);
        code += 1;
    }
    table
};

const fn decoded(code: usize) -> i16 {
    let inverted = !code & 0xff;
    let magnitude = ((((inverted & 0x0f) << 3) + 132) << ((inverted >> 4) & 7)) - 132;
    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "at most 32124")]
    let magnitude = magnitude as i16;
    if inverted & 0x80 == 0 { magnitude } else { -magnitude }
}

/// The 16-bit sample that a byte stands for.
pub(crate) fn linear(code: u8) -> i16 {
    LINEAR.get(usize::from(code)).copied().unwrap_or(0)
}

/// The byte that stands for a 16-bit sample.
pub(crate) fn encode(sample: i16) -> u8 {
    let magnitude = sample.unsigned_abs().min(32_635) + 132;
    let exponent = (16 - magnitude.leading_zeros()).saturating_sub(8);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let code = sign | (u16::try_from(exponent).unwrap_or(7) << 4) | mantissa;
    !u8::try_from(code & 0xff).unwrap_or(0)
}

/// The mean magnitude of a stretch of audio, 0 to 32,124.
pub(crate) fn loudness(audio: &[u8]) -> u32 {
    if audio.is_empty() {
        return 0;
    }
    let sum: u32 = audio.iter().map(|code| u32::from(linear(*code).unsigned_abs())).sum();
    sum / u32::try_from(audio.len()).unwrap_or(u32::MAX)
}

/// How many milliseconds so many bytes play.
pub(crate) fn milliseconds(bytes: usize) -> u64 {
    u64::try_from(bytes / BYTES_PER_MS).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_the_round_trip_but_negative_zero() {
        for code in 0..=u8::MAX {
            let again = encode(linear(code));
            assert!(again == code || code == 0x7f && again == SILENCE, "{code:#x} became {again:#x}");
        }
    }

    #[test]
    fn known_values() {
        for (code, sample) in [(0xff, 0), (0x80, 32_124), (0x00, -32_124), (0xf0, 120), (0x70, -120)] {
            assert_eq!(linear(code), sample, "{code:#x}");
        }
        assert_eq!(loudness(&[SILENCE; FRAME]), 0);
    }
}
