//! Turns, answers, interruptions, tools.

use super::*;

async fn greet(client: &mut Client, greeting: &str) -> Vec<Value> {
    let response = json!({ "instructions": format!("Say exactly: \"{greeting}\""), "tool_choice": "none" });
    client.send(json!({ "type": "response.create", "response": response })).await;
    client.until("response.done").await
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    let found = events.iter().find(|event| event["type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} among {:?}", kinds(events)))
}

#[tokio::test]
async fn the_agent_greets_in_the_words_it_is_given() {
    let world = World::fast().await;
    let mut client = world.client().await;
    let greeting = "Good morning! This is Barbara with Peterson Family Insurance. How can I help you?";
    let events = greet(&mut client, greeting).await;
    let mut once = kinds(&events);
    once.retain(|kind| !kind.contains(".delta"));
    assert_eq!(
        once,
        [
            "response.created",
            "rate_limits.updated",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
    );
    assert_eq!(audio(&events), *world.speech.speak(greeting, "marin").await);
    let deltas = events.iter().filter(|event| event["type"] == "response.output_audio_transcript.delta");
    let words: String = deltas.map(|event| event["delta"].as_str().unwrap()).collect();
    assert_eq!(words, greeting);
    let response = &of_kind(&events, "response.done")["response"];
    assert_eq!(response["status"], "completed");
    assert_eq!(response["output"][0]["content"][0]["transcript"], greeting);
    assert!(0 < response["usage"]["output_token_details"]["audio_tokens"].as_u64().unwrap());
}

#[tokio::test]
async fn a_turn_is_found_in_the_audio_transcribed_and_answered() {
    let world = World::fast().await;
    let mut client = world.client().await;
    world.say(&mut client, HELLO).await;
    let events = client.until("response.done").await;
    let started = of_kind(&events, "input_audio_buffer.speech_started");
    let stopped = of_kind(&events, "input_audio_buffer.speech_stopped");
    assert_eq!(started["audio_start_ms"], 0, "the prefix reaches back to the start");
    let end_ms = stopped["audio_end_ms"].as_u64().unwrap();
    let line_ms = u64::try_from(world.speech.speak(HELLO, "caller").await.len() / 8).unwrap();
    assert!(line_ms < end_ms && end_ms <= line_ms + 520, "{line_ms} {end_ms}");
    let item = &of_kind(&events, "input_audio_buffer.committed")["item_id"];
    assert_eq!((item, item), (&started["item_id"], &stopped["item_id"]));
    let transcript = of_kind(&events, "conversation.item.input_audio_transcription.completed");
    assert_eq!((&transcript["item_id"], &transcript["transcript"]), (item, &json!(HELLO)));
    let answer = of_kind(&events, "response.output_audio_transcript.done");
    assert_eq!(answer["transcript"], "I do not know you yet. May I ask your name?");
}

#[tokio::test]
async fn the_caller_interrupts_and_the_rest_is_cut() {
    let world = World::at_speed(4.0).await;
    let mut client = world.client().await;
    world.say(&mut client, EXPLAIN).await;
    let answer = client.first("response.output_audio.delta").await;
    world.say(&mut client, HELLO).await;
    let events = client.until("response.done").await;
    let response = &of_kind(&events, "response.done")["response"];
    assert_eq!(response["status"], "cancelled");
    assert_eq!(response["status_details"]["reason"], "turn_detected");
    assert_eq!(response["output"][0]["status"], "incomplete");
    let sent_ms = 200 + audio(&events).len() / 8;
    let truncate = |ms: usize| json!({ "type": "conversation.item.truncate", "item_id": answer["item_id"], "content_index": 0, "audio_end_ms": ms });
    let error = client.refused(truncate(sent_ms + 1)).await;
    assert_eq!(
        error["message"],
        format!("Audio content of {sent_ms}ms is already shorter than {}ms", sent_ms + 1)
    );
    client.send(truncate(sent_ms - 40)).await;
    assert_eq!(client.first("conversation.item.truncated").await["audio_end_ms"], sent_ms - 40);
    let error = client.refused(truncate(sent_ms)).await;
    assert_eq!(error["code"], "invalid_value", "what was cut cannot come back");
}

#[tokio::test]
async fn truncation_is_for_what_the_model_said() {
    let world = World::fast().await;
    let mut client = world.client().await;
    let content = json!([{ "type": "input_text", "text": "Hi" }]);
    let item = json!({ "id": "written", "type": "message", "role": "user", "content": content });
    client.send(json!({ "type": "conversation.item.create", "item": item })).await;
    client.until("conversation.item.done").await;
    for (item_id, code) in [("nobody", "item_not_found"), ("written", "invalid_value")] {
        let event = json!({ "type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": 0 });
        assert_eq!(client.refused(event).await["code"], code, "{item_id}");
    }
}

#[tokio::test]
async fn one_response_at_a_time() {
    let world = World::at_speed(2.0).await;
    let mut client = world.client().await;
    client.send(json!({ "type": "response.create" })).await;
    client.until("response.created").await;
    let error = client.refused(json!({ "type": "response.create", "event_id": "second" })).await;
    assert_eq!(error["code"], "conversation_already_has_active_response");
    assert_eq!(error["event_id"], "second");
    client.until("response.output_audio.delta").await;
    client.send(json!({ "type": "response.cancel" })).await;
    let done = client.first("response.done").await;
    assert_eq!(done["response"]["status_details"]["reason"], "client_cancelled");
}

#[tokio::test]
async fn tools_are_called_and_their_answers_used() {
    let world = World::fast().await;
    let mut client = world.client().await;
    world.say(&mut client, INTRODUCTION).await;
    let events = client.until("response.done").await;
    let calls: Vec<&Value> =
        events.iter().filter(|event| event["type"] == "response.function_call_arguments.done").collect();
    let arguments: Vec<Value> =
        calls.iter().map(|call| serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap()).collect();
    assert_eq!(
        arguments,
        [
            json!({ "fact": "The caller's name is John Smith.", "kind": "person" }),
            json!({ "fact": "John Smith drives a 2019 Toyota Camry.", "kind": "vehicle" }),
        ]
    );
    for call in &calls {
        let item = json!({ "type": "function_call_output", "call_id": call["call_id"], "output": "{\"stored\":true}" });
        client.send(json!({ "type": "conversation.item.create", "item": item })).await;
    }
    client.send(json!({ "type": "response.create" })).await;
    let answer = client.first("response.output_audio_transcript.done").await;
    assert_eq!(
        answer["transcript"],
        "Thank you, John Smith. I have noted your 2019 Toyota Camry. Where do you live?"
    );
}

#[tokio::test]
async fn memory_comes_from_the_instructions_alone() {
    for (instructions, expected) in [
        ("The caller drives a 2019 Toyota Camry.", "You drive a 2019 Toyota Camry. It is in my notes."),
        ("The caller is new.", "I do not know yet what you drive. Which car is it?"),
    ] {
        let world = World::fast().await;
        let mut client = world.client().await;
        let session = json!({ "type": "realtime", "instructions": instructions });
        client.send(json!({ "type": "session.update", "session": session })).await;
        client.until("session.updated").await;
        world.say(&mut client, "Yes, this is John. What do you know about my car?").await;
        let answer = client.first("response.output_audio_transcript.done").await;
        assert_eq!(answer["transcript"], expected);
    }
}

#[tokio::test]
async fn a_client_may_end_turns_itself() {
    let world = World::fast().await;
    let mut client = world.client().await;
    let session = json!({ "type": "realtime", "audio": { "input": { "turn_detection": null } } });
    client.send(json!({ "type": "session.update", "session": session })).await;
    client.until("session.updated").await;
    world.say(&mut client, HELLO).await;
    client.send(json!({ "type": "input_audio_buffer.clear" })).await;
    assert_eq!(client.next().await["type"], "input_audio_buffer.cleared", "no turn was found");
    world.say(&mut client, HELLO).await;
    client.send(json!({ "type": "input_audio_buffer.commit" })).await;
    let transcript = client.first("conversation.item.input_audio_transcription.completed").await;
    assert_eq!(transcript["transcript"], HELLO);
    let response = json!({ "output_modalities": ["text"] });
    client.send(json!({ "type": "response.create", "response": response })).await;
    let events = client.until("response.done").await;
    assert_eq!(
        of_kind(&events, "response.output_text.done")["text"],
        "I do not know you yet. May I ask your name?"
    );
    assert!(audio(&events).is_empty());
}

#[tokio::test]
async fn a_silent_caller_is_asked_after_the_playback_and_the_timeout() {
    use super::super::faults::Faults;
    use super::super::session::{Opening, Session};
    use super::super::wire::Outgoing;
    use crate::tap::Leg;
    use tokio::time::Instant;

    let world = World::fast().await;
    let page = world.openai.0.journal.open(&axum::http::HeaderMap::new(), "gpt-realtime-2.1");
    let (script, speech, faults) = (world.openai.script(), world.speech.clone(), Faults::default());
    let opening = Opening {
        model: "gpt-realtime-2.1".to_owned(),
        page,
        script,
        speech,
        leg: Leg::default(),
        faults,
        expires_at: 0,
    };
    let began = Instant::now();
    let mut session = Session::open(opening, began);
    let mut update = telephone();
    update["session"]["audio"]["input"]["turn_detection"]["idle_timeout_ms"] = json!(6_000);
    session.receive(began, &update.to_string());
    session.receive(began, r#"{"type":"response.create"}"#);
    session.play(began);
    let (text, voice) = session.wants_speech().unwrap();
    let audio = world.speech.speak(&text, &voice).await;
    session.speech_made(began, &text, std::sync::Arc::clone(&audio));
    let mut now = began;
    let mut triggered_at = None;
    while triggered_at.is_none() && now < began + Duration::from_mins(1) {
        now = session.deadline();
        session.wake(now);
        while let Some(outgoing) = session.next() {
            let Outgoing::Text(text) = outgoing else { continue };
            if text.contains("timeout_triggered") {
                triggered_at = Some(now - began);
            }
        }
    }
    let played = Duration::from_millis(u64::try_from(audio.len() / 8).unwrap());
    assert_eq!(triggered_at, Some(played + Duration::from_secs(6)));
}

#[tokio::test]
async fn the_voice_stays_once_it_was_heard() {
    let world = World::fast().await;
    let mut client = world.client().await;
    greet(&mut client, "Hi, this is Barbara with Peterson Family Insurance. Is this John Smith?").await;
    let session = json!({ "type": "realtime", "audio": { "output": { "voice": "cedar" } } });
    let error = client.refused(json!({ "type": "session.update", "session": session })).await;
    assert_eq!(error["code"], "cannot_update_voice");
}

#[tokio::test]
async fn one_response_may_hold_several_items() {
    let script =
        "[pace]\nthink_ms = 0\nspeed = 100.0\n[[rule]]\nheard = 'who I am'\nsay = ['No.', 'Who are you?']";
    let world = World::with(Script::parse(script).unwrap()).await;
    let mut client = world.client().await;
    world.say(&mut client, HELLO).await;
    let events = client.until("response.done").await;
    let said = events.iter().filter(|event| event["type"] == "response.output_audio_transcript.done");
    let said: Vec<(&Value, &Value)> =
        said.map(|event| (&event["output_index"], &event["transcript"])).collect();
    assert_eq!(said, [(&json!(0), &json!("No.")), (&json!(1), &json!("Who are you?"))]);
    assert_eq!(of_kind(&events, "response.done")["response"]["output"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn turns_neither_answer_nor_interrupt_unless_told_to() {
    let world = World::at_speed(10.0).await;
    let mut client = world.client().await;
    let rule = json!({ "type": "server_vad", "silence_duration_ms": 500, "create_response": false, "interrupt_response": false });
    let session = json!({ "type": "realtime", "audio": { "input": { "turn_detection": rule } } });
    client.send(json!({ "type": "session.update", "session": session })).await;
    client.until("session.updated").await;
    world.say(&mut client, EXPLAIN).await;
    let events = client.until("conversation.item.input_audio_transcription.completed").await;
    assert!(!kinds(&events).contains(&"response.created"));
    client.send(json!({ "type": "response.create" })).await;
    client.until("response.output_audio.delta").await;
    world.say(&mut client, HELLO).await;
    let events = client.until("response.done").await;
    assert!(kinds(&events).contains(&"input_audio_buffer.speech_started"));
    assert_eq!(of_kind(&events, "response.done")["response"]["status"], "completed");
}
