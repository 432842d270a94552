//! The program that synthesises what is no fixture: started when first needed, kept running, asked one line at a
//! time. Knows its protocol (a JSON line in; a JSON line with the length, then the audio, out) and nothing of why.

use serde::Deserialize;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// The first answer may wait for the synthesiser to be installed.
const ANSWER_WITHIN: Duration = Duration::from_mins(2);
/// Ten minutes of speech.
const AUDIO_BYTES_MAX: usize = 4_800_000;

pub(super) struct Speaker {
    program: PathBuf,
    running: Mutex<Option<Running>>,
}

struct Running {
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Held, because dropping it ends the program.
    _program: Child,
}

#[derive(Deserialize)]
struct Answer {
    bytes: usize,
    error: Option<String>,
}

impl Speaker {
    pub(super) fn new(program: PathBuf) -> Self {
        Self { program, running: Mutex::new(None) }
    }

    pub(super) async fn speak(&self, text: &str, voice: &str) -> io::Result<Vec<u8>> {
        let mut slot = self.running.lock().await;
        let mut running = match slot.take() {
            Some(running) => running,
            None => self.start()?,
        };
        let audio = timeout(ANSWER_WITHIN, running.ask(text, voice)).await.map_err(io::Error::other)??;
        *slot = Some(running); // after an error the program is not put back, and the next line starts a new one
        Ok(audio)
    }

    fn start(&self) -> io::Result<Running> {
        let mut program = Command::new(&self.program)
            .arg("speak")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(questions), Some(answers)) = (program.stdin.take(), program.stdout.take()) else {
            return Err(io::Error::other("the speaker has no pipes"));
        };
        Ok(Running { questions, answers: BufReader::new(answers), _program: program })
    }
}

impl Running {
    async fn ask(&mut self, text: &str, voice: &str) -> io::Result<Vec<u8>> {
        let question = serde_json::json!({ "text": text, "voice": voice }).to_string() + "\n";
        self.questions.write_all(question.as_bytes()).await?;
        self.questions.flush().await?;
        let mut head = String::new();
        self.answers.read_line(&mut head).await?;
        let answer: Answer = serde_json::from_str(&head)?;
        if let Some(problem) = answer.error {
            return Err(io::Error::other(problem));
        }
        if AUDIO_BYTES_MAX < answer.bytes {
            return Err(io::Error::other("the speaker says too much"));
        }
        let mut audio = vec![0; answer.bytes];
        self.answers.read_exact(&mut audio).await?;
        Ok(audio)
    }
}
