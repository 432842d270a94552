//! What goes wrong, in two kinds: [`Error`], which whoever called can decide on, and [`Fault`], which only an
//! operator can. Must never know a transport: status codes and payloads are made at the rim.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// A refusal or failure of an operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The actor's role or scopes do not cover the action.
    #[error("this credential may not do that")]
    Forbidden,
    /// The thing does not exist for this tenant; another tenant's thing is answered alike.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The input breaks one or more rules; each violation names its place.
    #[error("the input breaks {} rule(s)", .0.len())]
    Invalid(Vec<Violation>),
    /// The state does not allow it, e.g. a slug that is taken.
    #[error("{message}")]
    Conflict {
        /// Stable machine-readable code.
        code: &'static str,
        /// What stands in the way and what to do next.
        message: String,
    },
    /// The tenant has as much under way as it may; nothing was begun.
    #[error("too much of this business is under way at once; try again in a moment")]
    Busy {
        /// When it is worth another try.
        retry_after: Duration,
    },
    /// A statement ran longer than the tenant may have one run; its transaction came to nothing.
    #[error("this takes longer than it may; ask for less at once")]
    TimedOut(#[source] Fault),
    /// Nobody who calls can decide on this.
    #[error("internal fault")]
    Fault(#[source] Fault),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        if fault.timed_out { Self::TimedOut(fault) } else { Self::Fault(fault) }
    }
}

impl Error {
    /// An [`Error::Invalid`] with one violation.
    pub fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { path: path.into(), message: message.into() }])
    }

    /// The stable code that clients may match on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::NotFound(_) => "not_found",
            Self::Invalid(_) => "invalid",
            Self::Conflict { code, .. } => code,
            Self::Busy { .. } => "busy",
            Self::TimedOut(_) => "timeout",
            Self::Fault(_) => "internal",
        }
    }

    /// All that is known of it on one line, for logs and for whoever is at the command line.
    pub fn chain(&self) -> String {
        match self {
            Self::Fault(fault) | Self::TimedOut(fault) => fault.chain(),
            Self::Forbidden
            | Self::NotFound(_)
            | Self::Invalid(_)
            | Self::Conflict { .. }
            | Self::Busy { .. } => self.to_string(),
        }
    }
}

/// One broken rule of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where, as a JSON Pointer or a field name; empty for the whole.
    pub path: String,
    /// Which rule, for people.
    pub message: String,
}

/// A failure that only an operator can mend: what was being done, and the chain of causes. Its `Display` never
/// repeats the cause; [`Fault::chain`] prints all of it, once, where it is handled.
#[derive(Debug)]
pub struct Fault {
    doing: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    timed_out: bool,
}

impl Fault {
    /// A fault without an underlying cause.
    pub fn new(doing: impl Into<String>) -> Self {
        Self { doing: doing.into(), source: None, timed_out: false }
    }

    /// A fault with its cause.
    pub fn caused(doing: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { doing: doing.into(), source: Some(source.into()), timed_out: false }
    }

    /// The same, and that it is a statement which ran longer than it may: as an [`Error`] it is one that whoever asked can
    /// decide on.
    #[must_use]
    pub fn for_time(self) -> Self {
        Self { timed_out: true, ..self }
    }

    /// Whether a statement ran longer than it may.
    pub fn is_for_time(&self) -> bool {
        self.timed_out
    }

    /// The whole chain on one line, outermost first.
    pub fn chain(&self) -> String {
        let mut line = self.doing.clone();
        let mut next = self.source();
        while let Some(error) = next {
            line.push_str(": ");
            line.push_str(&error.to_string());
            next = error.source();
        }
        line
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl StdError for Fault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

/// Turns any error into a [`Fault`] that says what was being done.
pub trait OrFault<T> {
    /// Wraps the error with what was being done.
    fn or_fault(self, doing: &'static str) -> Result<T, Fault>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> OrFault<T> for Result<T, E> {
    fn or_fault(self, doing: &'static str) -> Result<T, Fault> {
        self.map_err(|e| Fault::caused(doing, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_names_every_cause_once() {
        let io = std::io::Error::other("disk on fire");
        let inner: Result<(), _> = Err::<(), _>(io).or_fault("write the snapshot");
        let outer = inner.or_fault("back up the tenant").unwrap_err();
        assert_eq!(outer.to_string(), "back up the tenant");
        assert_eq!(outer.chain(), "back up the tenant: write the snapshot: disk on fire");
    }

    #[test]
    fn what_took_too_long_is_for_whoever_asked_to_decide_on() {
        assert_eq!(Error::from(Fault::new("run a statement")).code(), "internal");
        assert_eq!(Error::from(Fault::new("run a statement").for_time()).code(), "timeout");
    }
}
