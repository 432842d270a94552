//! The platform's own team.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::payload::done;
use crate::graphql::problem::{Problem, UserError, id};
use crate::operators;

/// Somebody of the platform's own team.
#[derive(SimpleObject)]
pub(super) struct Operator {
    /// Their id, by which the audit log names them.
    id: ID,
    /// What colleagues call them.
    name: String,
    /// Since when.
    created_at: DateTime<Utc>,
    /// Since when they may do nothing any more.
    disabled_at: Option<DateTime<Utc>>,
}

impl From<operators::Operator> for Operator {
    fn from(operator: operators::Operator) -> Self {
        Self {
            id: ID(operator.id.to_string()),
            name: operator.name,
            created_at: operator.created_at,
            disabled_at: operator.disabled_at,
        }
    }
}

/// Who joins the team.
#[derive(InputObject)]
pub(super) struct CreateOperatorInput {
    /// What colleagues call them: 1 to 100 characters, not those of somebody else.
    name: String,
}

/// Who may do nothing any more, and why.
#[derive(InputObject)]
pub(super) struct DisableOperatorInput {
    /// The operator's id.
    operator_id: ID,
    /// Why, for the audit log: 1 to 500 characters.
    reason: String,
}

/// The new operator and their key, or why there is none.
#[derive(SimpleObject)]
pub(super) struct CreateOperatorPayload {
    /// The operator.
    operator: Option<Operator>,
    /// Their key for this API, shown this once.
    key: Option<String>,
    /// Why nothing was made; empty when all went well.
    errors: Vec<UserError>,
}

/// The operator without any right, or why they keep them.
#[derive(SimpleObject)]
pub(super) struct DisableOperatorPayload {
    /// The operator.
    operator: Option<Operator>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// Changing the team.
#[derive(Default)]
pub(super) struct Team;

#[Object]
impl Team {
    /// Adds somebody to the platform's own team.
    async fn create_operator(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who.")] input: CreateOperatorInput,
    ) -> Result<CreateOperatorPayload, Problem> {
        let (made, errors) = done(ctx, async |tx| operators::create(tx, &input.name).await).await?;
        let (operator, key) = made.unzip();
        Ok(CreateOperatorPayload {
            operator: operator.map(Operator::from),
            key: key.map(|key| key.reveal().to_owned()),
            errors,
        })
    }

    /// Takes an operator's rights and keys away, at once and for good.
    async fn disable_operator(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and why.")] input: DisableOperatorInput,
    ) -> Result<DisableOperatorPayload, Problem> {
        let DisableOperatorInput { operator_id, reason } = input;
        let deed = async |tx: &mut _| {
            let operator = operators::get(tx, id(&operator_id, "operator")?).await?;
            operators::disable(tx, &operator.name, &reason).await
        };
        let (operator, errors) = done(ctx, deed).await?;
        Ok(DisableOperatorPayload { operator: operator.map(Operator::from), errors })
    }
}
