//! GraphQL: the schema that a business's own software and dashboards read and write through, and beside it the
//! platform's own ([`platform`]). Each resolver opens a transaction of the asking tenant, or on the control plane on the
//! asking operator's behalf, and calls one operation of a slice. Owns wire types, descriptions and limits; must never
//! know SQL, a rule of the business, or how a request reached it.
//!
//! Start at [`query::Query`]; what a refusal looks like is in [`problem`], what is refused unread in [`limits`].

mod agent;
mod batch;
mod call;
mod caller;
mod cost;
mod keys;
pub mod limits;
mod loaders;
mod member_changes;
mod members;
mod memory;
mod mutation;
mod page;
pub mod platform;
pub mod problem;
mod query;
pub mod reference;
mod subscription;
mod tenant;
pub mod trusted;

use async_graphql::{Context, ObjectType, Request, SDLExportOptions, SchemaBuilder, SubscriptionType};
use chrono::{DateTime, Utc};
use tokio_util::task::TaskTracker;

use crate::access::TenantScope;
use crate::db::Db;
use crate::db::listen::Hub;
use crate::db::page::Cursors;
use crate::db::tx::{TenantSession, TenantTx};
use crate::error::{Error, Fault};
use batch::Batches;
use call::{Call, CallEvent, Turn};
use caller::Caller;
use cost::Cost;
use keys::ApiKey;
use loaders::Reader;
use members::{Invitation, Member, Session};
use memory::Memory;
use mutation::Mutation;
use page::Listed;
use problem::Problem;
use query::Query;
use subscription::Subscription;

/// What the schema is called among people.
pub const TITLE: &str = "The API of a business";

/// The schema, ready to execute.
pub type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// What resolvers reach the business through.
#[derive(Clone)]
pub struct Door {
    /// Postgres.
    pub db: Db,
    /// Tells subscriptions to look again.
    pub hub: Hub,
    /// What runs the loaders' batches, and is waited for on a stop.
    pub tasks: TaskTracker,
}

fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    limited(Schema::build(Query, Mutation::default(), Subscription))
        .override_output_type_description::<Listed<ApiKey>>("A page of API keys.")
        .override_output_type_description::<Listed<Call>>("A page of calls.")
        .override_output_type_description::<Listed<CallEvent>>("A page of a call's log.")
        .override_output_type_description::<Listed<Caller>>("A page of callers.")
        .override_output_type_description::<Listed<Invitation>>("A page of invitations.")
        .override_output_type_description::<Listed<Member>>("A page of members.")
        .override_output_type_description::<Listed<Session>>("A page of a member's sessions.")
        .override_output_type_description::<Listed<Memory>>("A page of what is remembered about a caller.")
        .override_output_type_description::<Listed<Turn>>("A page of what was said in a call.")
}

/// What both schemas have in common: how much a request may ask for, and the words for what is not ours.
fn limited<Q, M, S>(builder: SchemaBuilder<Q, M, S>) -> SchemaBuilder<Q, M, S> {
    builder
        .extension(Cost)
        .limit_directives(limits::DIRECTIVES_MAX)
        .disable_suggestions()
        .override_output_type_description::<DateTime<Utc>>(
            "A moment in UTC by RFC 3339, e.g. 2026-01-31T16:00:00Z.",
        )
}

/// The schema behind a door.
pub fn schema(door: Door) -> Schema {
    builder().data(door).finish()
}

/// The schema as text, as it stands in `graphql/schema.graphql`.
pub fn sdl() -> String {
    printed(builder())
}

fn printed<Q, M, S>(builder: SchemaBuilder<Q, M, S>) -> String
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let options = SDLExportOptions::new().prefer_single_line_descriptions().use_space_ident();
    let text = builder.finish().sdl_with_options(options);
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n").trim())
}

/// Lends a request the right to act for a tenant.
pub fn authorised(request: Request, door: &Door, scope: TenantScope) -> Request {
    let reader = Reader { db: door.db.clone(), scope };
    request.data(Batches::new(reader)).data(scope)
}

/// The door and the right to act of the request that is being answered.
fn asked<'a>(ctx: &Context<'a>) -> Result<(&'a Door, &'a TenantScope), Problem> {
    let (door, scope) = (ctx.data_opt::<Door>(), ctx.data_opt::<TenantScope>());
    door.zip(scope).ok_or_else(|| Fault::new("answer a request that nobody was let in with").into())
}

/// Reads on the asking tenant's behalf.
async fn read<T>(
    ctx: &Context<'_>,
    look: impl AsyncFnOnce(&mut TenantTx<'_>) -> Result<T, Error>,
) -> Result<T, Problem> {
    let mut session = session(ctx).await?;
    Ok(look(&mut session.read()).await?)
}

/// A connection on which transactions of the asking tenant can be begun.
async fn session(ctx: &Context<'_>) -> Result<TenantSession, Problem> {
    let (door, scope) = asked(ctx)?;
    Ok(door.db.tenant(scope).await?)
}

/// The same on the control plane's cluster, for the tenant's own rows of the registry.
async fn registry(ctx: &Context<'_>) -> Result<TenantSession, Problem> {
    let (door, scope) = asked(ctx)?;
    Ok(door.db.registry(scope).await?)
}

/// The cursors of one of the asking tenant's lists.
fn cursors<'a>(ctx: &Context<'a>, list: &'static str) -> Result<Cursors<'a>, Problem> {
    let (door, scope) = asked(ctx)?;
    Ok(Cursors::new(door.db.master_key(), scope.tenant(), list))
}
