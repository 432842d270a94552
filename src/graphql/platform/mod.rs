//! The platform's own schema, on its own host: what an operator reads and changes of tenants from outside, of clusters and
//! of the team, by the same operations as the command line. Must never know a tenant's data, SQL, or how a request
//! reached it.
//!
//! Start at [`query::Query`]; mutations stand by matter, in files that are called like those of [`crate::tenants`].

mod birth;
mod clusters;
mod domains;
mod life;
mod loaders;
mod log;
mod numbers;
mod operators;
mod payload;
mod query;
mod tenant;
mod terms;

use async_graphql::{Context, EmptySubscription, MergedObject, Request, SchemaBuilder};
use std::fmt::Display;
use std::str::FromStr;

use super::batch::Batches;
use super::page::Listed;
use super::problem::Problem;
use super::{Door, limited, printed};
use crate::access::PlatformScope;
use crate::db::page::Cursors;
use crate::db::tx::PlatformTx;
use crate::error::{Error, Fault};
use loaders::Reader;
use log::AuditEntry;
use query::Query;
use tenant::Tenant;

/// What the schema is called among people.
pub const TITLE: &str = "The API of the platform";

/// The schema, ready to execute.
pub type Schema = async_graphql::Schema<Query, Mutation, EmptySubscription>;

/// Everything that can be changed. Each change is a row of the audit log, with the operator whose key was used.
#[derive(MergedObject, Default)]
pub struct Mutation(birth::Births, life::Lives, numbers::Numbers, domains::Domains, operators::Team);

/// Tenants are `{slug}.` this.
struct BaseDomain(String);

fn builder() -> SchemaBuilder<Query, Mutation, EmptySubscription> {
    limited(Schema::build(Query, Mutation::default(), EmptySubscription))
        .override_output_type_description::<Listed<Tenant>>("A page of tenants.")
        .override_output_type_description::<Listed<AuditEntry>>("A page of an audit log.")
}

/// The schema behind a door.
pub fn schema(door: Door, base_domain: &str) -> Schema {
    builder().data(door).data(BaseDomain(base_domain.to_owned())).finish()
}

/// The schema as text, as it stands in `graphql/platform.graphql`.
pub fn sdl() -> String {
    printed(builder())
}

/// Lends a request the right to act for the platform.
pub fn authorised(request: Request, door: &Door, scope: PlatformScope) -> Request {
    let reader = Reader { db: door.db.clone(), scope };
    request.data(Batches::new(reader)).data(scope)
}

/// The door and the right to act of the request that is being answered.
fn asked<'a>(ctx: &Context<'a>) -> Result<(&'a Door, &'a PlatformScope), Problem> {
    let (door, scope) = (ctx.data_opt::<Door>(), ctx.data_opt::<PlatformScope>());
    door.zip(scope).ok_or_else(|| Fault::new("answer a request that nobody was let in with").into())
}

fn base_domain<'a>(ctx: &Context<'a>) -> Result<&'a str, Problem> {
    let known = ctx.data_opt::<BaseDomain>();
    Ok(known.map(|BaseDomain(name)| name.as_str()).ok_or_else(|| Fault::new("name a tenant's host"))?)
}

/// Begins a transaction on the control plane on the asking operator's behalf.
async fn begin(ctx: &Context<'_>) -> Result<PlatformTx, Problem> {
    let (door, scope) = asked(ctx)?;
    Ok(door.db.operate(scope).await?)
}

/// Reads on the asking operator's behalf.
async fn read<T>(
    ctx: &Context<'_>,
    look: impl AsyncFnOnce(&mut PlatformTx) -> Result<T, Error>,
) -> Result<T, Problem> {
    let (door, scope) = asked(ctx)?;
    Reader { db: door.db.clone(), scope: *scope }.read(look).await
}

/// The cursors of one of the platform's own lists.
fn cursors<'a>(ctx: &Context<'a>, list: &'static str) -> Result<Cursors<'a>, Problem> {
    let (door, _) = asked(ctx)?;
    Ok(Cursors::of_platform(door.db.master_key(), list))
}

/// What the text of an input stands for; refused under the name of its field.
fn parsed<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|error: T::Err| Error::invalid(field, error.to_string()))
}
