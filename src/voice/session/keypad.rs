//! Keys that the caller presses, gathered until a pause or `#`. Must never know what they mean.

use std::time::Duration;

use crate::providers::twilio::media::Key;

/// The pause that ends an input.
const PAUSE: Duration = Duration::from_millis(1_500);
/// The most keys of one input; an account number has fewer.
const KEYS_MAX: usize = 32;

#[derive(Default)]
pub(super) struct Keypad {
    keys: String,
    first: Duration,
    last: Duration,
}

/// What was pressed, and when.
pub(super) struct Keys {
    pub(super) keys: String,
    pub(super) pressed: (Duration, Duration),
}

impl Keypad {
    /// A key was pressed. Gives the input that it completes.
    pub(super) fn press(&mut self, now: Duration, key: Key) -> Option<Keys> {
        if self.keys.is_empty() {
            self.first = now;
        }
        self.last = now;
        self.keys.push(key.as_char());
        if key.as_char() == '#' || KEYS_MAX <= self.keys.len() { self.take() } else { None }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        (!self.keys.is_empty()).then_some(self.last + PAUSE)
    }

    /// The input that the pause completes.
    pub(super) fn tick(&mut self, now: Duration) -> Option<Keys> {
        if self.deadline()? <= now { self.take() } else { None }
    }

    /// Whatever was pressed.
    pub(super) fn take(&mut self) -> Option<Keys> {
        if self.keys.is_empty() {
            return None;
        }
        Some(Keys { keys: std::mem::take(&mut self.keys), pressed: (self.first, self.last) })
    }
}
