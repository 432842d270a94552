//! The caller's audio on its way to the model: kept until the model is ready, with silence where the carrier sent
//! nothing, so that the model's detector sees time pass, and a limit on what may come. Must never know what the model
//! does with it.

use std::collections::VecDeque;
use std::time::Duration;

use super::desk::Desk;
use super::{EndReason, Output};
use crate::providers::openai::realtime::client;
use crate::providers::pcmu::{BYTES_PER_MS, Pcmu};

/// What a carrier's frame holds.
const FRAME_BYTES: u64 = 20 * BYTES_PER_MS;
/// Gaps below a frame's length are the carrier's rounding.
const GAP_BYTES_MIN: u64 = FRAME_BYTES;
/// The most silence that one gap is filled with.
const GAP_BYTES_MAX: u64 = 10_000 * BYTES_PER_MS;
/// How long the carrier may send nothing while the caller speaks before silence takes its place.
const PATIENCE: Duration = Duration::from_millis(750);
/// How much silence that is, each time.
const FILLER_BYTES: u64 = 1_000 * BYTES_PER_MS;

#[derive(Default)]
pub(super) struct Intake {
    /// What came before the model was ready, with its place in the stream.
    early: VecDeque<(u64, Pcmu<'static>)>,
    /// Where in the stream the next frame should begin, in bytes.
    expected: Option<u64>,
    speech: Option<Speech>,
    second: Second,
}

/// The caller speaks, as the model hears it.
struct Speech {
    /// When silence takes the place of frames that do not come.
    filler_due: Duration,
    /// How much silence already did.
    filled_bytes: u64,
}

/// What came within the current second.
#[derive(Default)]
struct Second {
    began: Duration,
    frames: u32,
    bytes: u64,
}

impl Intake {
    /// Counts a frame, whether it is used or not.
    pub(super) fn count(&mut self, desk: &Desk, now: Duration, bytes: u64) -> Result<(), EndReason> {
        if self.second.began + Duration::from_secs(1) <= now {
            self.second = Second { began: now, ..Second::default() };
        }
        self.second.frames += 1;
        self.second.bytes += bytes;
        let limits = &desk.plan.limits;
        let too_many = limits.carrier_frames_per_second_max < self.second.frames;
        let too_much = limits.carrier_audio_ms_per_second_max * BYTES_PER_MS < self.second.bytes;
        if too_many || too_much { Err(EndReason::CarrierFlood) } else { Ok(()) }
    }

    /// Keeps a frame until the model is ready. Until it is sent on it counts as unheard.
    pub(super) fn hold(&mut self, desk: &mut Desk, timestamp_ms: u64, audio: Pcmu<'_>) {
        desk.totals.frames_unheard += 1;
        self.early.push_back((timestamp_ms, audio.into_owned()));
        // A short frame counts as a whole one, so that their number is bounded too.
        let size = |(_, audio): &(u64, Pcmu<'_>)| audio.bytes().max(FRAME_BYTES);
        let mut held: u64 = self.early.iter().map(size).sum();
        while desk.plan.limits.early_audio_ms_max * BYTES_PER_MS < held
            && let Some(oldest) = self.early.pop_front()
        {
            held -= size(&oldest);
        }
    }

    /// Sends on what was kept.
    pub(super) fn release(&mut self, desk: &mut Desk, now: Duration) {
        for (timestamp_ms, audio) in std::mem::take(&mut self.early) {
            desk.totals.frames_unheard -= 1;
            self.forward(desk, now, timestamp_ms, &audio);
        }
    }

    /// Sends a frame on, after the silence that is missing before it.
    pub(super) fn forward(&mut self, desk: &mut Desk, now: Duration, timestamp_ms: u64, audio: &Pcmu<'_>) {
        let begins = timestamp_ms.saturating_mul(BYTES_PER_MS);
        // A stream that goes back in time has begun anew; nothing is missing then.
        let gap = self.expected.map_or(0, |expected| begins.saturating_sub(expected));
        if GAP_BYTES_MIN <= gap {
            append_silence(desk, gap.min(GAP_BYTES_MAX));
        }
        self.expected = Some(begins.saturating_add(audio.bytes()));
        if let Some(speech) = &mut self.speech {
            *speech = Speech { filler_due: now + PATIENCE, filled_bytes: 0 };
        }
        desk.totals.frames_in += 1;
        desk.totals.bytes_in += audio.bytes();
        desk.push(Output::ToModel(client::append(audio)));
    }

    pub(super) fn speech_started(&mut self, now: Duration) {
        self.speech = Some(Speech { filler_due: now + PATIENCE, filled_bytes: 0 });
    }

    pub(super) fn speech_stopped(&mut self) {
        self.speech = None;
    }

    pub(super) fn caller_speaks(&self) -> bool {
        self.speech.is_some()
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        let speech = self.speech.as_ref()?;
        (speech.filled_bytes < GAP_BYTES_MAX).then_some(speech.filler_due)
    }

    pub(super) fn tick(&mut self, desk: &mut Desk, now: Duration) {
        if let Some(speech) = &mut self.speech
            && speech.filler_due <= now
            && speech.filled_bytes < GAP_BYTES_MAX
        {
            speech.filled_bytes += FILLER_BYTES;
            speech.filler_due = now + Duration::from_secs(1);
            self.expected = self.expected.map(|expected| expected.saturating_add(FILLER_BYTES));
            append_silence(desk, FILLER_BYTES);
        }
    }
}

fn append_silence(desk: &mut Desk, bytes: u64) {
    desk.totals.padded_ms += bytes / BYTES_PER_MS;
    desk.push(Output::ToModel(client::append(&Pcmu::silence(bytes))));
}
