//! Hosts of tenants' own: asked for, given up.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::payload::done;
use super::tenant::Domain;
use super::{base_domain, parsed};
use crate::graphql::problem::{Problem, UserError, id};
use crate::tenants::domains;
use crate::tenants::reach::DomainName;

/// Which host, and for whom.
#[derive(InputObject)]
pub(super) struct AskForDomainInput {
    /// The tenant's id.
    tenant_id: ID,
    /// The host, e.g. calls.peterson.com.
    host: String,
}

/// Which host to give up, whose, and why.
#[derive(InputObject)]
pub(super) struct ReleaseDomainInput {
    /// The tenant's id.
    tenant_id: ID,
    /// The host.
    host: String,
    /// Why, for the audit log: 1 to 500 characters.
    reason: String,
}

/// The host with the record that proves it, or why it was not asked for.
#[derive(SimpleObject)]
pub(super) struct AskForDomainPayload {
    /// The host; it leads to the tenant once a worker has found its record, for which it looks for a day and a half.
    domain: Option<Domain>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// The host that leads nowhere any more, or why it still does.
#[derive(SimpleObject)]
pub(super) struct ReleaseDomainPayload {
    /// The host that was given up.
    host: Option<String>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// Giving and taking hosts.
#[derive(Default)]
pub(super) struct Domains;

#[Object]
impl Domains {
    /// Asks for a host of a tenant's own, or has a worker look for its proof again.
    async fn ask_for_domain(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and for whom.")] input: AskForDomainInput,
    ) -> Result<AskForDomainPayload, Problem> {
        let AskForDomainInput { tenant_id, host } = input;
        let base_domain = base_domain(ctx)?;
        let deed = async |tx: &mut _| {
            domains::ask(tx, id(&tenant_id, "tenant")?, &parsed("host", &host)?, base_domain).await
        };
        let (domain, errors) = done(ctx, deed).await?;
        Ok(AskForDomainPayload { domain: domain.map(Domain::from), errors })
    }

    /// Gives a host of a tenant's own up.
    async fn release_domain(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, whose, and why.")] input: ReleaseDomainInput,
    ) -> Result<ReleaseDomainPayload, Problem> {
        let ReleaseDomainInput { tenant_id, host, reason } = input;
        let deed = async |tx: &mut _| {
            let host: DomainName = parsed("host", &host)?;
            domains::release(tx, id(&tenant_id, "tenant")?, &host, &reason).await?;
            Ok(host.as_str().to_owned())
        };
        let (host, errors) = done(ctx, deed).await?;
        Ok(ReleaseDomainPayload { host, errors })
    }
}
