//! How a tenant is made.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use std::fmt::Display;

use super::asked;
use super::tenant::Tenant;
use crate::access::PlatformScope;
use crate::db::Db;
use crate::error::{Error, Violation};
use crate::graphql::problem::{Problem, UserError, refusal};
use crate::ids::TemplateVersionId;
use crate::secret::Secret;
use crate::templates::catalog;
use crate::tenants::birth::{self, Account, Created, NewTenant};

/// What a new business is.
#[derive(InputObject)]
pub(super) struct CreateTenantInput {
    /// Names this request, with 8 to 100 characters: the same request again makes no second tenant and gets the same answer.
    idempotency_key: String,
    /// Its name in hosts: 3 to 40 of a-z, 0-9 and single hyphens.
    slug: String,
    /// Its name for people.
    name: String,
    /// What its agent calls itself.
    agent_name: String,
    /// Where it is, as an IANA time zone, e.g. Europe/Berlin.
    time_zone: String,
    /// The key of the industry template that its callers' profiles follow, e.g. insurance.
    template: String,
    /// The key of the plan that it follows.
    #[graphql(default = "standard")]
    plan: String,
    /// The Postgres cluster that keeps its data.
    #[graphql(default = "main")]
    cluster: String,
    /// Its telephone number in E.164 form, if it has one already.
    number: Option<String>,
    /// Its own carrier account, where the number is not in the platform's.
    account: Option<AccountInput>,
}

/// A carrier account of a tenant's own.
#[derive(InputObject)]
pub(super) struct AccountInput {
    /// Twilio's AC….
    sid: String,
    /// Its auth token, which is sealed and never shown again.
    auth_token: String,
}

/// The new tenant and its first key, or why there is none.
#[derive(SimpleObject)]
pub(super) struct CreateTenantPayload {
    /// The tenant; in the state PROVISIONING where a worker must make its schema first.
    tenant: Option<Tenant>,
    /// Its first API key, with which its own API is used once it is active. Shown here only, and for a day to those who
    /// repeat the request.
    api_key: Option<String>,
    /// Why nothing was made; empty when all went well.
    errors: Vec<UserError>,
}

/// Making tenants.
#[derive(Default)]
pub(super) struct Births;

#[Object]
impl Births {
    /// Makes a tenant: name, number, schema, agent and first API key.
    async fn create_tenant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is.")] input: CreateTenantInput,
    ) -> Result<CreateTenantPayload, Problem> {
        let (door, scope) = asked(ctx)?;
        match created(&door.db, scope, input).await {
            Ok(made) => Ok(CreateTenantPayload {
                tenant: Some(Tenant(made.tenant)),
                api_key: made.api_key.map(|key| key.reveal().to_owned()),
                errors: Vec::new(),
            }),
            Err(error) => Ok(CreateTenantPayload { tenant: None, api_key: None, errors: refusal(error)? }),
        }
    }
}

/// A process that answers requests makes no schemas: what the warm pool lacks, a worker makes.
async fn created(db: &Db, scope: &PlatformScope, input: CreateTenantInput) -> Result<Created, Error> {
    let template = match catalog::latest(db, &input.template).await {
        Err(Error::NotFound(_)) => None,
        found => Some(found?),
    };
    let key = input.idempotency_key.clone();
    birth::create(db, None, scope, read(input, template)?, Some(&key)).await
}

/// What the texts of an input stand for; all that stand for nothing are named at once.
fn read(input: CreateTenantInput, template: Option<TemplateVersionId>) -> Result<NewTenant, Error> {
    let mut wrong = Vec::new();
    let slug = noted("slug", input.slug.parse(), &mut wrong);
    let time_zone = noted("timeZone", input.time_zone.parse(), &mut wrong);
    let cluster = noted("cluster", input.cluster.parse(), &mut wrong);
    let number = input.number.map(|number| number.parse()).transpose();
    let number = noted("number", number, &mut wrong);
    let template = noted("template", template.ok_or("is not one of the templates"), &mut wrong);
    let (Some(slug), Some(time_zone), Some(cluster), Some(number), Some(template_version)) =
        (slug, time_zone, cluster, number, template)
    else {
        return Err(Error::Invalid(wrong));
    };
    let account = |AccountInput { sid, auth_token }| Account { sid, auth_token: Secret::new(auth_token) };
    Ok(NewTenant {
        slug,
        name: input.name,
        agent_name: input.agent_name,
        time_zone,
        template_version,
        plan: input.plan,
        cluster,
        number,
        account: input.account.map(account),
    })
}

/// The value, or nothing and a note of what is wrong with its field.
fn noted<T>(field: &str, read: Result<T, impl Display>, wrong: &mut Vec<Violation>) -> Option<T> {
    let note = |error| Violation { path: field.to_owned(), message: format!("{error}") };
    read.map_err(|error| wrong.push(note(error))).ok()
}
