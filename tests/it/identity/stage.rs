//! A business whose API runs, and members of it with a session each, as the end of a sign-in leaves them.

use crate::api::{Api, Headers};
use crate::world::{TestTenant, World};
use neurosphere::ids::{MemberId, SessionId};
use neurosphere::secret::{self, Secret};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// A business and its running API.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) api: Api,
    pub(super) tenant: TestTenant,
}

/// Somebody at a browser.
pub(super) struct Visitor {
    pub(super) member: MemberId,
    pub(super) session: SessionId,
    pub(super) secret: Secret,
}

impl Visitor {
    /// The header that its browser sends.
    pub(super) fn cookie(&self) -> String {
        format!("a=b; __Host-session={}", self.secret.reveal())
    }
}

impl Stage {
    pub(super) async fn set() -> Self {
        Self::in_world(World::new().await).await
    }

    pub(super) async fn in_world(world: World) -> Self {
        let (api, tenant) = (Api::of(&world).await, world.tenant().await);
        Self { world, api, tenant }
    }

    /// Somebody new in the stage's tenant, in a role that needs no row of its own.
    pub(super) async fn visitor(&self, role: &str) -> Visitor {
        self.visitor_of(&self.tenant, role).await
    }

    pub(super) async fn visitor_of(&self, tenant: &TestTenant, role: &str) -> Visitor {
        let ids: [uuid::Uuid; 3] = std::array::from_fn(|_| self.world.app.clock.new_id());
        let [person, member, session] = ids;
        let secret = Secret::new(secret::random_token());
        let digest = secret::hex(&secret::digest(secret.reveal()));
        let tenant = tenant.id.uuid();
        self.as_platform(&format!(
            "insert into platform.people (id, name, email) values ('{person}', 'Ann', '{person}@example.com');
             insert into platform.members (id, tenant_id, person_id, name, email, role)
             values ('{member}', '{tenant}', '{person}', 'Ann', '{person}@example.com', '{role}');
             insert into platform.sessions (id, tenant_id, member_id, secret_sha256, factors, agent, address, seen_at, expires_at)
             values ('{session}', '{tenant}', '{member}', decode('{digest}', 'hex'), '{{mail}}', 'Firefox', '127.0.0.1', now(),
                     now() + interval '7 days')"
        ))
        .await;
        Visitor { member: member.into(), session: session.into(), secret }
    }

    /// Changes rows as only the platform could.
    pub(super) async fn as_platform(&self, sql: &str) {
        let sql = format!("begin; set local role neurosphere_platform; {sql}; commit");
        self.world.as_owner().await.batch_execute(&sql).await.unwrap();
    }

    /// The origin of the tenant's own pages.
    pub(super) fn origin(&self) -> String {
        format!("http://{}.localhost:{}", self.tenant.slug, self.api.address().port())
    }

    /// A document that a page of the tenant's own host sends with its visitor's cookie, its headers replaced as told.
    pub(super) async fn asked(&self, visitor: &Visitor, query: &str, headers: Headers<'_>) -> Response {
        let (cookie, origin) = (visitor.cookie(), self.origin());
        let usual = [("authorization", ""), ("cookie", &*cookie), ("origin", &*origin)];
        let all: Vec<_> = usual.into_iter().chain(headers.iter().copied()).collect();
        let body = json!({"query": query}).to_string();
        self.api.send((Method::POST, "/graphql"), &self.tenant, &all, body).await
    }

    /// The whole answer to such a document.
    pub(super) async fn answer(&self, visitor: &Visitor, query: &str) -> Value {
        let response = self.asked(visitor, query, &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "{query}");
        response.json().await.unwrap()
    }

    /// Whether the visitor is let in.
    pub(super) async fn is_in(&self, visitor: &Visitor) -> bool {
        let status = self.asked(visitor, "{ tenant { name } }", &[]).await.status();
        assert!(status == StatusCode::OK || status == StatusCode::UNAUTHORIZED, "{status}");
        status == StatusCode::OK
    }
}
