//! Events as messages: there and back again, and as `docs/event.schema.json` describes them.

use anchorwatch_event_schema::EventSchema;
use anchorwatch_mqtt::{MAX_EVENT_BYTES, SCHEMA, event_from_json, event_json};
use anchorwatch_store::{Clock, Event, Facts, Identity, Kind, Marks, Moment, Position};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn numbers() -> impl Strategy<Value = Vec<f32>> {
    let finite = any::<f32>().prop_filter("JSON has only such", |number| number.is_finite());
    prop::collection::vec(finite, 0..6)
}

fn moments() -> impl Strategy<Value = Moment> {
    // Until the year 9999.
    (0i64..253_402_300_800_000, 0i64..10_i64.pow(12), "[0-9a-f-]{0,36}", any::<bool>())
        .prop_map(|(utc_ms, uptime_ms, boot, clock_set)| Moment { utc_ms, uptime_ms, boot, clock_set })
}

fn seen(facts: Facts) -> impl Strategy<Value = Facts> {
    let finite = any::<f32>().prop_filter("JSON has only such", |number| number.is_finite());
    let text = prop::option::of(".{0,20}");
    let place = (0..=i64::MAX as u64, any::<u32>(), any::<[u32; 4]>());
    let judged = (text.clone(), text.clone(), prop::option::of(finite.clone()), prop::option::of(finite));
    (place, judged, numbers(), numbers(), numbers(), ".{0,20}", text).prop_map(
        move |(place, judged, distances, logits, embedding, model, model_version)| {
            let (frame, region, region_box) = place;
            let (class, runner_up, score, threshold) = judged;
            Facts {
                frame,
                region,
                region_box,
                class,
                runner_up,
                score,
                threshold,
                distances,
                logits,
                embedding,
                model,
                model_version,
                ..facts.clone()
            }
        },
    )
}

fn all_facts() -> impl Strategy<Value = Facts> {
    let position = (-90.0..=90.0, -180.0..=180.0, prop::option::of(-500.0..9000.0))
        .prop_map(|(latitude, longitude, altitude)| Position { latitude, longitude, altitude });
    let details = prop::collection::btree_map("x_[a-z]{1,8}", any::<i32>().prop_map(Value::from), 0..3);
    let ends = prop::option::of("u-[0-9a-f]{8}-[0-9]{10}");
    (0..Kind::ALL.len(), moments(), ".{0,30}", ends, prop::option::of(position), details)
        .prop_map(|(kind, moment, source, ends, position, details)| {
            let mut facts = Facts::new(Kind::ALL[kind], moment, &source);
            facts.ends = ends;
            facts.position = position;
            facts.details = details.into_iter().collect();
            facts
        })
        .prop_flat_map(|facts| {
            if matches!(facts.kind, Kind::CameraLost | Kind::CameraBack) {
                Just(facts).boxed()
            } else {
                seen(facts).boxed()
            }
        })
}

/// The event as a store would give it back.
fn recorded(facts: Facts) -> Event {
    let clock = if facts.moment.clock_set { Clock::Set } else { Clock::Unset };
    Event {
        seq: 7,
        id: "u-0a1b2c3d-0000000007".into(),
        unit: "u".into(),
        facts,
        clock,
        crop: Some("crops/000000/u-0a1b2c3d-0000000007.jpg".into()),
        crop_bytes: 900,
        crop_size: [40, 30],
        marks: Marks { label: Some("kite".into()), ..Marks::default() },
    }
}

proptest! {
    #[test]
    fn an_event_comes_home_as_it_was(facts in all_facts()) {
        let event = recorded(facts);
        let payload = event_json(&event);
        let json: Value = serde_json::from_slice(&payload).unwrap();
        let wrong = EventSchema::read().unwrap().faults(&json);
        prop_assert!(wrong.is_empty(), "{:?} in {}", wrong, json);
        let came = event_from_json("u", &payload).unwrap();
        prop_assert_eq!(came.identity.unwrap(), Identity { id: event.id, unit: event.unit });
        prop_assert_eq!(came.facts, event.facts);
        prop_assert!(came.crop.is_none());
    }

    /// Whatever comes, it is an event or refused.
    #[test]
    fn no_payload_does_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = event_from_json("u", &bytes);
    }

    /// One member of a good event is something else.
    #[test]
    fn no_member_does_harm(
        facts in all_facts(),
        member in any::<prop::sample::Index>(),
        value in prop::sample::select(vec![
            Value::Null, json!(-1), json!(1e300), json!(u64::MAX), json!("x"), json!([]), json!([[1]]), json!({"a": {}}), json!(true),
        ]),
    ) {
        let Value::Object(mut members) = serde_json::from_slice(&event_json(&recorded(facts))).unwrap() else { unreachable!() };
        let names: Vec<String> = members.keys().cloned().collect();
        members.insert(member.get(&names).clone(), value);
        let payload = Value::Object(members).to_string();
        if let Ok(event) = event_from_json("u", payload.as_bytes()) {
            let identity = event.identity.unwrap();
            prop_assert!(identity.unit == "u" && identity.id.starts_with("u-"));
        }
    }
}

#[test]
fn times_that_were_put_right_and_numbers_that_json_lacks() {
    let moment = Moment { utc_ms: 1_767_225_600_123, uptime_ms: 5, boot: "b".into(), clock_set: false };
    let mut facts = Facts::new(Kind::Single, moment, "s");
    facts.distances = vec![1.0, f32::INFINITY, f32::NAN];
    facts.score = Some(f32::NAN);
    let event = Event { clock: Clock::Corrected, ..recorded(facts) };
    let came = event_from_json("u", &event_json(&event)).unwrap();
    assert!(came.facts.moment.clock_set, "what was put right can be believed at home");
    assert_eq!(came.facts.moment.utc_ms, 1_767_225_600_123);
    assert!(came.facts.distances[0] == 1.0 && came.facts.distances[1..].iter().all(|number| number.is_nan()));
    assert_eq!(came.facts.score, None);
}

#[test]
fn what_is_refused_says_why() {
    let event = recorded(Facts::new(
        Kind::CameraBack,
        Moment { utc_ms: 0, uptime_ms: 0, boot: String::new(), clock_set: true },
        "s",
    ));
    let with = |change: &dyn Fn(&mut Map<String, Value>)| {
        let Value::Object(mut members) = serde_json::from_slice(&event_json(&event)).unwrap() else {
            unreachable!()
        };
        change(&mut members);
        event_from_json("u", Value::Object(members).to_string().as_bytes())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    let set = |name: &'static str, value: Value| {
        with(&move |members| {
            members.insert(name.to_string(), value.clone());
        })
    };
    for (name, value, expected) in [
        ("schema", json!(SCHEMA + 1), "newer anchorwatch"),
        ("schema", json!("1"), "no schema"),
        ("unit", json!("v"), "topic"),
        ("id", json!("u-../x"), "identifier"),
        ("phase", json!("other"), "phase"),
        ("time", json!("yesterday"), "'time'"),
        ("uptime", json!(-1), "'uptime'"),
        ("clock_set", json!(1), "'clock_set'"),
        ("source", json!("x".repeat(5000)), "'source'"),
        ("position", json!({ "latitude": 91, "longitude": 0 }), "'position'"),
    ] {
        let reason = set(name, value);
        assert!(reason.contains(expected), "{name}: {reason}");
    }
    assert!(with(&|members| members.clear()).contains("no schema"));
    let large = vec![b' '; MAX_EVENT_BYTES + 1];
    assert!(event_from_json("u", &large).unwrap_err().to_string().contains("bytes"));
    // A later version may add members.
    let mut members: Value = serde_json::from_slice(&event_json(&event)).unwrap();
    members["new_in_1_1"] = json!([1]);
    let came = event_from_json("u", members.to_string().as_bytes()).unwrap();
    assert_eq!(came.facts.details["new_in_1_1"], json!([1]));
}
