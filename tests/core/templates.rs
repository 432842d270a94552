//! Templates: what profiles are refused and in which words, the quick bio, merge patches, the seed notation, and that
//! the built-in templates keep our own rules.

use neurosphere::error::Violation;
use neurosphere::templates::version::{Parts, TemplateVersion, built_in, canonical};
use neurosphere::templates::{merge, seed_language, validate};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::LazyLock;

static BUILT_IN: LazyLock<Vec<TemplateVersion>> = LazyLock::new(|| built_in().unwrap());

fn template(key: &str) -> &'static TemplateVersion {
    BUILT_IN.iter().find(|t| t.key() == key).unwrap()
}

fn words(violations: &[Violation]) -> Vec<String> {
    let mut lines: Vec<_> = violations.iter().map(|v| format!("{}: {}", v.path, v.message)).collect();
    lines.sort();
    lines
}

fn check(key: &str, profile: &Value, expected: &[&str]) {
    let found = validate::profile(template(key), profile).err().unwrap_or_default();
    assert_eq!(words(&found), expected, "{profile}");
}

fn john() -> Value {
    json!({
        "personal": {"name": "John Smith", "phone": "+19495550199", "county": "Orange County",
                     "address": "12 Oak Street", "date_of_birth": "1980-02-29"},
        "client_since": 2020,
        "policies": {
            "auto": [{"year": 2019, "make": "Toyota", "model": "Camry"}, {"vin": "1HGCM82633A004352"}],
            "home": [{"address": "12 Oak Street", "kind": "owner"}]
        },
        "family": {"spouse": {"name": "Maria"}, "children": [{"name": "Leo", "birthday": "05-30"}]}
    })
}

#[test]
fn profiles_that_fit_are_accepted() {
    check("insurance", &json!({}), &[]);
    check("insurance", &john(), &[]);
    check(
        "real_estate",
        &json!({
            "personal": {"name": "Ada Byron"}, "status": "buyer", "financing": {"pre_approved": true, "max_budget": 750_000},
            "properties": [{"address": "1 Elm Road", "status": "active", "asking_price": 812_500.5, "bathrooms": 2.5}]
        }),
        &[],
    );
}

#[test]
fn broken_rules_are_named_by_place_in_words() {
    check("insurance", &json!([]), &[": must be an object"]);
    check("insurance", &json!({"hobby": 1}), &["/hobby: is not a field of this template"]);
    check("insurance", &json!({"a/b~c": 1}), &["/a~1b~0c: is not a field of this template"]);
    check("insurance", &json!({"client_since": "2020"}), &["/client_since: must be a whole number"]);
    check("insurance", &json!({"client_since": 1492}), &["/client_since: must be at least 1900"]);
    check(
        "insurance",
        &json!({
            "personal": {"phone": "949-555-0199", "email": "no", "name": "", "state": "Cal", "date_of_birth": "1981-02-29"},
            "policies": {"auto": [{"make": 7}, {}, {"vin": "short", "coverage": "some"}], "boat": []},
            "family": {"children": [{"birthday": "30.5."}]},
            "claims": {}
        }),
        &[
            "/claims: must be a list",
            "/family/children/0/birthday: must be a birthday such as 1990-05-30, or 05-30 when the year is not known",
            "/personal/date_of_birth: must be a date, e.g. 2025-05-30",
            "/personal/email: must be an email address",
            "/personal/name: must not be empty",
            "/personal/phone: must be a phone number in E.164 form, e.g. +19495550123",
            "/personal/state: must be the two capital letters of a state, e.g. CA",
            "/policies/auto/0/make: must be text",
            "/policies/auto/1: must hold at least one field",
            "/policies/auto/2/coverage: must be one of liability, collision, comprehensive, full",
            "/policies/auto/2/vin: must be a VIN: 17 capital letters and digits, without I, O and Q",
            "/policies/boat: is not a field of this template",
        ],
    );
    check(
        "real_estate",
        &json!({"properties": [{"bathrooms": 1.3}], "search": {"areas": ["A", "A"]}, "financing": {"pre_approved": "yes"}}),
        &[
            "/financing/pre_approved: must be true or false",
            "/properties/0/bathrooms: must be a multiple of 0.5",
            "/search/areas: must not hold the same item twice",
        ],
    );
}

#[test]
fn no_message_repeats_a_private_value() {
    let secret = "XSECRETX";
    let profile = json!({"personal": {"phone": secret, "email": secret, "state": secret, "date_of_birth": secret,
        "marital_status": secret, "postal_code": secret}, "client_since": secret, "claims": secret});
    let found = validate::profile(template("insurance"), &profile).unwrap_err();
    assert_eq!(found.len(), 8, "{found:?}");
    assert!(!words(&found).join("").contains(secret), "{found:?}");
}

#[test]
fn what_comes_from_outside_is_limited() {
    let mut deep = json!(1);
    for _ in 0..10_000 {
        deep = Value::Array(vec![deep]);
    }
    let deepest = "/0".repeat(validate::DEPTH_MAX);
    let too_deep = [format!("{deepest}: must not be nested deeper than 12 levels")];
    assert_eq!(words(&validate::limits(&deep)), too_deep);
    std::mem::forget(deep); // dropping ten thousand levels would itself recurse
    let many = json!({"notes": vec!["x"; validate::ITEMS_MAX + 1]});
    check("insurance", &many, &["/notes: must not have more than 200 items"]);
    let fifty_one = json!({"notes": vec!["x"; 51]});
    check("insurance", &fifty_one, &["/notes: must not have more than 50 items"]);
    let large = json!({"notes": vec!["x".repeat(2_000); 40]});
    check("insurance", &large, &[": must not exceed 64 KB"]);
    check("insurance", &json!({"notes": ["a\0b"]}), &["/notes/0: must not contain NUL characters"]);
    check("insurance", &json!({"a\0b": 1}), &[": must not have NUL characters in its names"]);
    let unknown: Map<_, _> = (0..500).map(|n| (format!("field_{n}"), json!(1))).collect();
    let found = validate::profile(template("insurance"), &Value::Object(unknown)).unwrap_err();
    assert_eq!(found.len(), validate::VIOLATIONS_MAX + 1);
    assert_eq!(found.last().unwrap().message, "breaks 400 more rules");
}

#[test]
fn quick_bio_leaves_out_what_is_missing() {
    let bio = |key: &str, profile: Value| template(key).bio().line(&profile);
    assert_eq!(bio("insurance", john()), "John Smith | Orange County | 2 Auto + 1 Home | Client since 2020");
    assert_eq!(bio("insurance", json!({})), "");
    assert_eq!(
        bio("insurance", json!({"personal": {"preferred_name": "Jo", "city": "Irvine"}})),
        "Jo | Irvine"
    );
    assert_eq!(bio("insurance", json!({"policies": {"life": [{}], "auto": []}})), "1 Life");
    assert_eq!(bio("insurance", json!({"personal": {"name": " \n", "preferred_name": "A | B\tC"}})), "A B C");
    assert_eq!(bio("insurance", json!({"client_since": 12, "policies": 3, "personal": [1]})), "");
    let long = bio("insurance", json!({"personal": {"name": "é".repeat(500)}}));
    assert_eq!(long, format!("{}…", "é".repeat(79)));
    assert_eq!(
        bio(
            "real_estate",
            json!({
                "personal": {"name": "Ada Byron"}, "status": "buyer_and_seller", "client_since": 2021,
                "financing": {"max_budget": 1_750_000, "pre_approved": false},
                "properties": [{"status": "sold"}, {"status": "active"}, {"status": "sold"}, {}, 7]
            })
        ),
        "Ada Byron | Buyer and seller | $1,750,000 budget | Not pre-approved | 1 Active + 2 Sold | Client since 2021"
    );
}

#[test]
fn a_refused_patch_changes_nothing_and_says_why() {
    let insurance = template("insurance");
    let before = john();
    let after = merge::apply(
        insurance,
        &before,
        &json!({"personal": {"county": null, "city": "Irvine"}, "client_since": 2018, "claims": [{"status": "open"}]}),
    )
    .unwrap();
    assert_eq!(after["personal"]["name"], "John Smith");
    assert_eq!(after["personal"].get("county"), None);
    assert_eq!(
        (after["personal"]["city"].as_str(), after["client_since"].as_i64()),
        (Some("Irvine"), Some(2018))
    );
    let refusals = [
        (
            json!({"personal": {"city": "Irvine", "shoe": 44}}),
            "/personal/shoe: is not a field of this template",
        ),
        (json!({"personal": "gone"}), "/personal: must be an object"),
        (json!([1]), ": a patch must be an object"),
        (json!({"notes": vec!["x"; 300]}), "/notes: must not have more than 200 items"),
    ];
    for (patch, why) in refusals {
        let refused = merge::apply(insurance, &before, &patch).unwrap_err();
        assert_eq!(words(&refused), [why], "{patch}");
        assert_eq!(before, john());
    }
}

/// The examples of RFC 7396, appendix A.
#[test]
fn merge_patch_follows_the_examples_of_the_rfc() {
    for (document, patch, result) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"a": "foo"}), json!(null), json!(null)),
        (json!({"a": "foo"}), json!("bar"), json!("bar")),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        assert_eq!(merge::patched(&document, &patch), result, "{document} {patch}");
    }
}

#[test]
fn the_seed_notation_becomes_a_closed_schema() {
    let schema = seed_language::import(
        "Insurance",
        &json!({
            "personal": {"name": {"type": "text", "required": true, "label": "Full name"}, "phone": "phone"},
            "policies": {
                "auto_1": {"year": "int", "make": "text"}, "auto_2": {"year": "int", "make": "text"},
                "home": {"address": "text", "coverage_amount": "money"}
            },
            "family": {"spouse_name": "text", "children": "array[text]", "birthdays": "array[date]"},
            "status": {"type": "enum", "values": ["buyer", "seller"]},
            "kind": "enum[lead | client]",
            "claim": {"type": "text", "date": "date"},
            "room_101": "text"
        }),
    )
    .unwrap();
    let at = |pointer: &str| schema.pointer(&format!("/properties{pointer}")).cloned().unwrap_or_default();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(at("/personal/required"), json!(["name"]));
    assert_eq!(at("/personal/properties/name/title"), "Full name");
    assert_eq!(at("/policies/properties/auto/type"), "array");
    assert_eq!(at("/policies/properties/auto/items/additionalProperties"), false);
    assert_eq!(at("/policies/properties/auto/items/properties/year"), json!({"type": "integer"}));
    assert_eq!(at("/policies/properties/auto_1"), Value::Null);
    assert_eq!(at("/policies/properties/home/type"), "object");
    assert_eq!(at("/family/properties/children/items/type"), "string");
    assert_eq!(at("/family/properties/birthdays/items/format"), "date");
    assert_eq!(at("/status/enum"), json!(["buyer", "seller"]));
    assert_eq!(at("/kind/enum"), json!(["lead", "client"]));
    assert_eq!(at("/claim/properties/type/type"), "string");
    assert_eq!(at("/room_101/type"), "string");
    let parts = Parts {
        key: "seeded".into(),
        name: "Seeded".into(),
        number: 1,
        schema,
        ui: json!({}),
        bio: json!({"parts": []}),
    };
    let version = TemplateVersion::new(parts).unwrap();
    let refused =
        validate::profile(&version, &json!({"personal": {}, "policies": {"auto": [{"year": 1.5}]}}));
    assert_eq!(
        words(&refused.unwrap_err()),
        ["/personal/name: is required", "/policies/auto/0/year: must be a whole number"]
    );
}

#[test]
fn mistakes_in_a_seed_are_named_by_path() {
    let types = "text, int, number, money, bool, date, datetime, email, phone, url, array[…] or enum[a|b]";
    let mut deep = json!("text");
    for _ in 0..20 {
        deep = json!({"a": deep});
    }
    let many: Map<_, _> = (0..600).map(|n| (format!("f{n}"), json!("text"))).collect();
    let cases = [
        (json!("text"), vec![": must be an object of fields".to_owned()]),
        (json!({}), vec![": must have at least one field".to_owned()]),
        (json!({"a": {"year": "integr"}}), vec![format!("/a/year: must be {types}")]),
        (json!({"a": 7}), vec![format!("/a: must be {types}, or an object")]),
        (
            json!({"a": {"type": "text", "requird": true}}),
            vec![format!("/a/requird: must be {types}, or an object")],
        ),
        (
            json!({"a": {"type": "text", "required": 1}}),
            vec!["/a/required: must be true or false".to_owned()],
        ),
        (json!({"a": "array[wrong]"}), vec![format!("/a: must be {types}")]),
        (
            json!({"a": "enum[]", "b": {"type": "enum", "values": ["x", "x"]}}),
            ["/a", "/b"]
                .map(|p| format!("{p}: must list one or more different texts as the values of an enum"))
                .to_vec(),
        ),
        (
            json!({"Bad Name": "text"}),
            vec!["/Bad Name: must be named with a-z, 0-9 and _, at most 60".to_owned()],
        ),
        (
            json!({"auto_1": {"year": "int"}, "auto_2": {"year": "text"}}),
            vec!["/auto_2: has another shape than auto_1, so the two cannot share a list".to_owned()],
        ),
        (
            json!({"auto_1": "text", "auto_3": "text"}),
            vec!["/auto_3: skips a number: auto_2 is missing".to_owned()],
        ),
        (
            json!({"auto_1": "text", "auto": "text"}),
            vec!["/auto: clashes with the numbered slots auto_1, …".to_owned()],
        ),
        (deep, vec!["/a/a/a/a/a/a/a/a: must not be nested deeper than 8 levels".to_owned()]),
        (Value::Object(many), vec![": must not have more than 500 fields".to_owned()]),
    ];
    for (seed, expected) in cases {
        let mistakes = seed_language::import("Seed", &seed).unwrap_err();
        assert_eq!(words(&mistakes), expected, "{seed}");
    }
}

#[test]
fn a_version_refuses_what_is_not_our_kind_of_schema() {
    let refused = |schema: Value| {
        let (name, ui, bio) = ("T".to_owned(), json!({}), json!({"parts": []}));
        words(
            &TemplateVersion::new(Parts { key: "tt".into(), name, number: 1, schema, ui, bio }).unwrap_err(),
        )
    };
    let closed = "must be false, so that later versions can add fields safely";
    assert_eq!(refused(json!({"type": "object"})), [format!("/schema/additionalProperties: {closed}")]);
    let object = |properties: Value| json!({"type": "object", "additionalProperties": false, "properties": properties});
    assert_eq!(
        refused(object(json!({"a": {"$ref": "https://example.com/other.json"}}))),
        ["/schema/properties/a/$ref: must point into this document, as #/$defs/…"]
    );
    assert_eq!(refused(object(json!({"a": {"$ref": "#/$defs/none"}}))).len(), 1);
    assert_eq!(
        refused(object(json!({"a": {"type": "array"}, "b": {"type": "string"}, "c": {"type": "object"}}))),
        [
            "/schema/properties/a/items: must be given".to_owned(),
            "/schema/properties/a/maxItems: must be given, at most 200".to_owned(),
            "/schema/properties/b/maxLength: must be given unless an enum, a const or a format bounds the text".to_owned(),
            format!("/schema/properties/c/additionalProperties: {closed}"),
        ]
    );
    let look_around = object(json!({"a": {"type": "string", "maxLength": 9, "pattern": "(?=x)(a+)+$"}}));
    assert_eq!(refused(look_around).len(), 1, "patterns that can take exponential time do not compile");
    let parts = Parts {
        key: "Bad".into(),
        name: String::new(),
        number: 0,
        schema: object(json!({})),
        ui: json!([]),
        bio: json!({"parts": [{"kind": "poem"}]}),
    };
    let places: Vec<_> = TemplateVersion::new(parts).unwrap_err().into_iter().map(|v| v.path).collect();
    assert_eq!(places, ["/key", "/name", "/number", "/ui", "/bio"]);
}

#[test]
fn the_digest_names_the_content_whatever_the_order_of_keys() {
    let a: Value = serde_json::from_str(r#"{"b": [1, {"d": null, "c": "é"}], "a": true}"#).unwrap();
    assert_eq!(canonical(&a), r#"{"a":true,"b":[1,{"c":"é","d":null}]}"#);
    let digests: BTreeSet<_> = BUILT_IN.iter().map(|t| t.sha256().to_owned()).collect();
    assert_eq!(digests.len(), 2);
    assert!(digests.iter().all(|d| d.len() == 64));
}

/// The schema object that a pointer into a profile stands for; `*` is any item of an array.
fn field<'a>(schema: &'a Value, pointer: &str) -> Option<&'a Value> {
    let mut node = schema;
    for step in pointer.split('/').skip(1) {
        node = if step == "*" { node.get("items")? } else { node.get("properties")?.get(step)? };
    }
    Some(node)
}

/// Every place of a schema that has fields, as a pointer into a profile, with the names of its fields.
fn objects(node: &Value, pointer: &str, found: &mut Vec<(String, BTreeSet<String>)>) {
    if let Some(properties) = node.get("properties").and_then(Value::as_object) {
        found.push((pointer.to_owned(), properties.keys().cloned().collect()));
        for (name, inner) in properties {
            objects(inner, &format!("{pointer}/{name}"), found);
        }
    }
    if let Some(items) = node.get("items") {
        objects(items, &format!("{pointer}/*"), found);
    }
}

#[test]
fn hints_and_bio_of_the_built_in_templates_agree_with_their_schema() {
    for template in BUILT_IN.iter() {
        let schema = template.schema();
        let mut places = Vec::new();
        objects(schema, "", &mut places);
        let order = template.ui()["order"].as_object().unwrap();
        assert_eq!(order.len(), places.len(), "{}", template.key());
        let mut fields = 0;
        for (pointer, names) in places {
            let ordered: BTreeSet<String> =
                order[&pointer].as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned()).collect();
            assert_eq!(ordered, names, "{} {pointer}", template.key());
            for name in names {
                fields += 1;
                let label = &template.ui()["fields"][format!("{pointer}/{name}")]["label"];
                assert!(label.is_string(), "{} {pointer}/{name} has no label", template.key());
            }
        }
        assert_eq!(template.ui()["fields"].as_object().unwrap().len(), fields, "{}", template.key());
        let marked = schema.to_string().matches("\"x-bio\":true").count();
        assert_eq!(template.bio().pointers().count(), marked, "{}", template.key());
        for pointer in template.bio().pointers() {
            let place =
                field(schema, pointer).unwrap_or_else(|| panic!("{pointer} is not in {}", template.key()));
            assert_eq!(place["x-bio"], true, "{} {pointer}", template.key());
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "personal",
        "name",
        "county",
        "policies",
        "auto",
        "home",
        "client_since",
        "status",
        "properties",
        "financing",
        "max_budget",
        "pre_approved",
        "a",
        "b~/c",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_document_upsets_bio_validation_or_the_importer(document in any_json()) {
        for template in BUILT_IN.iter() {
            let line = template.bio().line(&document);
            prop_assert!(!line.contains(char::is_control) && line.chars().count() <= 300, "{line}");
            if let Err(violations) = validate::profile(template, &document) {
                prop_assert!(!violations.is_empty());
            }
        }
        if let Ok(schema) = seed_language::import("Any", &document) {
            prop_assert_eq!(validate::schema(&schema), vec![]);
        }
    }

    #[test]
    fn merge_patches_keep_their_laws(document in any_json(), patch in any_json()) {
        let once = merge::patched(&document, &patch);
        prop_assert_eq!(merge::patched(&once, &patch), once.clone(), "idempotent");
        if document.is_object() {
            prop_assert_eq!(merge::patched(&document, &json!({})), document, "the empty patch changes nothing");
        }
        if let Some(changes) = patch.as_object() {
            for (key, change) in changes {
                prop_assert_eq!(once.get(key).is_none(), change.is_null(), "null removes, all else is there");
            }
        }
    }
}
