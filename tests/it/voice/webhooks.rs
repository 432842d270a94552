//! What the carrier's webhooks are answered, and what anybody else is.

use super::stage::{Stage, fresh_sid, sign};
use crate::world::{ACCOUNT_SID, AUTH_TOKEN};
use neurosphere::access::{Role, TenantScope};
use neurosphere::tenants::life::{self, Exceptions, Terms};
use neurosphere::tenants::reach;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn forged_webhooks_are_refused_and_write_nothing() {
    let stage = Stage::open().await;
    let call = fresh_sid();
    let fields = stage.fields(&call, "ringing");
    for path in ["/twilio/voice", "/twilio/status", "/twilio/after"] {
        for signature in ["", "bm8=", &sign("another token", "x"), "not base64"] {
            assert_eq!(stage.post(path, &fields, signature).await.0, 403, "{path} {signature}");
        }
    }
    // Signed for one path, used on another; signed by an account that is nobody's.
    let (status, _) = stage.webhook("/twilio/voice?x=1", &fields).await;
    assert_eq!(status, 200, "a query is part of what is signed");
    let mut stranger = fields.clone();
    stranger.insert("AccountSid", "AC00000000000000000000000000000bad");
    assert_eq!(stage.webhook("/twilio/voice", &stranger).await.0, 403);
    let mut nobody = fields.clone();
    nobody.remove("AccountSid");
    assert_eq!(stage.webhook("/twilio/voice", &nobody).await.0, 403);
    assert_eq!(stage.calls_count().await, 1, "only the signed one was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_answered_clearly() {
    let stage = Stage::open().await;
    let call = fresh_sid();
    for (field, value, expected) in [
        ("To", "19495550100", 400),
        ("To", "+0", 400),
        ("From", "+1949x", 400),
        ("CallSid", "CA/../../x", 400),
    ] {
        let mut fields = stage.fields(&call, "ringing");
        fields.insert(field, value);
        let (status, body) = stage.webhook("/twilio/voice", &fields).await;
        assert_eq!((status, body.contains(field)), (expected, true), "{field}={value}: {body}");
    }
    let large = "x".repeat(70_000);
    let mut fields = stage.fields(&call, "ringing");
    fields.insert("Padding", &large);
    assert_eq!(stage.webhook("/twilio/voice", &fields).await.0, 413);
    assert_eq!(stage.calls_count().await, 0);

    let mut fields = stage.fields(&call, "ringing");
    fields.insert("To", "+12025550000");
    let (status, twiml) = stage.webhook("/twilio/voice", &fields).await;
    assert_eq!(status, 200);
    assert!(twiml.contains("not in service") && twiml.ends_with("<Hangup/></Response>"), "{twiml}");

    let suspended = stage.world.operate(async |tx| life::suspend(tx, stage.tenant.id, "unpaid").await).await;
    suspended.unwrap();
    let (status, twiml) = stage.webhook("/twilio/voice", &stage.fields(&call, "ringing")).await;
    assert_eq!(status, 200);
    assert!(twiml.contains("cannot take calls at the moment"), "{twiml}");
    assert_eq!(stage.calls_count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_comes_twice_is_one_call() {
    let stage = Stage::open().await;
    let call = fresh_sid();
    let (first, second) = (stage.ring(&call).await, stage.ring(&call).await);
    assert_ne!(first, second, "each answer has its own token");
    assert_eq!(stage.calls_count().await, 1);
    for _ in 0..3 {
        let (status, _) = stage.webhook("/twilio/status", &stage.fields(&call, "completed")).await;
        assert_eq!(status, 204);
    }
    let (status, _) = stage.webhook("/twilio/status", &stage.fields(&fresh_sid(), "completed")).await;
    assert_eq!(status, 204, "news of a call that is nobody's change nothing");
    let (status, _) = stage.webhook("/twilio/status", &stage.fields(&call, "exploded")).await;
    assert_eq!(status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_the_caller_hears_an_apology_in_time() {
    let stage = Stage::open().await;
    stage.postgres.cut();
    for path in ["/twilio/voice", "/twilio/after"] {
        let asked = Instant::now();
        let (status, twiml) = stage.webhook(path, &stage.fields(&fresh_sid(), "ringing")).await;
        assert_eq!(status, 200);
        assert!(twiml.contains("technical difficulties"), "{twiml}");
        assert!(asked.elapsed() < Duration::from_secs(3), "{path}: {:?}", asked.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_business_with_too_much_under_way_has_its_callers_told_politely() {
    let stage = Stage::open().await;
    let (tenant, db) = (&stage.tenant, &stage.running.app.db);
    let exceptions = Exceptions { transactions_max: Some(1), ..Exceptions::default() };
    let terms = Terms { plan: "standard".to_owned(), exceptions, canary: false };
    stage.world.operate(async |tx| life::set_terms(tx, tenant.id, &terms, "a test").await).await.unwrap();
    let tenancy = reach::tenancy(db, tenant.id).await.unwrap().unwrap();
    let scope = |role| TenantScope::mint(tenancy, tenant.scope(role).actor(), role);
    let requests = db.tenant(&scope(Role::Owner)).await.unwrap();
    stage.ring(&fresh_sid()).await;
    drop(requests);

    let calls = db.tenant(&scope(Role::Call)).await.unwrap();
    let (asked, call) = (Instant::now(), fresh_sid());
    let (status, twiml) = stage.webhook("/twilio/voice", &stage.fields(&call, "ringing")).await;
    assert_eq!((status, twiml.contains("All our lines are busy")), (200, true), "{twiml}");
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    drop(calls);
    stage.ring(&call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_json_body_needs_its_hash() {
    let stage = Stage::open().await;
    let body = serde_json::json!({"CallSid": fresh_sid(), "AccountSid": ACCOUNT_SID, "CallStatus": "ringing",
        "From": "+19495550199", "To": stage.tenant.number.reveal()})
    .to_string();
    let hash =
        neurosphere::secret::digest(&body).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let public = stage.running.app.config.http.public_url.as_str().trim_end_matches('/').to_owned();
    for (query, expected) in [(format!("?bodySHA256={hash}"), 200), (String::new(), 403)] {
        let url = format!("{public}/twilio/voice{query}");
        let request = stage.world.app.http.post(&url).header("X-Twilio-Signature", sign(AUTH_TOKEN, &url));
        let request = request.header("Content-Type", "application/json").body(body.clone());
        assert_eq!(request.send().await.unwrap().status().as_u16(), expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_carriers_voice_says_is_in_the_agents_language() {
    let stage = Stage::with(|config| config.openai.base_url = "http://127.0.0.1:1/v1".parse().unwrap()).await;
    stage.speak("es").await;
    let trouble = "<Say language=\"es-MX\">Lo sentimos, en este momento tenemos dificultades técnicas.";
    let mut carrier = stage.call().await;
    carrier.until_closed().await;
    // Of the second call nobody in this process knows how it ended.
    let elsewhere = fresh_sid();
    stage.ring(&elsewhere).await;
    for call in [&carrier.sid, &elsewhere] {
        let (status, twiml) = stage.webhook("/twilio/after", &stage.fields(call, "in-progress")).await;
        assert_eq!((status, twiml.contains(trouble)), (200, true), "{twiml}");
    }
    let suspended = stage.world.operate(async |tx| life::suspend(tx, stage.tenant.id, "unpaid").await).await;
    suspended.unwrap();
    let call = fresh_sid();
    let mut fields = stage.fields(&call, "ringing");
    let (_, twiml) = stage.webhook("/twilio/voice", &fields).await;
    assert!(twiml.contains("<Say language=\"es-MX\">Gracias por llamar. En este momento no"), "{twiml}");
    fields.insert("To", "+12025550000");
    let (_, twiml) = stage.webhook("/twilio/voice", &fields).await;
    assert!(twiml.contains("<Say language=\"en-US\">The number you have dialed is not"), "{twiml}");
}
