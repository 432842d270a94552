//! What a tenant may take: its plan, the exceptions from it, and what comes of both.

use async_graphql::{Context, InputObject, Object, SimpleObject};

use super::loaders::{self, LimitsKey, PlanKey};
use crate::error::Fault;
use crate::graphql::problem::Problem;
use crate::tenancy;
use crate::tenants::{self, life};

/// What a tenant may take.
pub(super) struct Terms<'a>(pub(super) &'a tenants::Tenant);

/// What a tenant may take.
#[Object]
impl Terms<'_> {
    /// What it follows.
    async fn plan(&self, ctx: &Context<'_>) -> Result<Plan, Problem> {
        let plan = loaders::one(ctx, PlanKey(self.0.plan.clone())).await?;
        Ok(plan.map(Plan::from).ok_or_else(|| Fault::new("read a tenant's plan: it is not there"))?)
    }

    /// What is otherwise for this tenant alone; what is absent is as the plan says.
    async fn exceptions(&self) -> Exceptions {
        self.0.exceptions.into()
    }

    /// What holds now: the plan, and the exceptions from it.
    async fn limits(&self, ctx: &Context<'_>) -> Result<Limits, Problem> {
        let limits = loaders::one(ctx, LimitsKey(self.0.id)).await?;
        Ok(limits
            .map(Limits::from)
            .ok_or_else(|| Fault::new("read a tenant's limits: they are not there"))?)
    }

    /// Whether its schema is migrated before the others'.
    async fn canary(&self) -> bool {
        self.0.canary
    }
}

/// What tenants may take that follow it.
#[derive(SimpleObject)]
pub(super) struct Plan {
    /// Its name in inputs.
    key: String,
    /// Its name for people.
    name: String,
    /// How much.
    limits: Limits,
}

impl From<life::Plan> for Plan {
    fn from(plan: life::Plan) -> Self {
        Self { key: plan.key, name: plan.name, limits: plan.limits.into() }
    }
}

/// How much a tenant may take of what it shares with others.
#[derive(SimpleObject)]
pub(super) struct Limits {
    /// Transactions at once, in each process.
    transactions_max: u16,
    /// Requests per second on average, in each process.
    requests_per_s: u16,
    /// Milliseconds that a statement may run.
    statement_ms_max: u32,
    /// Calls at once.
    calls_max: u16,
    /// Jobs at once.
    jobs_max: u16,
}

impl From<tenancy::Limits> for Limits {
    fn from(limits: tenancy::Limits) -> Self {
        Self {
            transactions_max: limits.transactions_max,
            requests_per_s: limits.requests_per_s,
            statement_ms_max: limits.statement_ms_max,
            calls_max: limits.calls_max,
            jobs_max: limits.jobs_max,
        }
    }
}

/// Limits that are otherwise than a plan says; what is absent is as the plan says.
#[derive(SimpleObject, InputObject)]
#[graphql(input_name = "ExceptionsInput")]
pub(super) struct Exceptions {
    /// Transactions at once, in each process; 1 to 1000.
    transactions_max: Option<u16>,
    /// Requests per second on average, in each process; 1 to 10000.
    requests_per_s: Option<u16>,
    /// Milliseconds that a statement may run; 100 to 60000.
    statement_ms_max: Option<u32>,
    /// Calls at once; 0 to 10000.
    calls_max: Option<u16>,
    /// Jobs at once; 1 to 1000.
    jobs_max: Option<u16>,
}

impl From<life::Exceptions> for Exceptions {
    fn from(exceptions: life::Exceptions) -> Self {
        Self {
            transactions_max: exceptions.transactions_max,
            requests_per_s: exceptions.requests_per_s,
            statement_ms_max: exceptions.statement_ms_max,
            calls_max: exceptions.calls_max,
            jobs_max: exceptions.jobs_max,
        }
    }
}

impl From<Exceptions> for life::Exceptions {
    fn from(exceptions: Exceptions) -> Self {
        Self {
            transactions_max: exceptions.transactions_max,
            requests_per_s: exceptions.requests_per_s,
            statement_ms_max: exceptions.statement_ms_max,
            calls_max: exceptions.calls_max,
            jobs_max: exceptions.jobs_max,
        }
    }
}
