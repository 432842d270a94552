//! The published slider rule, as tables.

use neurosphere::tenants::persona::{COUNT, Preset, Slider, Sliders, instruction};
use serde_json::json;

/// What a value is expected to say: nothing, one of the two opposites, or the trait with its strength.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Says {
    Nothing,
    StrongLow,
    MildLow,
    High(&'static str),
}

const BOUNDARIES: [(u8, Says); 11] = [
    (0, Says::StrongLow),
    (29, Says::StrongLow),
    (30, Says::MildLow),
    (49, Says::MildLow),
    (50, Says::Nothing),
    (51, Says::High("moderately")),
    (64, Says::High("moderately")),
    (65, Says::High("quite")),
    (79, Says::High("quite")),
    (80, Says::High("very")),
    (100, Says::High("very")),
];

fn check(slider: Slider, value: u8, says: Says) {
    let said = instruction(slider, value);
    let strong = instruction(slider, 0).unwrap();
    let mild = instruction(slider, 49).unwrap();
    let expected = match says {
        Says::Nothing => None,
        Says::StrongLow => Some(strong.clone()),
        Says::MildLow => Some(mild.clone()),
        Says::High(strength) => {
            let very = instruction(slider, 100).unwrap();
            assert_eq!(very.matches("very").count(), 1, "{very}");
            Some(very.replace("very", strength))
        }
    };
    assert_eq!(said, expected, "{} at {value}", slider.key());
    assert_ne!(strong, mild, "{}", slider.key());
    let Some(sentence) = said else { return };
    assert!(sentence.ends_with('.') && sentence.matches(". ").count() == 0, "one sentence: {sentence}");
    assert!(sentence.starts_with(|c: char| c.is_ascii_uppercase()), "{sentence}");
    assert!(!sentence.contains(['{', '}', '\n']), "{sentence}");
}

#[test]
fn every_slider_follows_the_rule_at_every_boundary() {
    for slider in Slider::ALL {
        for (value, says) in BOUNDARIES {
            check(slider, value, says);
        }
    }
}

#[test]
fn the_words_of_warmth_are_as_published() {
    let at = |value| instruction(Slider::Warmth, value).unwrap();
    assert_eq!(at(10), "Stay neutral and professional, without personal warmth.");
    assert_eq!(at(40), "Be courteous but a little reserved rather than warm.");
    assert_eq!(at(60), "Be moderately warm and friendly with the caller.");
    assert_eq!(at(70), "Be quite warm and friendly with the caller.");
    assert_eq!(at(90), "Be very warm and friendly with the caller.");
}

#[test]
fn no_value_makes_the_agent_deny_being_an_ai() {
    for value in 0..50 {
        let said = instruction(Slider::SelfReference, value).unwrap();
        assert!(said.contains("when asked always say honestly that you are one"), "{value}: {said}");
    }
    let denials = ["deny", "pretend", "human", "real person", "not an ai", "not a robot", "conceal", "hide"];
    for slider in Slider::ALL {
        for value in 0..=100 {
            let said = instruction(slider, value).unwrap_or_default().to_lowercase();
            for denial in denials {
                assert!(!said.contains(denial), "{} at {value}: {said}", slider.key());
            }
            let speaks_of_it = said.contains("ai assistant");
            assert_eq!(speaks_of_it, slider == Slider::SelfReference && value != 50, "{said}");
        }
    }
}

#[test]
fn instructions_come_in_slider_order_and_neutral_says_nothing() {
    assert!(Sliders::default().instructions().is_empty());
    let sliders = Sliders::from_json(&json!({"metaAwareness": 0, "warmth": 90})).unwrap();
    let said = sliders.instructions();
    assert_eq!(
        said,
        ["Be very warm and friendly with the caller.", "Never comment on the conversation itself."]
    );
}

#[test]
fn json_round_trips_and_mistakes_are_named() {
    for preset in Preset::ALL {
        let sliders = preset.sliders();
        assert_eq!(Sliders::from_json(&sliders.to_json()), Ok(sliders), "{}", preset.key());
        assert_eq!(sliders.to_json().as_object().unwrap().len(), COUNT);
    }
    let refused = Sliders::from_json(&json!({
        "warmth": 101, "humour": 5, "risk": -1, "detail": 3.5, "polish": "80", "memory": 300, "caution": 0
    }))
    .unwrap_err();
    let mut named: Vec<_> = refused.iter().map(|v| format!("{} {}", v.path, v.message)).collect();
    named.sort();
    assert_eq!(
        named,
        [
            "detail must be a whole number from 0 to 100",
            "humour is not the name of a slider",
            "memory must be a whole number from 0 to 100",
            "polish must be a whole number from 0 to 100",
            "risk must be a whole number from 0 to 100",
            "warmth must be a whole number from 0 to 100",
        ]
    );
    assert_eq!(Sliders::from_json(&json!([])).unwrap_err().first().unwrap().message, "must be an object");
}

#[test]
fn presets_hold_the_published_values() {
    let value = |preset: Preset, slider| preset.sliders().get(slider);
    assert_eq!(value(Preset::Professional, Slider::Polish), 90);
    assert_eq!(value(Preset::Professional, Slider::Sarcasm), 10);
    assert_eq!(value(Preset::Friendly, Slider::Jargon), 30);
    assert_eq!(value(Preset::Assertive, Slider::Humility), 20);
    assert_eq!(value(Preset::Empathetic, Slider::Inclusive), 95);
    assert_eq!(value(Preset::Flirtatious, Slider::Formality), 15);
    assert_eq!(Preset::Balanced.sliders(), Sliders::default());
    let sums: Vec<u32> =
        Preset::ALL.map(|p| Slider::ALL.iter().map(|s| u32::from(p.sliders().get(*s))).sum()).into();
    assert_eq!(sums, [1845, 1915, 1815, 1990, 1825, 1500]);
}

#[test]
fn keys_are_unique_and_sixteen_are_not_advanced() {
    let mut keys: Vec<_> = Slider::ALL.iter().map(|s| s.key()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), COUNT);
    let basic = Slider::ALL.iter().filter(|s| s.group().label() != "Advanced").count();
    assert_eq!(basic, 16);
}
