//! What can be followed while it happens.

use async_graphql::{Context, ID, Subscription as GraphQlSubscription};
use futures_util::{Stream, stream};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::asked;
use super::call::Turn;
use super::problem::{Problem, id};
use crate::access::TenantScope;
use crate::calls::{self, CallState, Stretch};
use crate::db::Db;
use crate::db::listen::{Channel, Heard};
use crate::ids::CallId;

const TURNS_AT_ONCE: u16 = 100;
/// Looks again after this long even when nothing was heard: a notification may be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Everything that can be followed while it happens.
pub struct Subscription;

/// Everything that can be followed while it happens.
#[GraphQlSubscription]
impl Subscription {
    /// The turns of a call, those that are there and then each as it is written, in order, none twice and none left out.
    /// Completes when the call is over and all of it was sent. After a broken connection, ask again from the last
    /// sequence that came.
    async fn call_turns(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The call's id.")] call_id: ID,
        #[graphql(desc = "Only turns after this sequence; 0 for all.", default = 0)] after_sequence: i32,
    ) -> Result<impl Stream<Item = Result<Turn, Problem>>, Problem> {
        let (door, scope) = asked(ctx)?;
        let call = id(&call_id, "call")?;
        // Listening begins before the first look, so that nothing falls in between.
        let heard = door.hub.subscribe(Channel::Calls);
        let mut following = Following {
            db: door.db.clone(),
            scope: *scope,
            call,
            after: after_sequence,
            heard,
            seen: Seen::default(),
        };
        following.look().await?;
        Ok(stream::unfold(Some(following), |following| async {
            let mut following = following?;
            match following.next().await {
                Ok(Some(turn)) => Some((Ok(turn), Some(following))),
                Ok(None) => None,
                Err(problem) => Some((Err(problem), None)),
            }
        }))
    }
}

/// What the last look brought.
#[derive(Default)]
struct Seen {
    turns: VecDeque<calls::Turn>,
    /// There may be more than were read at once.
    more: bool,
    over: bool,
}

/// A call that is being followed.
struct Following {
    db: Db,
    scope: TenantScope,
    call: CallId,
    after: i32,
    heard: Receiver<Heard>,
    seen: Seen,
}

impl Following {
    async fn next(&mut self) -> Result<Option<Turn>, Problem> {
        loop {
            if let Some(turn) = self.seen.turns.pop_front() {
                self.after = turn.sequence;
                return Ok(Some(turn.into()));
            }
            if self.seen.over {
                return Ok(None);
            }
            if !self.seen.more {
                self.wait().await;
            }
            match self.look().await {
                Ok(()) => {}
                // A moment without room ends nothing: what was written meanwhile is read a little later.
                Err(problem) => match problem.retry_after() {
                    Some(wait) => {
                        tokio::time::sleep(wait).await;
                        self.seen.more = true;
                    }
                    None => return Err(problem),
                },
            }
        }
    }

    /// Reads what was written since. The state is read first: what is over cannot grow afterwards.
    async fn look(&mut self) -> Result<(), Problem> {
        let mut session = self.db.tenant(&self.scope).await?;
        let mut tx = session.read();
        let state = calls::get(&mut tx, self.call).await?.state;
        let asked = Stretch { call: self.call, after: self.after, limit: TURNS_AT_ONCE };
        let turns = calls::turns(&mut tx, asked).await?;
        let more = turns.len() == usize::from(TURNS_AT_ONCE);
        self.seen = Seen { turns: turns.into(), more, over: state == CallState::Ended && !more };
        Ok(())
    }

    /// Returns when there may be something new: a notice about the call, a gap, silence for long.
    async fn wait(&mut self) {
        let about_it = format!("{} {}", self.scope.tenant(), self.call);
        let notice = async {
            loop {
                match self.heard.recv().await {
                    Ok(Heard::Notice(payload)) if payload == about_it => return,
                    Ok(Heard::Notice(_)) => {}
                    Ok(Heard::Gap) | Err(RecvError::Lagged(_) | RecvError::Closed) => return,
                }
            }
        };
        // A closed hub answers at once: the pause keeps that from becoming a busy loop.
        let all = async {
            notice.await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        drop(tokio::time::timeout(LOOK_AGAIN, all).await);
    }
}
