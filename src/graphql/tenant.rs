//! The business itself.

use async_graphql::{Context, ID, Object};

use super::problem::Problem;
use super::{read, registry};
use crate::templates::version::TemplateVersion;
use crate::{callers, tenants};

/// A business on the platform: the one whose host and key you use.
pub(super) struct Tenant(pub(super) tenants::Tenant);

/// A business on the platform: the one whose host and key you use.
#[Object]
impl Tenant {
    /// Its id.
    async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// Its name for people.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Its name in hosts.
    async fn slug(&self) -> &str {
        &self.0.slug
    }

    /// The industry template that its callers' profiles follow.
    async fn template(&self, ctx: &Context<'_>) -> Result<Template, Problem> {
        Ok(Template(read(ctx, async |tx| callers::template(tx, None).await).await?))
    }

    /// Its telephone numbers in E.164 form.
    async fn numbers(&self, ctx: &Context<'_>) -> Result<Vec<String>, Problem> {
        let mut session = registry(ctx).await?;
        Ok(tenants::numbers::own(&mut session.read()).await?)
    }
}

/// One immutable version of an industry template.
pub(super) struct Template(TemplateVersion);

/// One immutable version of an industry template.
#[Object]
impl Template {
    /// Its key, e.g. insurance.
    async fn key(&self) -> &str {
        self.0.key()
    }

    /// Its name for people.
    async fn name(&self) -> &str {
        self.0.name()
    }

    /// Counts from 1 for each key.
    async fn version(&self) -> i32 {
        self.0.number()
    }

    /// The digest of its content, in hexadecimal.
    async fn sha256(&self) -> &str {
        self.0.sha256()
    }
}
