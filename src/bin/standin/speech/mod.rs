//! The voices of the stand-in world: what a line sounds like, and which line a sound was. Both stand-ins use one
//! [`Library`], so that what the stand-in model recognises is what the stand-in caller said, byte for byte.
//! Must never know who speaks to whom. Start at [`Library::speak`].

mod recogniser;
mod speaker;
pub(crate) mod ulaw;

use recogniser::Recogniser;
use serde::Deserialize;
use speaker::Speaker;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Mutex;
use tracing::warn;
use ulaw::{FRAME, SILENCE};

/// Lines synthesised while running that are kept; past it a line is made anew each time it is said.
const LINES_MAX: usize = 5_000;

/// What can be said and recognised. Clones share it.
#[derive(Clone)]
pub(crate) struct Library(Arc<Shelves>);

struct Shelves {
    lines: RwLock<Lines>,
    speaker: Option<Speaker>,
    /// Held while a line is made, so that a hundred calls that want the same one wait for it together.
    making: Mutex<()>,
    warned: AtomicBool,
}

#[derive(Default)]
struct Lines {
    audio: HashMap<(String, String), Arc<[u8]>>,
    recogniser: Recogniser,
}

/// One entry of a folder's `index.json`; what else is noted there is for people.
#[derive(Deserialize)]
struct Entry {
    text: String,
    voice: String,
    file: String,
}

impl Library {
    /// Reads the fixtures of each folder (`index.json` beside the `.ulaw` files). The speaker is a program that
    /// synthesises what is not among them; it is started with the argument `speak` when first needed.
    pub(crate) fn open(folders: &[PathBuf], speaker: Option<PathBuf>) -> io::Result<Library> {
        let mut lines = Lines::default();
        for folder in folders {
            let index = std::fs::read(folder.join("index.json")).map_err(|error| named(folder, error))?;
            for entry in serde_json::from_slice::<Vec<Entry>>(&index).map_err(|error| named(folder, error))? {
                let file = folder.join(&entry.file);
                let audio = std::fs::read(&file).map_err(|error| named(&file, error))?;
                lines.add(&entry.text, &entry.voice, audio.into());
            }
        }
        let speaker = speaker.map(Speaker::new);
        Ok(Library(Arc::new(Shelves {
            lines: RwLock::new(lines),
            speaker,
            making: Mutex::default(),
            warned: AtomicBool::new(false),
        })))
    }

    /// The audio of a line in whole frames: the fixture, else what the speaker makes of it, else a tone as long as
    /// the line would be.
    pub(crate) async fn speak(&self, text: &str, voice: &str) -> Arc<[u8]> {
        if let Some(audio) = self.known(text, voice) {
            return audio;
        }
        let making = self.0.making.lock().await;
        if let Some(audio) = self.known(text, voice) {
            return audio;
        }
        let audio: Arc<[u8]> = match self.synthesise(text, voice).await {
            Some(audio) => audio.into(),
            None => tone(text, voice).into(),
        };
        let mut lines = self.0.lines.write().unwrap_or_else(PoisonError::into_inner);
        if lines.audio.len() < LINES_MAX {
            lines.add(text, voice, Arc::clone(&audio));
        }
        drop(making);
        audio
    }

    /// The text of the known line, or lines, whose very bytes were heard.
    pub(crate) fn recognise(&self, heard: &[u8]) -> Option<String> {
        self.0.lines.read().unwrap_or_else(PoisonError::into_inner).recogniser.recognise(heard)
    }

    fn known(&self, text: &str, voice: &str) -> Option<Arc<[u8]>> {
        let lines = self.0.lines.read().unwrap_or_else(PoisonError::into_inner);
        lines.audio.get(&(text.to_owned(), voice.to_owned())).map(Arc::clone)
    }

    async fn synthesise(&self, text: &str, voice: &str) -> Option<Vec<u8>> {
        let problem = match &self.0.speaker {
            None => "no speaker was given".to_owned(),
            Some(speaker) => match speaker.speak(text, voice).await {
                Ok(audio) if !audio.is_empty() => return Some(whole_frames(audio)),
                Ok(_) => "the speaker said nothing".to_owned(),
                Err(error) => error.to_string(),
            },
        };
        if !self.0.warned.swap(true, Ordering::Relaxed) {
            warn!(problem, "lines that are no fixture are heard as tones");
        }
        None
    }
}

impl Lines {
    fn add(&mut self, text: &str, voice: &str, audio: Arc<[u8]>) {
        let key = (text.to_owned(), voice.to_owned());
        if !self.audio.contains_key(&key) {
            self.recogniser.learn(text, &audio);
            self.audio.insert(key, audio);
        }
    }
}

/// Two wavering tones, 60 ms per letter; pitch and waver follow from the words, so that each line sounds, and is
/// recognised, by itself.
fn tone(text: &str, voice: &str) -> Vec<u8> {
    let seed = text
        .bytes()
        .chain(voice.bytes())
        .fold(17_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let pitch = f64::from(180 + seed % 220);
    let frames = (text.len() * 3).clamp(15, 3_000);
    let sample = |n: u32| {
        let at = f64::from(n) / 8_000.0;
        let waver = (at * f64::from(3 + seed % 5)).sin() * 6.0;
        let sum = (at * pitch * std::f64::consts::TAU + waver).sin() + (at * pitch * 2.7 + waver).sin() * 0.5;
        #[expect(clippy::cast_possible_truncation, reason = "at most 9,000")]
        ulaw::encode((sum * 6_000.0) as i16)
    };
    (0..u32::try_from(frames * FRAME).unwrap_or(0)).map(sample).collect()
}

fn whole_frames(mut audio: Vec<u8>) -> Vec<u8> {
    audio.resize(audio.len().next_multiple_of(FRAME), SILENCE);
    audio
}

fn named(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixtures() -> Vec<PathBuf> {
        vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/speech")]
    }

    #[tokio::test]
    async fn every_fixture_is_recognised_as_itself() {
        let library = Library::open(&fixtures(), None).unwrap();
        let index = std::fs::read(fixtures().first().unwrap().join("index.json")).unwrap();
        let entries: Vec<Entry> = serde_json::from_slice(&index).unwrap();
        assert!(10 < entries.len());
        for entry in entries {
            let audio = library.speak(&entry.text, &entry.voice).await;
            assert_eq!(audio.len() % FRAME, 0, "{}", entry.text);
            assert_eq!(library.recognise(&audio).as_deref(), Some(entry.text.as_str()));
        }
    }

    #[tokio::test]
    async fn a_line_without_fixture_or_speaker_is_a_tone_of_its_own() {
        let library = Library::open(&[], None).unwrap();
        let (short, long) = (
            library.speak("Yes.", "caller").await,
            library.speak("Yes, that is what I said.", "caller").await,
        );
        assert!(short.len() < long.len());
        assert!(1_000 < ulaw::loudness(&short));
        assert_eq!(library.recognise(&long).as_deref(), Some("Yes, that is what I said."));
    }

    #[tokio::test]
    async fn a_speaker_is_asked_once_for_a_line_that_many_want_at_once() {
        let folder = std::env::temp_dir().join(format!("standin-speaker-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let program = folder.join("speaker");
        let answer =
            r#"while read -r line; do echo x >> "$0.asked"; echo '{"bytes":6}'; printf abcdef; done"#;
        std::fs::write(&program, format!("#!/bin/sh\n{answer}\n")).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let library = Library::open(&[], Some(program.clone())).unwrap();
        let lines =
            futures_util::future::join_all((0..20).map(|_| library.speak("Unheard of.", "marin"))).await;
        let padded = [b"abcdef".as_slice(), &[SILENCE; FRAME - 6]].concat();
        assert!(lines.iter().all(|line| **line == *padded));
        assert_eq!(std::fs::read_to_string(program.with_extension("asked")).unwrap(), "x\n");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_missing_folder_is_named() {
        let problem = Library::open(&[PathBuf::from("/nowhere")], None).err().unwrap();
        assert!(problem.to_string().contains("/nowhere"), "{problem}");
    }
}
