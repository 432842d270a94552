//! The stand-in Twilio: rings the product's numbers with signed webhooks, carries media streams in real time, plays
//! callers by script, keeps the REST interface that the product may call back, and tells everything that happened as a
//! timeline. Writes its own JSON by hand and must never know a type of the product. Calls are ordered through
//! [`crate::control`]; a call's life is in [`call`], then [`talk`], then [`stream`].

mod call;
mod callbacks;
mod caller;
mod ear;
mod frames;
mod line;
mod order;
mod performer;
mod playback;
mod recording;
mod rest;
mod signature;
mod socket;
mod stream;
mod talk;
#[cfg(test)]
mod tests;
mod timeline;
mod twiml;
mod web;

pub(crate) use call::{Call, Command};
pub(crate) use order::Order;
pub(crate) use rest::RestFault;

use crate::speech::Library;
use crate::tap::Tap;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::task::TaskTracker;
use web::Web;

/// Calls remembered; past it nothing is placed any more.
const CALLS_MAX: usize = 100_000;

/// Clones share one Twilio.
#[derive(Clone)]
pub(crate) struct Twilio(Arc<Inside>);

struct Inside {
    speech: Library,
    web: Web,
    tap: Tap,
    tasks: TaskTracker,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    calls: HashMap<String, Arc<Call>>,
    /// Auth tokens by account.
    accounts: HashMap<String, String>,
    faults: Vec<RestFault>,
}

impl Twilio {
    pub(crate) fn new(speech: Library) -> Result<Twilio, String> {
        Twilio::measured(speech, Tap::default())
    }

    /// The same, whose calls take part in a measurement.
    pub(crate) fn measured(speech: Library, tap: Tap) -> Result<Twilio, String> {
        let (web, tasks) = (Web::new()?, TaskTracker::new());
        Ok(Twilio(Arc::new(Inside { speech, web, tap, tasks, books: Mutex::default() })))
    }

    /// The interface that the product calls.
    pub(crate) fn router(&self) -> axum::Router {
        rest::router(self.clone())
    }

    pub(crate) fn open_account(&self, sid: String, auth_token: String) {
        self.books().accounts.insert(sid, auth_token);
    }

    /// Faults of the REST interface, used up in the order in which they match.
    pub(crate) fn fail(&self, fault: RestFault) {
        self.books().faults.push(fault);
    }

    /// Begins a call; it goes on by itself.
    pub(crate) async fn place(&self, order: Order) -> Result<Arc<Call>, String> {
        let (order, caller) = order.checked().await?;
        if CALLS_MAX <= self.books().calls.len() {
            return Err(format!("this stand-in remembers {CALLS_MAX} calls and no more"));
        }
        let mut books = self.books();
        let number = u32::try_from(books.calls.len()).unwrap_or(u32::MAX);
        let (call, commands) = Call::new(order, number, now());
        books.accounts.insert(call.order.account_sid.clone(), call.order.auth_token.clone());
        books.calls.insert(call.sid.clone(), Arc::clone(&call));
        drop(books);
        self.spawn(call::run(Arc::clone(&call), caller, self.clone(), commands));
        Ok(call)
    }

    pub(crate) fn call(&self, sid: &str) -> Option<Arc<Call>> {
        self.books().calls.get(sid).map(Arc::clone)
    }

    pub(crate) fn calls(&self) -> Vec<Arc<Call>> {
        self.books().calls.values().map(Arc::clone).collect()
    }

    fn speech(&self) -> &Library {
        &self.0.speech
    }

    fn tap(&self) -> &Tap {
        &self.0.tap
    }

    fn web(&self) -> &Web {
        &self.0.web
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.0.tasks.spawn(task));
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wall clock, for the dates that Twilio puts into its answers.
#[expect(
    clippy::disallowed_methods,
    reason = "the stand-in is another program: the product's clock is not its own"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
}
