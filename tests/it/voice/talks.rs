//! Whole conversations with the stand-in world, in real time.

use super::stage::Stage;
use crate::api::Api;
use neurosphere::calls::{Speaker, Turn};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_greets_is_interrupted_and_tells_the_time() {
    let stage = Stage::open().await;
    let caller = json!({"voice": "caller", "steps": [
        {"do": "await_reply", "quiet_ms": 700, "within_ms": 15000},
        {"do": "say", "text": "Can you explain how your car policies work?"},
        {"do": "interrupt", "text": "Sorry, let me stop you there. What time is it?", "after_ms": 3000, "within_ms": 15000},
        {"do": "expect_clear", "within_ms": 1500},
        {"do": "await_reply", "quiet_ms": 900, "within_ms": 15000},
        {"do": "hang_up"},
    ]});
    let (call, timeline) = stage.place(caller).await;
    for bad in ["step_failed", "warning", "error"] {
        let found: Vec<_> = timeline.iter().filter(|line| line["event"] == bad).collect();
        assert!(found.is_empty(), "{found:?}");
    }
    let greeted = timeline.iter().find(|line| line["event"] == "agent_starts").unwrap();
    assert!(greeted["at_ms"].as_u64().unwrap() < 2_000, "the agent speaks first: {greeted}");
    let (reason, turns) = stage.ended(&call).await;
    assert_eq!(reason, "caller_hung_up");
    let said: Vec<_> = turns.iter().map(|turn| (turn.speaker, turn.text.as_str())).collect();
    assert_eq!(said.len(), 6, "{said:?}");
    assert!(
        said[0].1.contains("This is Barbara with Peterson Family Insurance. How can I help you?"),
        "{said:?}"
    );
    assert_eq!(said[1], (Speaker::Caller, "Can you explain how your car policies work?"));
    assert_eq!(said[3], (Speaker::Caller, "Sorry, let me stop you there. What time is it?"));
    let time = said[5].1.strip_prefix("It is ").and_then(|rest| rest.strip_suffix('.')).expect("the time");
    assert!(said[4].1.starts_with(&format!("Looked at the clock: {time} on ")), "{said:?}");
    assert_eq!((said[4].0, said[5].0), (Speaker::Tool, Speaker::Agent));
    staff_see_the_tool(&stage, said[4].1).await;
    let cut = &turns[2];
    assert!(cut.interrupted && cut.speaker == Speaker::Agent, "{cut:?}");
    // Interrupted some three seconds into a quarter of a minute: only what was heard is kept.
    assert!((2_500..4_000).contains(&cut.heard_ms.unwrap()), "{cut:?}");
    assert!(cut.text.starts_with("Of course. A car policy") && cut.text.len() < 120, "{cut:?}");
}

/// Over GraphQL, in its place among the turns, and in the subscription.
async fn staff_see_the_tool(stage: &Stage, account: &str) {
    let api = Api::of(&stage.world).await;
    let query = "{ calls(first: 1) { nodes { id turns(first: 20) { nodes { sequence speaker text } } } } }";
    let data = api.data(&stage.tenant, query, json!({})).await;
    let call = &data["calls"]["nodes"][0];
    let seen = json!({"sequence": 5, "speaker": "TOOL", "text": account});
    assert_eq!(call["turns"]["nodes"][4], seen);
    let mut socket = api.entered(&stage.tenant).await;
    let followed =
        "subscription($id: ID!) { callTurns(callId: $id, afterSequence: 4) { sequence speaker text } }";
    socket.subscribe("1", followed, json!({"id": call["id"]})).await;
    assert_eq!(socket.hear().await.unwrap()["payload"]["data"]["callTurns"], seen);
}

/// A caller on a noisy line who speaks as soon as it is up, while the greeting begins, and listens to so many replies.
async fn speak_at_once(stage: &Stage, words: &str, replies: usize) -> (Vec<Value>, Vec<Turn>) {
    let mut steps =
        vec![json!({"do": "noise", "ms": 200, "level": 2500}), json!({"do": "say", "text": words})];
    steps.extend(vec![json!({"do": "await_reply", "quiet_ms": 700, "within_ms": 15000}); replies]);
    steps.push(json!({"do": "hang_up"}));
    let (call, timeline) = stage.place(json!({"voice": "caller", "steps": steps})).await;
    let (reason, turns) = stage.ended(&call).await;
    assert_eq!(reason, "caller_hung_up");
    (timeline, turns)
}

fn said(turns: &[Turn]) -> Vec<(Speaker, bool, &str)> {
    turns.iter().map(|turn| (turn.speaker, turn.interrupted, turn.text.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_into_the_greeting_does_not_cut_it_off_and_is_answered() {
    let stage = Stage::open().await;
    let (timeline, turns) = speak_at_once(&stage, "Yes.", 2).await;
    let said = said(&turns);
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(said[0], (Speaker::Caller, false, "Yes."));
    let greeting = "This is Barbara with Peterson Family Insurance. How can I help you?";
    assert!(said[1].2.ends_with(greeting) && !said[1].1, "{said:?}");
    let answer = "I am sorry, I did not catch that. Could you say it again?";
    assert_eq!(said[2], (Speaker::Agent, false, answer));
    assert!(timeline.iter().all(|line| line["event"] != "clear"), "{timeline:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_on_into_the_greeting_is_yielded_to() {
    let stage = Stage::open().await;
    let words = "Yes, this is John. What do you know about my car?";
    let (timeline, turns) = speak_at_once(&stage, words, 1).await;
    let said = said(&turns);
    let [greeting, caller, answer] = said[..] else { panic!("{said:?}") };
    assert!(greeting.1 && greeting.2.len() < 40, "the greeting is cut off: {said:?}");
    assert_eq!(caller, (Speaker::Caller, false, words));
    assert_eq!(answer, (Speaker::Agent, false, "I do not know yet what you drive. Which car is it?"));
    let cleared = timeline.iter().find(|line| line["event"] == "clear").expect("a clear");
    let begun = timeline.iter().find(|line| line["event"] == "agent_starts").unwrap();
    let guarded_ms = cleared["at_ms"].as_u64().unwrap() - begun["at_ms"].as_u64().unwrap();
    assert!((1_400..2_000).contains(&guarded_ms), "{guarded_ms} ms after the greeting began");
}

/// An agent who says goodbye soon, to a caller who would stay; what the stand-in carrier's REST interface does first.
async fn say_goodbye(fault: Option<Value>) -> (Stage, String, Vec<Value>) {
    let stage = Stage::limited(|limits| limits.call.call_ms_max = 1_000).await;
    stage.speak("es").await;
    if let Some(fault) = fault {
        let url = format!("{}/twilio/faults", stage.standin.control);
        let answer = stage.world.app.http.post(url).json(&fault).send().await.unwrap();
        assert!(answer.status().is_success());
    }
    let (call, timeline) = stage.place(json!({"steps": []})).await;
    (stage, call, timeline)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_is_heard_to_its_end_and_the_carrier_told_to_hang_up() {
    let (stage, call, timeline) = say_goodbye(None).await;
    let of = |event: &str| timeline.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let at = |line: &Value| line["at_ms"].as_u64().unwrap();
    // The carrier ended the call because it was asked to.
    let [rest] = of("rest")[..] else { panic!("{timeline:?}") };
    assert_eq!(rest["fields"], json!({"Status": "completed"}));
    let ended = timeline.last().unwrap();
    assert_eq!((&ended["event"], &ended["reason"]), (&json!("ended"), &json!("completed_by_rest")));
    // By then all of the goodbye had been played, in the agent's language.
    let goodbye =
        "Lo siento, se acabó el tiempo que tengo para una llamada. Vuelva a llamar cuando quiera. ¡Adiós!";
    let heard = of("agent")
        .into_iter()
        .find(|line| line["text"].as_str().is_some_and(|text| text.ends_with(goodbye)));
    assert!(heard.expect("the whole goodbye")["to_ms"].as_u64().unwrap() <= at(rest), "{timeline:?}");
    // The carrier's news of it arrived and changed nothing.
    let callbacks = of("callback");
    let completed = callbacks.iter().find(|line| line["of"] == "completed").expect("a callback");
    assert_eq!(completed["answer"]["status"], 204, "{completed}");
    assert_eq!(completed["fields"]["CallStatus"], "completed");
    let (reason, turns) = stage.ended(&call).await;
    assert_eq!(reason, "call_too_long");
    let said = said(&turns);
    let [greeting, last] = said[..] else { panic!("{said:?}") };
    assert!(
        greeting.2.ends_with("Le habla Barbara, de Peterson Family Insurance. ¿En qué puedo ayudarle?"),
        "{said:?}"
    );
    assert_eq!(last, (Speaker::Agent, false, goodbye));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_cannot_be_told_to_hang_up_is_when_it_asks() {
    let fault = json!({"path": "Calls", "times": 1, "fault": {"status": 500}});
    let (stage, call, timeline) = say_goodbye(Some(fault)).await;
    let ended = timeline.last().unwrap();
    assert_eq!((&ended["event"], &ended["reason"]), (&json!("ended"), &json!("hangup_verb")), "{timeline:?}");
    assert_eq!(stage.ended(&call).await.0, "call_too_long");
}
