//! What the carrier's webhooks ask: may this call come in, is that one over, what is said after it. The signatures are
//! verified here; nobody else's word about a tenant is taken but the dialled number's.

use std::time::Duration;
use tokio::time::{sleep, timeout};

use super::Gateway;
use super::ending::EndReason;
use crate::access::{Actor, Role, TenantScope};
use crate::calls::{self, Arrival, Arrived};
use crate::error::{Error, Fault};
use crate::ids::PhoneNumber;
use crate::providers::twilio::rest::Account;
use crate::providers::twilio::webhook::{IncomingCall, StatusCallback};
use crate::providers::twilio::{AccountSid, CallSid};
use crate::refusals::{self, Limit};
use crate::secret::Secret;
use crate::sentences::Language;
use crate::tenants::{self, State, reach};

/// How long Postgres may take before a caller is told that we have trouble; together with the rest below 3 s.
const ANSWER_MAX: Duration = Duration::from_millis(2_600);
/// How long the end of a call that another process holds is waited for.
const ENDING_MAX: Duration = Duration::from_secs(2);
const ENDING_PAUSE: Duration = Duration::from_millis(200);

/// What becomes of an incoming call.
#[derive(Debug)]
pub enum Reception {
    /// It is connected to a stream that this token opens.
    Connect {
        /// Good for one stream, for a short while.
        token: Secret,
    },
    /// Nobody has this number.
    NotInService,
    /// The business that has this number, and this language, takes no calls at present.
    Closed(Language),
    /// The number belongs to another carrier account than the one that signed.
    Forged,
    /// Every place is taken, or this process stops.
    NoRoom,
    /// The business has as many calls as it may have at once.
    Busy {
        /// What it wants said, if it said so.
        message: Option<String>,
        /// The language of its agent.
        language: Language,
    },
    /// The call was connected or ended before.
    Over,
}

/// What the caller hears once the stream is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    /// Nothing: everything was said.
    HangUp,
    /// An apology, in this language: we broke off.
    Apologise(Language),
}

impl Gateway {
    /// The token that an account's requests are signed with; `None` for an account that is nobody's.
    pub async fn account(&self, sid: &AccountSid) -> Result<Option<Account>, Error> {
        if sid == &self.0.platform.sid {
            return Ok(Some(self.0.platform.clone()));
        }
        in_time(async {
            let found = reach::carrier_token(&self.0.db, sid.as_str()).await?;
            Ok(found.map(|(_, auth_token)| Account { sid: sid.clone(), auth_token }))
        })
        .await
    }

    /// Takes in a call whose webhook was verified.
    pub async fn receive(&self, incoming: &IncomingCall) -> Result<Reception, Error> {
        if self.0.drain.is_cancelled() || !self.0.live.has_room() {
            return Ok(Reception::NoRoom);
        }
        in_time(self.take_in(incoming)).await
    }

    async fn take_in(&self, incoming: &IncomingCall) -> Result<Reception, Error> {
        let scope = match self.reach(&incoming.to, &incoming.account_sid).await? {
            Reached::Nobody => return Ok(Reception::NotInService),
            Reached::Foreign => return Ok(Reception::Forged),
            Reached::Closed(scope) => return Ok(Reception::Closed(self.language(&scope).await)),
            Reached::Open(scope) => scope,
        };
        let arrival = Arrival {
            call_sid: incoming.call_sid.as_str().to_owned(),
            account_sid: incoming.account_sid.as_str().to_owned(),
            from: incoming.from.clone(),
            to: incoming.to.clone(),
        };
        let mut session = self.0.db.tenant(&scope).await?;
        let mut tx = session.begin().await?;
        match calls::arrive(&mut tx, &arrival).await {
            Ok(Arrived::In { call, stream_token }) => {
                tx.commit().await?;
                tracing::info!(%call, tenant = %scope.tenant(), "a call comes in");
                Ok(Reception::Connect { token: stream_token })
            }
            Ok(Arrived::Busy { message, language }) => {
                refusals::note(Limit::Calls, scope.tenant());
                Ok(Reception::Busy { message, language: Language::of(&language) })
            }
            Err(Error::Conflict { .. }) => Ok(Reception::Over),
            Err(error) => Err(error),
        }
    }

    /// Takes in what a verified status callback reports of a call to this number. Late, repeated and unknown ones
    /// change nothing.
    pub async fn report(&self, news: &StatusCallback, to: &PhoneNumber) -> Result<(), Error> {
        if !news.status.is_final() {
            return Ok(());
        }
        self.0.live.call_over(&news.call_sid);
        in_time(async {
            let (Reached::Open(scope) | Reached::Closed(scope)) = self.reach(to, &news.account_sid).await?
            else {
                return Ok(());
            };
            let mut session = self.0.db.tenant(&scope).await?;
            let mut tx = session.begin().await?;
            match calls::report_ended(&mut tx, news.call_sid.as_str()).await {
                Ok(()) => Ok(tx.commit().await?),
                Err(Error::NotFound(_)) => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// What follows a stream that is over. In doubt, and while Postgres is gone, the caller is owed an apology.
    pub async fn after(&self, call: &CallSid, to: &PhoneNumber, account: &AccountSid) -> Aftermath {
        let (reason, language) = match self.0.live.ending(call) {
            Some((reason, language)) => (Some(reason), language),
            None => self.ending_elsewhere(call, to, account).await,
        };
        match reason.map(EndReason::apology_due) {
            Some(false) => Aftermath::HangUp,
            Some(true) | None => Aftermath::Apologise(language),
        }
    }

    /// How a call that another process held ended, and in which language.
    async fn ending_elsewhere(
        &self,
        call: &CallSid,
        to: &PhoneNumber,
        account: &AccountSid,
    ) -> (Option<EndReason>, Language) {
        let mut language = Language::English;
        let looking = timeout(ENDING_MAX, async {
            let (Reached::Open(scope) | Reached::Closed(scope)) = self.reach(to, account).await.ok()? else {
                return None;
            };
            language = self.language(&scope).await;
            self.written_ending(call, &scope).await
        });
        let reason = looking.await.unwrap_or(None);
        (reason, language)
    }

    /// How a call ended, once that was written.
    async fn written_ending(&self, call: &CallSid, scope: &TenantScope) -> Option<EndReason> {
        loop {
            let mut session = self.0.db.tenant(scope).await.ok()?;
            let mut tx = session.begin().await.ok()?;
            if let Some(code) = calls::end_reason(&mut tx, call.as_str()).await.ok()? {
                return EndReason::from_code(&code);
            }
            drop(tx);
            drop(session);
            sleep(ENDING_PAUSE).await;
        }
    }

    /// The language of a business's agent. While it cannot be told, English is better than silence.
    async fn language(&self, scope: &TenantScope) -> Language {
        let asked: Result<_, Error> = async {
            let mut session = self.0.db.tenant(scope).await?;
            let mut tx = session.begin().await?;
            tenants::agent(&mut tx).await
        }
        .await;
        asked.map_or(Language::English, |agent| Language::of(&agent.language))
    }

    async fn reach(&self, to: &PhoneNumber, account: &AccountSid) -> Result<Reached, Fault> {
        let Some(line) = reach::line(&self.0.db, to).await? else { return Ok(Reached::Nobody) };
        let owner = line.account_sid.as_deref().unwrap_or(self.0.platform.sid.as_str());
        if owner != account.as_str() {
            return Ok(Reached::Foreign);
        }
        let scope = TenantScope::mint(line.tenancy, Actor::Carrier, Role::Carrier);
        Ok(if line.state == State::Active { Reached::Open(scope) } else { Reached::Closed(scope) })
    }
}

/// Whom a verified webhook reaches.
enum Reached {
    Nobody,
    /// Somebody whose number is not in the account that signed.
    Foreign,
    Closed(TenantScope),
    Open(TenantScope),
}

async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(ANSWER_MAX, work).await {
        Ok(done) => done,
        Err(_) => Err(Fault::new("answer the carrier in time").into()),
    }
}
