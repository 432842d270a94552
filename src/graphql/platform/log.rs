//! The audit log, page by page.

use async_graphql::{Context, Json, SimpleObject};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{asked, cursors, read};
use crate::audit::{self, Chain};
use crate::db::page::{Cursors, Page};
use crate::graphql::page::{Listed, before, connection, place_of};
use crate::graphql::problem::Problem;

/// A row of an audit log: who did what, why, and what was before and after.
#[derive(SimpleObject)]
pub(super) struct AuditEntry {
    /// Its place in its log, from 1.
    sequence: i64,
    /// When.
    at: DateTime<Utc>,
    /// Who: the id of an operator or of a job, or command line.
    actor: String,
    /// What, e.g. tenant.suspend.
    action: String,
    /// Of whom or what: a slug, a number, a host, a name.
    subject: String,
    /// Why, where that was asked.
    reason: Option<String>,
    /// How it was.
    before: Option<Json<Value>>,
    /// How it is.
    after: Option<Json<Value>>,
}

impl From<audit::Entry> for AuditEntry {
    fn from(entry: audit::Entry) -> Self {
        let told = |value: Value| Some(value).filter(|value| !value.is_null()).map(Json);
        Self {
            sequence: entry.sequence,
            at: entry.at,
            actor: entry.actor,
            action: entry.action,
            subject: entry.subject,
            reason: entry.reason,
            before: told(entry.before),
            after: told(entry.after),
        }
    }
}

/// A page of a log, newest first.
pub(super) async fn page(
    ctx: &Context<'_>,
    chain: Chain,
    first: Option<i32>,
    after: Option<String>,
) -> Result<Listed<AuditEntry>, Problem> {
    let cursors = match chain {
        Chain::Platform => cursors(ctx, "platform.audit")?,
        Chain::Tenant(tenant) => Cursors::new(asked(ctx)?.0.db.master_key(), tenant, "platform.audit"),
    };
    let page = Page::asked(first, after.as_deref(), &cursors)?;
    let list = async |tx: &mut _| audit::list(tx, chain, before(page), page.limit()).await;
    let rows = read(ctx, list).await?;
    Ok(connection(page, rows, &cursors, |entry| place_of(entry.sequence), AuditEntry::from))
}
