//! Telephone numbers: given, handed over, taken.

use async_graphql::{Context, ID, InputObject, Object};

use super::parsed;
use super::payload::{changed, tenant_payloads};
use crate::graphql::problem::{Problem, id};
use crate::tenants::numbers;

/// Which number to give, and to whom.
#[derive(InputObject)]
pub(super) struct AssignNumberInput {
    /// The tenant's id.
    tenant_id: ID,
    /// The number in E.164 form.
    number: String,
    /// The tenant's own Twilio account (AC…), where the number is in that.
    account: Option<String>,
}

/// Which number changes hands, and why.
#[derive(InputObject)]
pub(super) struct HandOverNumberInput {
    /// The number in E.164 form.
    number: String,
    /// The id of the tenant that has it.
    from_tenant_id: ID,
    /// The id of the tenant that gets it.
    to_tenant_id: ID,
    /// Why, for the audit log: 1 to 500 characters.
    reason: String,
}

/// Which number to take, from whom, and why.
#[derive(InputObject)]
pub(super) struct ReleaseNumberInput {
    /// The tenant's id.
    tenant_id: ID,
    /// The number in E.164 form.
    number: String,
    /// Why, for the audit log: 1 to 500 characters.
    reason: String,
}

tenant_payloads! {
    /// The tenant with the number, or why it has not got it.
    AssignNumberPayload;
    /// The tenant that has the number now, or why it stays where it was.
    HandOverNumberPayload;
    /// The tenant without the number, or why it still has it.
    ReleaseNumberPayload;
}

/// Giving and taking numbers.
#[derive(Default)]
pub(super) struct Numbers;

#[Object]
impl Numbers {
    /// Gives a tenant a number that nobody has.
    async fn assign_number(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and to whom.")] input: AssignNumberInput,
    ) -> Result<AssignNumberPayload, Problem> {
        let AssignNumberInput { tenant_id, number, account } = input;
        let deed = async |tx: &mut _| {
            let number = parsed("number", &number)?;
            numbers::assign(tx, id(&tenant_id, "tenant")?, &number, account.as_deref()).await
        };
        Ok(changed(ctx, deed).await?.into())
    }

    /// Hands a number of the platform's own carrier account from one tenant to another, in one step.
    async fn hand_over_number(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, from whom to whom, and why.")] input: HandOverNumberInput,
    ) -> Result<HandOverNumberPayload, Problem> {
        let HandOverNumberInput { number, from_tenant_id, to_tenant_id, reason } = input;
        let deed = async |tx: &mut _| {
            let parties = (id(&from_tenant_id, "tenant")?, id(&to_tenant_id, "tenant")?);
            numbers::hand_over(tx, &parsed("number", &number)?, parties, &reason).await
        };
        Ok(changed(ctx, deed).await?.into())
    }

    /// Takes a number from a tenant; nobody has it then.
    async fn release_number(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, from whom, and why.")] input: ReleaseNumberInput,
    ) -> Result<ReleaseNumberPayload, Problem> {
        let ReleaseNumberInput { tenant_id, number, reason } = input;
        let deed = async |tx: &mut _| {
            numbers::release(tx, id(&tenant_id, "tenant")?, &parsed("number", &number)?, &reason).await
        };
        Ok(changed(ctx, deed).await?.into())
    }
}
