//! The people who call, and what is known of each.

use async_graphql::{Context, ID, Json, Object};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::sync::Arc;

use super::call::Call;
use super::cursors;
use super::loaders::{self, CallsOf, LastCallKey, MemoriesOf, ProfileKey, RecallOf, TemplateKey};
use super::memory::Memory;
use super::page::{Listed, connection, cost};
use super::problem::Problem;
use crate::callers;
use crate::db::page::{Page, PageOf};
use crate::templates::version::TemplateVersion;

/// Somebody who calls this business. The same number at another business is another caller.
pub(super) struct Caller(pub(super) callers::Caller);

impl Caller {
    /// The template version that the profile follows, or would follow.
    async fn template(&self, ctx: &Context<'_>) -> Result<Arc<TemplateVersion>, Problem> {
        let profile = loaders::one(ctx, ProfileKey(self.0.id)).await?;
        loaders::needed(ctx, TemplateKey(profile.map(|profile| profile.template_version))).await
    }
}

/// Somebody who calls this business. The same number at another business is another caller.
#[Object]
impl Caller {
    /// Their id.
    async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// The number that they call from, in E.164 form.
    async fn phone(&self) -> &str {
        self.0.phone.reveal()
    }

    /// What they are called, once known.
    async fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// How many of their calls have ended.
    async fn calls_count(&self) -> i32 {
        self.0.calls_count
    }

    /// When they first called.
    async fn first_call_at(&self) -> Option<DateTime<Utc>> {
        self.0.first_call_at
    }

    /// When they last called.
    async fn last_call_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_call_at
    }

    /// One line of the essentials, e.g. "John Smith | Orange County | 2 Auto + 1 Home | Client since 2020".
    async fn quick_bio(&self) -> &str {
        &self.0.quick_bio
    }

    /// What is known of them, as a document under the template's schema.
    async fn profile(&self, ctx: &Context<'_>) -> Result<Json<Value>, Problem> {
        let profile = loaders::one(ctx, ProfileKey(self.0.id)).await?;
        Ok(Json(profile.map_or_else(|| Value::Object(serde_json::Map::new()), |profile| profile.data)))
    }

    /// Counts the changes of the profile; 0 while nothing was saved.
    async fn profile_revision(&self, ctx: &Context<'_>) -> Result<i32, Problem> {
        Ok(loaders::one(ctx, ProfileKey(self.0.id)).await?.map_or(0, |profile| profile.revision))
    }

    /// The JSON Schema (2020-12) that the profile is valid under.
    async fn profile_schema(&self, ctx: &Context<'_>) -> Result<Json<Value>, Problem> {
        Ok(Json(self.template(ctx).await?.schema().clone()))
    }

    /// Hints for a form of the profile: order and, by JSON Pointer, label, widget and help.
    async fn profile_ui(&self, ctx: &Context<'_>) -> Result<Json<Value>, Problem> {
        Ok(Json(self.template(ctx).await?.ui().clone()))
    }

    /// What is remembered about them, newest first.
    #[graphql(complexity = "cost(first, child_complexity)")]
    async fn memories(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 20 when left out.")] first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
    ) -> Result<Listed<Memory>, Problem> {
        let cursors = cursors(ctx, "memories")?;
        let page = Page::asked(first, after.as_deref(), &cursors)?;
        let rows = loaders::one(ctx, MemoriesOf(PageOf { of: self.0.id, page })).await?.unwrap_or_default();
        Ok(connection(page, rows, &cursors, |memory| memory.id.uuid(), Memory))
    }

    /// What of it fits a question best, best first.
    #[graphql(complexity = "cost(first, child_complexity)")]
    async fn recall(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked, in words; 1000 characters at most.")] question: String,
        #[graphql(desc = "How many, 1 to 100; 20 when left out.")] first: Option<i32>,
    ) -> Result<Vec<Memory>, Problem> {
        let limit = Page::asked(first, None, &cursors(ctx, "memories")?)?.first;
        let found = loaders::one(ctx, RecallOf { caller: self.0.id, question, limit }).await?;
        Ok(found.unwrap_or_default().into_iter().map(Memory).collect())
    }

    /// Their calls, newest first.
    #[graphql(complexity = "cost(first, child_complexity)")]
    async fn calls(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100; 20 when left out.")] first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
    ) -> Result<Listed<Call>, Problem> {
        let cursors = cursors(ctx, "calls")?;
        let page = Page::asked(first, after.as_deref(), &cursors)?;
        let rows = loaders::one(ctx, CallsOf(PageOf { of: self.0.id, page })).await?.unwrap_or_default();
        Ok(connection(page, rows, &cursors, |call| call.id.uuid(), Call))
    }

    /// Their latest call.
    async fn last_call(&self, ctx: &Context<'_>) -> Result<Option<Call>, Problem> {
        Ok(loaders::one(ctx, LastCallKey(self.0.id)).await?.map(Call))
    }
}
