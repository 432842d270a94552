//! What a document costs: judged before it is executed, and told in the answer as `extensions.cost`, also where it is the
//! reason of a refusal. Must never know a field; what each costs stands at the field.

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextRequest, NextValidation};
use async_graphql::{Response, ServerError, ValidationResult, async_trait, value};
use std::sync::{Arc, OnceLock};

use super::limits::{COMPLEXITY_MAX, DEPTH_MAX};

/// Measures every document of a schema.
pub(super) struct Cost;

impl ExtensionFactory for Cost {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Measured::default())
    }
}

/// What the document of one request costs, once it was measured.
#[derive(Default)]
struct Measured(OnceLock<usize>);

#[async_trait::async_trait]
impl Extension for Measured {
    async fn request(&self, ctx: &ExtensionContext<'_>, next: NextRequest<'_>) -> Response {
        let response = next.run(ctx).await;
        match self.0.get() {
            Some(cost) => response.extension("cost", value!({"requested": *cost, "max": COMPLEXITY_MAX})),
            None => response,
        }
    }

    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let measured = next.run(ctx).await?;
        let cost = *self.0.get_or_init(|| measured.complexity);
        if COMPLEXITY_MAX < cost {
            return Err(too_much(format!(
                "the document costs {cost}, and {COMPLEXITY_MAX} is the most; ask for fewer rows at once"
            )));
        }
        if DEPTH_MAX < measured.depth {
            return Err(too_much(format!("the document is more than {DEPTH_MAX} fields deep")));
        }
        Ok(measured)
    }
}

fn too_much(message: String) -> Vec<ServerError> {
    let mut error = ServerError::new(message, None);
    error.extensions.get_or_insert_default().set("code", "TOO_COMPLEX");
    vec![error]
}
