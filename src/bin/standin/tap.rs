//! A stopwatch that both stand-ins hold while they load the product: audio carries, in its first sixteen bytes, the
//! call's number and the moment at which it was written, so that whoever receives it knows how long it was under way.
//! The bytes are µ-law codes too quiet to be heard. Knows nothing of sockets, sessions or the product.

use crate::speech::ulaw::FRAME;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const MAGIC: [u8; 4] = [0xf5, 0xfa, 0xf3, 0xfc];
pub(crate) const STAMP_BYTES: usize = 16;
/// Codes from here on are quieter than 121 of 32,124.
const QUIET: u8 = 0xf0;
/// Sixteen bits of a stamp name the call.
const CALLS: u32 = 1 << 16;

/// Measures, or (the default) does nothing. Clones share the measurements.
#[derive(Clone, Default)]
pub(crate) struct Tap(Option<Arc<Meter>>);

struct Meter {
    began: Instant,
    readings: Mutex<Readings>,
}

#[derive(Default)]
struct Readings {
    frames_sent: u64,
    deltas_sent: u64,
    to_model: Vec<u32>,
    to_carrier: Vec<u32>,
    document: Vec<u32>,
    clear: Vec<u32>,
    late: Vec<u32>,
    /// When the model last said that the caller of a call began to speak.
    speech_started: HashMap<u32, Instant>,
}

impl Tap {
    pub(crate) fn measuring() -> Tap {
        Tap(Some(Arc::new(Meter { began: Instant::now(), readings: Mutex::default() })))
    }

    /// A frame of the caller is about to be written.
    pub(crate) fn send_frame(&self, call: u32, frame: &mut [u8]) {
        self.with(|readings, now_us, _| {
            if write(frame, call, now_us) {
                readings.frames_sent += 1;
            }
        });
    }

    /// Audio of the agent has arrived at the carrier.
    pub(crate) fn receive_audio(&self, audio: &[u8]) {
        self.with(|readings, now_us, _| {
            let sent = audio.chunks(FRAME).filter_map(read);
            readings.to_carrier.extend(sent.map(|stamp| now_us.wrapping_sub(stamp.at_us)));
        });
    }

    /// The product has stopped the agent of a call.
    pub(crate) fn receive_clear(&self, call: u32) {
        self.with(|readings, _, now| {
            if let Some(started) = readings.speech_started.remove(&(call % CALLS)) {
                readings.clear.push(microseconds(now.duration_since(started)));
            }
        });
    }

    pub(crate) fn document(&self, took: Duration) {
        self.with(|readings, _, _| readings.document.push(microseconds(took)));
    }

    /// How late this process was with a frame of its own: past some milliseconds it measures itself.
    pub(crate) fn late(&self, by: Duration) {
        self.with(|readings, _, _| readings.late.push(microseconds(by)));
    }

    pub(crate) fn report(&self) -> Value {
        let mut report = Value::Null;
        self.with(|readings, _, _| {
            let received = readings.to_model.len() as u64;
            let deltas = readings.to_carrier.len() as u64;
            report = json!({
                "frames": { "sent": readings.frames_sent, "received": received, "lost": readings.frames_sent.saturating_sub(received) },
                "deltas": { "sent": readings.deltas_sent, "received": deltas, "lost": readings.deltas_sent.saturating_sub(deltas) },
                "carrier_to_model_ms": spread(&mut readings.to_model),
                "model_to_carrier_ms": spread(&mut readings.to_carrier),
                "webhook_to_twiml_ms": spread(&mut readings.document),
                "speech_started_to_clear_ms": spread(&mut readings.clear),
                "own_lateness_ms": spread(&mut readings.late),
            });
        });
        report
    }

    fn with(&self, act: impl FnOnce(&mut Readings, u32, Instant)) {
        let Some(meter) = &self.0 else { return };
        let now = Instant::now();
        let mut readings: MutexGuard<'_, Readings> =
            meter.readings.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut readings, microseconds(now.duration_since(meter.began)), now);
    }
}

/// The model's end of one call: it learns from the caller's frames which call it is.
#[derive(Clone, Default)]
pub(crate) struct Leg {
    tap: Tap,
    call: Option<u32>,
}

impl Leg {
    pub(crate) fn new(tap: Tap) -> Leg {
        Leg { tap, call: None }
    }

    /// Audio of the caller has arrived at the model.
    pub(crate) fn heard(&mut self, audio: &[u8]) {
        self.tap.with(|readings, now_us, _| {
            for stamp in audio.chunks(FRAME).filter_map(read) {
                self.call = Some(stamp.call);
                readings.to_model.push(now_us.wrapping_sub(stamp.at_us));
            }
        });
    }

    /// A delta is about to be written.
    pub(crate) fn send_delta(&self, delta: &mut [u8]) {
        let Some(call) = self.call else { return };
        self.tap.with(|readings, now_us, _| {
            if write(delta, call, now_us) {
                readings.deltas_sent += 1;
            }
        });
    }

    /// Whether deltas are to be copied for [`Leg::send_delta`].
    pub(crate) fn measures(&self) -> bool {
        self.call.is_some()
    }

    pub(crate) fn speech_started(&self) {
        let Some(call) = self.call else { return };
        self.tap.with(|readings, _, now| {
            readings.speech_started.insert(call, now);
        });
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    call: u32,
    at_us: u32,
}

fn write(audio: &mut [u8], call: u32, at_us: u32) -> bool {
    let Some(room) = audio.get_mut(..STAMP_BYTES) else { return false };
    let nibbles = (0..4).rev().map(|n| call >> (4 * n)).chain((0..8).rev().map(|n| at_us >> (4 * n)));
    let codes = nibbles.map(|nibble| QUIET | u8::try_from(nibble & 0x0f).unwrap_or(0));
    room.iter_mut().zip(MAGIC.into_iter().chain(codes)).for_each(|(to, code)| *to = code);
    true
}

fn read(audio: &[u8]) -> Option<Stamp> {
    let codes = audio.get(..STAMP_BYTES)?.strip_prefix(&MAGIC)?;
    let number = |codes: &[u8]| {
        codes
            .iter()
            .try_fold(0_u32, |sum, code| (QUIET <= *code).then_some(sum << 4 | u32::from(code & 0x0f)))
    };
    let (call, at_us) = codes.split_at_checked(4)?;
    Some(Stamp { call: number(call)?, at_us: number(at_us)? })
}

/// Whether a measurement has written over the beginning of this audio.
pub(crate) fn is_stamped(audio: &[u8]) -> bool {
    read(audio).is_some()
}

/// Seventy minutes fit, which is longer than any load.
fn microseconds(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

fn spread(samples: &mut [u32]) -> Value {
    samples.sort_unstable();
    let at = |per_mille: usize| {
        let index = (samples.len().saturating_sub(1)) * per_mille / 1_000;
        samples.get(index).map(|us| f64::from(*us) / 1_000.0)
    };
    json!({ "count": samples.len(), "p50": at(500), "p90": at(900), "p99": at(990), "max": at(1_000) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::ulaw::{SILENCE, loudness};

    #[test]
    fn a_stamp_is_read_back_and_not_heard() {
        for (call, at_us) in [(0, 0), (299, 61_000_123), (65_535, u32::MAX)] {
            let mut frame = [SILENCE; FRAME];
            assert!(write(&mut frame, call, at_us));
            assert_eq!(read(&frame), Some(Stamp { call, at_us }));
            assert!(loudness(&frame) < 15, "{}", loudness(&frame));
        }
        assert_eq!(read(&[SILENCE; FRAME]), None);
        assert!(!write(&mut [0; 15], 1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn each_way_is_timed_and_what_is_lost_is_counted() {
        let tap = Tap::measuring();
        let mut model = Leg::new(tap.clone());
        let (mut one, mut two) = ([SILENCE; FRAME], [SILENCE; FRAME]);
        tap.send_frame(7, &mut one);
        tap.send_frame(7, &mut two);
        tokio::time::advance(Duration::from_millis(3)).await;
        model.heard(&one);
        model.speech_started();
        let mut delta = [SILENCE; 10 * FRAME];
        model.send_delta(&mut delta);
        tokio::time::advance(Duration::from_millis(5)).await;
        tap.receive_audio(&delta);
        tap.receive_clear(8);
        tap.receive_clear(7);
        tap.receive_clear(7);
        let report = tap.report();
        assert_eq!(report["frames"], json!({ "sent": 2, "received": 1, "lost": 1 }));
        assert_eq!(report["deltas"], json!({ "sent": 1, "received": 1, "lost": 0 }));
        assert_eq!(report["carrier_to_model_ms"]["p50"], 3.0);
        assert_eq!(report["model_to_carrier_ms"]["max"], 5.0);
        assert_eq!(
            report["speech_started_to_clear_ms"],
            json!({ "count": 1, "p50": 5.0, "p90": 5.0, "p99": 5.0, "max": 5.0 })
        );
    }

    #[test]
    fn without_measuring_audio_stays_as_it_is() {
        let (tap, mut frame) = (Tap::default(), [SILENCE; FRAME]);
        tap.send_frame(1, &mut frame);
        assert_eq!(frame, [SILENCE; FRAME]);
        assert_eq!(tap.report(), Value::Null);
    }
}
