//! What each side of a call sounded like, as WAV files: `caller.wav`, `agent.wav` (what really reached the caller's ear,
//! silences included, cleared audio absent) and `both.wav` (caller left, agent right), 16-bit PCM at 8 kHz.

use crate::speech::ulaw::{self, FRAME};
use std::io;
use std::path::{Path, PathBuf};

/// An hour; what comes after is not recorded.
const BYTES_MAX: usize = 8_000 * 3_600;
const RATE: u32 = 8_000;

pub(crate) struct Recording {
    folder: PathBuf,
    caller: Vec<u8>,
    agent: Vec<u8>,
}

impl Recording {
    pub(crate) fn new(folder: PathBuf) -> Recording {
        Recording { folder, caller: Vec::new(), agent: Vec::new() }
    }

    pub(crate) fn add(&mut self, caller: &[u8; FRAME], agent: &[u8; FRAME]) {
        if self.caller.len() < BYTES_MAX {
            self.caller.extend_from_slice(caller);
            self.agent.extend_from_slice(agent);
        }
    }

    pub(crate) async fn write(self) -> io::Result<PathBuf> {
        tokio::fs::create_dir_all(&self.folder).await?;
        let samples = |side: &[u8]| -> Vec<i16> { side.iter().map(|code| ulaw::linear(*code)).collect() };
        let (caller, agent) = (samples(&self.caller), samples(&self.agent));
        let both: Vec<i16> = caller.iter().zip(&agent).flat_map(|(left, right)| [*left, *right]).collect();
        for (name, channels, samples) in
            [("caller.wav", 1, &caller), ("agent.wav", 1, &agent), ("both.wav", 2, &both)]
        {
            let file: &Path = &self.folder.join(name);
            tokio::fs::write(file, wav(channels, samples)).await?;
        }
        Ok(self.folder)
    }
}

/// A RIFF file of 16-bit PCM, the channels' samples interleaved.
fn wav(channels: u16, samples: &[i16]) -> Vec<u8> {
    let bytes = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX);
    let frame_bytes = channels * 2;
    let mut file = Vec::with_capacity(44 + samples.len() * 2);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + bytes).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&channels.to_le_bytes());
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&(RATE * u32::from(frame_bytes)).to_le_bytes());
    file.extend_from_slice(&frame_bytes.to_le_bytes());
    file.extend_from_slice(&16_u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn three_files_hold_what_was_on_the_line() {
        let folder = std::env::temp_dir().join(format!("standin-wav-{}", uuid::Uuid::new_v4()));
        let mut recording = Recording::new(folder.clone());
        recording.add(&[0x80; FRAME], &[0xff; FRAME]);
        recording.add(&[0xff; FRAME], &[0x00; FRAME]);
        recording.write().await.unwrap();
        let read = |name: &str| {
            let file = std::fs::read(folder.join(name)).unwrap();
            assert_eq!(
                (&file[..4], &file[8..16], &file[36..40]),
                (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..]),
                "{name}"
            );
            let [a, b, c, d] = file[40..44].try_into().unwrap();
            assert_eq!(u32::from_le_bytes([a, b, c, d]) as usize, file.len() - 44, "{name}");
            let channels = u16::from_le_bytes([file[22], file[23]]);
            let samples: Vec<i16> = file[44..].chunks(2).map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
            (channels, samples)
        };
        let (caller, agent) =
            ([[32_124; FRAME], [0; FRAME]].concat(), [[0; FRAME], [-32_124; FRAME]].concat());
        assert_eq!(read("caller.wav"), (1, caller.clone()));
        assert_eq!(read("agent.wav"), (1, agent.clone()));
        let both = caller.iter().zip(&agent).flat_map(|(left, right)| [*left, *right]).collect();
        assert_eq!(read("both.wav"), (2, both));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
