//! Prints what is said in the calls of the two businesses as it is written: the words, and the order, in which staff see
//! them. Whoever was cut off stands before whoever cut in, with what had been heard by then.

use neurosphere::access::{Actor, Role, TenantScope};
use neurosphere::app::Running;
use neurosphere::calls::{self, Speaker, Stretch, Turn};
use neurosphere::db::listen::{Channel, Heard};
use neurosphere::db::page::Page;
use neurosphere::ids::{CallId, TenantId};
use std::collections::HashMap;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Business;
use crate::commands::{refused, told};

/// More than anybody says in one call.
const TURNS_MAX: u16 = 5_000;
/// More calls of one business than anybody makes in a demo.
const CALLS_MAX: u16 = 100;

pub(super) struct Telling<'a> {
    running: &'a Running,
    businesses: &'a [Business; 2],
    heard: Receiver<Heard>,
    calls: HashMap<CallId, Progress>,
    /// Which call was printed last.
    current: Option<CallId>,
}

/// How far a call was printed.
#[derive(Clone, Copy, Default)]
struct Progress {
    sequence: i32,
    summed_up: bool,
}

impl<'a> Telling<'a> {
    /// Listens from now on.
    pub(super) fn begin(running: &'a Running, businesses: &'a [Business; 2]) -> Self {
        let heard = running.app.hub.subscribe(Channel::Calls);
        Self { running, businesses, heard, calls: HashMap::new(), current: None }
    }

    /// Prints until so many more calls were summed up.
    pub(super) async fn calls(&mut self, count: usize) -> Result<(), String> {
        let mut summed_up = 0;
        while summed_up < count {
            summed_up += match self.heard.recv().await {
                Ok(Heard::Notice(payload)) => self.look_at(&payload).await?,
                Ok(Heard::Gap) | Err(RecvError::Lagged(_)) => self.look_at_all().await?,
                Err(RecvError::Closed) => return Err("nobody listens to the database any more".to_owned()),
            };
        }
        Ok(())
    }

    /// Prints what is new of the call that a notice names. Gives 1 if it was just summed up.
    async fn look_at(&mut self, notice: &str) -> Result<usize, String> {
        let ids = notice.split_once(' ').and_then(|(tenant, call)| {
            Some((tenant.parse::<TenantId>().ok()?, call.parse::<CallId>().ok()?))
        });
        let Some((tenant, call)) = ids else { return Ok(0) };
        match self.businesses.iter().find(|business| business.tenancy.tenant == tenant) {
            Some(business) => self.look(business, call).await,
            None => Ok(0),
        }
    }

    /// Prints what is new of any call, as notices were missed. Gives how many were just summed up.
    async fn look_at_all(&mut self) -> Result<usize, String> {
        let mut summed_up = 0;
        for business in self.businesses {
            let scope = TenantScope::mint(business.tenancy, Actor::CommandLine, Role::Owner);
            let mut session = self.running.app.db.tenant(&scope).await.map_err(refused)?;
            let mut tx = session.begin().await.map_err(told)?;
            let page = Page { first: CALLS_MAX, after: None };
            let calls = calls::list(&mut tx, page).await.map_err(refused)?;
            tx.commit().await.map_err(told)?;
            drop(session);
            // Newest first, and told as they came.
            for call in calls.iter().rev() {
                summed_up += self.look(business, call.id).await?;
            }
        }
        Ok(summed_up)
    }

    async fn look(&mut self, business: &Business, id: CallId) -> Result<usize, String> {
        let progress = self.calls.get(&id).copied().unwrap_or_default();
        if progress.summed_up {
            return Ok(0);
        }
        let scope = TenantScope::mint(business.tenancy, Actor::CommandLine, Role::Owner);
        let mut session = self.running.app.db.tenant(&scope).await.map_err(refused)?;
        let mut tx = session.begin().await.map_err(told)?;
        // The summary is read first: what is summed up has no more turns.
        let summary = calls::summaries(&mut tx, &[id]).await.map_err(refused)?.pop();
        let turns = calls::turns(&mut tx, Stretch { call: id, after: progress.sequence, limit: TURNS_MAX })
            .await
            .map_err(refused)?;
        let call = calls::get(&mut tx, id).await.map_err(refused)?;
        tx.commit().await.map_err(told)?;
        if turns.is_empty() && summary.is_none() {
            return Ok(0);
        }
        if self.current.replace(id) != Some(id) {
            println!("   [{} at {}]", id, business.slug);
        }
        for turn in &turns {
            println!("{}", line(turn, business.agent));
        }
        if let Some(summary) = &summary {
            println!("   [{}]", call.end_reason.as_deref().unwrap_or("over"));
            println!("   after the call: {} [{}]", summary.text, summary.source.name());
        }
        let sequence = turns.last().map_or(progress.sequence, |last| last.sequence);
        self.calls.insert(id, Progress { sequence, summed_up: summary.is_some() });
        Ok(usize::from(summary.is_some()))
    }
}

fn line(turn: &Turn, agent: &str) -> String {
    let who = match turn.speaker {
        Speaker::Caller => "Caller",
        Speaker::Agent => agent,
        Speaker::Keypad => "[keys]",
        Speaker::Tool => "[tool]",
    };
    let cut = match turn.heard_ms {
        Some(heard_ms) if turn.interrupted => format!(" … [cut off after {heard_ms} ms]"),
        Some(_) | None => String::new(),
    };
    format!("   {:>6} ms  {who:<8} {}{cut}", turn.started_ms, turn.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_who_when_what_and_how_much_was_heard() {
        let turn = |speaker, text: &str| Turn {
            sequence: 1,
            speaker,
            text: text.to_owned(),
            started_ms: 1_234,
            ended_ms: 5_000,
            heard_ms: None,
            interrupted: false,
        };
        let whole = Turn { heard_ms: Some(900), ..turn(Speaker::Agent, "Hello.") };
        let cut = Turn { heard_ms: Some(3_012), interrupted: true, ..turn(Speaker::Agent, "A car policy") };
        for (turn, expected) in [
            (turn(Speaker::Caller, "Wait."), "     1234 ms  Caller   Wait."),
            (whole, "     1234 ms  Barbara  Hello."),
            (cut, "     1234 ms  Barbara  A car policy … [cut off after 3012 ms]"),
            (turn(Speaker::Tool, "Remembered: x"), "     1234 ms  [tool]   Remembered: x"),
            (turn(Speaker::Keypad, "42#"), "     1234 ms  [keys]   42#"),
        ] {
            assert_eq!(line(&turn, "Barbara"), expected);
        }
    }
}
