//! The beginning of calls: noise does not cut the greeting off, and what is said before and into it is not lost.

use super::stage::{check, check_from_the_start, check_with, play_from_the_start};

/// A first piece of the greeting is on its way to the caller.
const BEGUN: &str = r"
    > response r1
    > audio r1 a1 800
    < carrier media 800
    < carrier mark 0.0
    > words a1 Hello, this is Barbara.
";

#[test]
fn what_is_said_before_the_model_is_ready_is_kept_for_it() {
    check_from_the_start(
        r#"
        > start
        > media 0 160
        > session.created
        < model session.update
        > media 20 160
        # 40 ms are missing.
        > media 80 160
        > session.updated audio/pcmu
        < model append 160
        < model append 160
        < model silence 320
        < model append 160
        < model ask-1 says "Hello, this is Barbara."
        > media 100 160
        < model append 160
        "#,
    );
}

#[test]
fn what_is_kept_is_bounded_and_the_rest_is_counted() {
    const EARLY: &str = "
        > start
        > session.created
        < model session.update
        > media 0 160
        > media 20 160
        > media 40 1
    ";
    for (then, frames_in, frames_unheard) in [
        (
            "> session.updated audio/pcmu\n< model append 160\n< model append 1\n\
             < model ask-1 says \"Hello, this is Barbara.\"",
            2,
            1,
        ),
        ("> stop\n< close carrier\n< close model\n< finished caller_hung_up", 0, 3),
    ] {
        let call = play_from_the_start(|limits| limits.early_audio_ms_max = 40, &format!("{EARLY}{then}"));
        let totals = call.session.totals();
        assert_eq!((totals.frames_in, totals.frames_unheard), (frames_in, frames_unheard), "{then}");
    }
}

#[test]
fn noise_on_pick_up_does_not_cut_the_greeting_off() {
    // The guard ends once a part of the greeting was heard and it is quiet.
    check(&format!(
        r"
        > media 0 160
        < model append 160
        > speech u1
        {BEGUN}
        > media 20 160
        < model append 160
        @ 100
        > mark 0.0
        > stopped u1
        < model is granted the initiative
        > committed u1
        > not_heard u1
        "
    ));
    // It ends in any case when its time is over.
    check(&format!("{BEGUN}\n@ 1499\n@ 1500\n< model is granted the initiative"));
}

#[test]
fn a_greeting_that_is_over_before_its_first_sound_is_asked_for_again_but_not_for_ever() {
    check(
        r#"
        > response r1
        > done r1 cancelled
        < model ask-2 says "Hello, this is Barbara."
        > response r2
        > done r2 completed
        < model ask-3 says "Hello, this is Barbara."
        > speech u1
        > response r3
        > done r3 completed
        # The caller has the word. The model does not answer of its own accord yet: it is asked to.
        > stopped u1
        < model is granted the initiative
        > committed u1
        < model ask-4 answers
        > session.updated audio/pcmu
        "#,
    );
}

#[test]
fn what_was_said_into_the_greeting_is_known_and_answered_if_the_caller_waits_for_it() {
    let hello = format!(
        r#"
        > speech u1
        @ 300
        {BEGUN}
        @ 700
        > mark 0.0
        > stopped u1
        < model is granted the initiative
        > committed u1 a1
        > session.updated audio/pcmu
        > audio r1 a1 8000
        < carrier media 8000
        < carrier mark 0.1
        > done r1 completed
        > heard u1 Hello? Hi, this is John.
        < turn caller 0-700 "Hello? Hi, this is John."
        @ 1700
        > mark 0.1
        < turn agent 300-1700 "Hello, this is Barbara." heard 1100 of 1100
        "#
    );
    // Silence follows: the caller waits.
    check(&format!(
        "{hello}\n@ 3699\n@ 3700\n< model ask-2 answers\n> response r2\n> done r2 completed\n@ 9000"
    ));
    // The caller goes on: the model answers all of it at once.
    check(&format!(
        "{hello}\n> speech u2\n> stopped u2\n> committed u2 u1\n> response r2\n> done r2 completed\n@ 9000"
    ));
    // Words without a voice are no words.
    let noise = hello.replace("Hello? Hi, this is John.", "").replace("< turn caller 0-700 \"\"", "");
    check(&format!("{noise}\n@ 9000"));
}

#[test]
fn who_speaks_on_is_yielded_to_when_the_guard_ends() {
    check_with(
        |limits| limits.greeting_guard_ms_max = 500,
        &format!(
            r#"
            > speech u1
            {BEGUN}
            @ 200
            > mark 0.0
            > audio r1 a1 800
            < carrier media 800
            < carrier mark 0.1
            @ 500
            < model cancel r1
            < carrier clear
            < model truncate a1 at 100
            < turn agent 0-500 "Hello, this" heard 100 of 200 interrupted
            > audio r1 a1 800
            > done r1 cancelled
            @ 700
            > stopped u1
            < model is granted the initiative
            > committed u1 a1
            < model ask-2 answers
            > session.updated audio/pcmu
            > response r2
            > heard u1 Hello? Hi, this is John, and I had an accident.
            < turn caller 0-700 "Hello? Hi, this is John, and I had an accident."
            "#
        ),
    );
    // Hung up in the middle: the last words are awaited as ever.
    check(&format!(
        r#"
        > speech u1
        {BEGUN}
        > stop
        < close carrier
        < model cancel r1
        < model input_audio_buffer.commit
        > committed u1
        > heard u1 Wrong number.
        < turn caller 0-0 "Wrong number."
        < close model
        < finished caller_hung_up
        "#
    ));
}

#[test]
fn until_the_model_confirms_that_it_acts_we_do() {
    let unconfirmed = format!(
        r#"{BEGUN}
        > mark 0.0
        < model is granted the initiative
        > audio r1 a1 800
        < carrier media 800
        < carrier mark 0.1
        > speech u1
        < model cancel r1
        < carrier clear
        < model truncate a1 at 100
        < turn agent 0-0 "Hello, this" heard 100 of 200 interrupted
        > done r1 cancelled
        > stopped u1
        "#
    );
    check(&format!("{unconfirmed}> committed u1\n< model ask-2 answers\n> session.updated audio/pcmu"));
    // Its events come in the order in which things happened.
    check(&format!("{unconfirmed}> session.updated audio/pcmu\n> committed u1\n> response r2"));
}

#[test]
fn a_model_that_refuses_to_act_is_no_use() {
    check(&format!(
        r#"{BEGUN}
        > mark 0.0
        < model is granted the initiative
        > error invalid_value initiative
        < close carrier
        < turn agent 0-0 "Hello, this is Barbara." heard 100 of 100 interrupted
        < close model
        < finished model_misbehaved
        "#
    ));
}
