//! The platform's host: an operator calls everything there with A's ids and sees nothing that A keeps; a tenant is let in
//! to nothing.

use super::Stage;
use super::sdl::{Operation, Sdl, Words};
use crate::platform::office::Office;
use crate::world::fresh_number;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const SDL: &str = include_str!("../../../graphql/platform.graphql");

/// Ids, numbers and names that make every change of the platform's schema possible, in the order of the schema.
struct Desk {
    a: String,
    b: String,
    operator: String,
    cursors: Value,
    number: String,
    slug: String,
}

impl Desk {
    async fn of(stage: &Stage, office: &Office) -> Self {
        let lists =
            "{ tenants(first: 1) { pageInfo { endCursor } } auditLog(first: 1) { pageInfo { endCursor } } }";
        let dismissed =
            office.done("createOperator", json!({"name": "Dismissed soon"}), "operator { id }").await;
        Self {
            a: stage.a.tenant.id.to_string(),
            b: stage.b.id.to_string(),
            operator: dismissed["operator"]["id"].as_str().unwrap().to_owned(),
            cursors: office.data(lists, json!({})).await,
            number: fresh_number().reveal().to_owned(),
            slug: format!("t-{}", uuid::Uuid::new_v4().simple()),
        }
    }
}

impl Words for Desk {
    fn id(&self, field: &str, argument: &str) -> String {
        match (field, argument) {
            // by then B has the number that A had first
            (_, "toTenantId") | ("releaseNumber", "tenantId") => self.b.clone(),
            ("tenant", "id") | (_, "tenantId" | "fromTenantId") => self.a.clone(),
            (_, "operatorId") => self.operator.clone(),
            other => panic!("teach the walker whose id {other:?} is"),
        }
    }

    fn cursors(&self) -> &Value {
        &self.cursors
    }

    fn text(&self, argument: &str) -> String {
        match argument {
            "slug" => self.slug.clone(),
            "number" => self.number.clone(),
            "host" => format!("{}.example", self.slug),
            "plan" => "standard".to_owned(),
            "template" => "insurance".to_owned(),
            "cluster" => "main".to_owned(),
            "timeZone" => "America/Denver".to_owned(),
            _ => "asked by the walker".to_owned(),
        }
    }

    fn int(&self, argument: &str) -> u32 {
        if argument == "statementMsMax" { 1000 } else { 2 }
    }

    fn leaves_out(&self, field: &str, argument: &str) -> bool {
        // a tenant is named by its id; one that is new gets its number and account elsewhere; all tenants are listed
        matches!(
            (field, argument),
            ("tenant", "slug")
                | ("createTenant", "number")
                | (_, "account")
                | ("tenants", "filter" | "after")
        )
    }
}

/// The operations, with another slug for each that takes one.
fn operations(schema: &Sdl, desk: &Desk) -> Vec<Operation> {
    let mut operations = schema.operations(desk);
    for operation in &mut operations {
        let own = format!("{}-{}", &desk.slug[..20], operation.field.to_lowercase());
        operation.document =
            operation.document.replace(&format!("slug: \"{}\"", desk.slug), &format!("slug: \"{own}\""));
    }
    operations
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_nothing_that_a_keeps() {
    let stage = Stage::set().await;
    let office = Office::of(&stage.world).await;
    let schema = Sdl::parse(SDL);
    let desk = Desk::of(&stage, &office).await;
    let operations = operations(&schema, &desk);
    assert_eq!(
        schema.all_fields().difference(&schema.asked_fields(&operations)).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "every field of the schema is asked for"
    );
    let mut seen = String::new();
    for operation in &operations {
        let answer = office.answer(&operation.document, json!({})).await;
        let text = answer.to_string();
        stage.discreet(&operation.field, &text);
        assert_eq!(answer.get("errors"), None, "{}: {answer}", operation.document);
        if operation.kind == "mutation" {
            assert_eq!(
                answer["data"][&operation.field]["errors"],
                json!([]),
                "{}: {answer}",
                operation.document
            );
        }
        seen.push_str(&text);
    }
    assert!(
        seen.contains(&stage.a.tenant.slug),
        "what the platform knows of A is seen, so the walk would see more"
    );
    let metrics = reqwest::get(format!("http://{}/metrics", office.api.address())).await.unwrap();
    stage.discreet("a metric", &metrics.text().await.unwrap());
    stage.discreet("a log line", &stage.log.text());
    office.api.running.stop().await;
    stage.api.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b_is_let_in_to_nothing_of_the_platforms() {
    let stage = Stage::set().await;
    let office = Office::of(&stage.world).await;
    let schema = Sdl::parse(SDL);
    let desk = Desk::of(&stage, &office).await;
    let before = stage.digest_of_a().await;
    for operation in operations(&schema, &desk) {
        let body = json!({"query": operation.document}).to_string();
        let at = ("platform", &stage.b.api_key);
        let answer = stage.api.request((Method::POST, "/graphql"), at, &[], body).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{}", operation.field);
        stage.clean(&operation.field, &answer.text().await.unwrap());
    }
    assert_eq!(stage.digest_of_a().await, before, "A is as it was");
    office.api.running.stop().await;
    stage.end().await;
}
