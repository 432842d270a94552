//! What came of a mutation: what was changed, or the errors because of which nothing was. Must never know which deed it was.

use async_graphql::Context;

use super::tenant::Tenant;
use super::{asked, begin};
use crate::db::tx::PlatformTx;
use crate::error::Error;
use crate::graphql::problem::{Problem, UserError, refusal};
use crate::tenants::{self, mirror};

/// What was done, or why it was not.
pub(super) type Outcome<T> = (Option<T>, Vec<UserError>);

/// Does something on the operator's behalf and commits it; a refusal is rolled back.
pub(super) async fn done<T>(
    ctx: &Context<'_>,
    deed: impl AsyncFnOnce(&mut PlatformTx) -> Result<T, Error>,
) -> Result<Outcome<T>, Problem> {
    let mut tx = begin(ctx).await?;
    match deed(&mut tx).await {
        Ok(done) => {
            tx.commit().await?;
            Ok((Some(done), Vec::new()))
        }
        Err(error) => Ok((None, refusal(error)?)),
    }
}

/// The same to a tenant, whose cluster learns of it at once.
pub(super) async fn changed(
    ctx: &Context<'_>,
    deed: impl AsyncFnOnce(&mut PlatformTx) -> Result<tenants::Tenant, Error>,
) -> Result<Outcome<Tenant>, Problem> {
    let (changed, errors) = done(ctx, deed).await?;
    if let Some(tenant) = &changed
        && let Err(error) = mirror::at_once(&asked(ctx)?.0.db, tenant).await
    {
        tracing::warn!(tenant = %tenant.id, cluster = %tenant.cluster, fault = error.chain(), "a cluster is told later of a change");
    }
    Ok((changed.map(Tenant), errors))
}

/// Payloads that carry the changed tenant: a type for each mutation, so that each may grow by itself.
macro_rules! tenant_payloads {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(async_graphql::SimpleObject)]
        pub(super) struct $name {
            /// The tenant after the change.
            tenant: Option<super::tenant::Tenant>,
            /// Why nothing was changed; empty when all went well.
            errors: Vec<$crate::graphql::problem::UserError>,
        }

        impl From<super::payload::Outcome<super::tenant::Tenant>> for $name {
            fn from((tenant, errors): super::payload::Outcome<super::tenant::Tenant>) -> Self {
                Self { tenant, errors }
            }
        }
    )*};
}
pub(super) use tenant_payloads;
