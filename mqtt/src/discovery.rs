//! How a unit announces itself to Home Assistant: one retained message a device
//! (<https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload>).

use crate::topics::Topics;
use crate::{About, MqttError};
use anchorwatch_store::Kind;
use serde_json::{Value, json};

/// What comes before a unit's name where Home Assistant wants names that are unique in the house.
const OURS: &str = "anchorwatch";

/// The topic and the payload with which a unit announces itself. `prefix` is that of the unit's topics,
/// `discovery_prefix` that of Home Assistant's.
///
/// # Errors
/// If one of the prefixes may not stand in a topic.
pub fn discovery(
    unit: &str,
    about: &About,
    prefix: &str,
    discovery_prefix: &str,
) -> Result<(String, Value), MqttError> {
    let topics = Topics::new(prefix)?;
    Topics::new(discovery_prefix)?;
    // An entity's unique_id stays the same for ever: it is what a house's settings hang on.
    let id = |name: &str| format!("{OURS}_{unit}_{name}");
    let status = topics.status(unit);
    let event = topics.event(unit);
    // Samples of the known are not sent.
    let kinds: Vec<&str> =
        Kind::ALL.into_iter().filter(|kind| *kind != Kind::Known).map(Kind::name).collect();
    let payload = json!({
        "device": {
            "identifiers": [format!("{OURS}_{unit}")],
            "name": format!("anchorwatch {unit}"),
            "manufacturer": OURS,
            "model": about.model,
            "sw_version": about.version,
        },
        "origin": { "name": OURS, "sw_version": about.version },
        "availability_topic": status,
        "availability_template": "{{ value_json.state }}",
        "qos": 1,
        "components": {
            "event": {
                "platform": "event",
                "unique_id": id("event"),
                "name": "Event",
                "state_topic": event,
                "event_types": kinds,
                "value_template": "{{ {'event_type': value_json.phase, 'id': value_json.id, \
                    'time': value_json.time, 'class': value_json.class, \
                    'relative_score': value_json.relative_score} | to_json }}",
            },
            "unknown": {
                "platform": "binary_sensor",
                "unique_id": id("unknown"),
                "name": "Unknown in view",
                "state_topic": event,
                "value_template": "{{ {'started': 'ON', 'finished': 'OFF', 'camera-lost': 'OFF'}\
                    .get(value_json.phase, this.state | upper) }}",
            },
            "score": {
                "platform": "sensor",
                "unique_id": id("score"),
                "name": "Score ÷ threshold",
                "state_topic": event,
                "value_template": "{{ value_json.relative_score | default(none) }}",
                "suggested_display_precision": 2,
            },
            "picture": {
                "platform": "image",
                "unique_id": id("picture"),
                "name": "Last unknown",
                "image_topic": topics.thumbnail(unit, "+"),
                "content_type": "image/jpeg",
            },
            "unsent": figure(&id("unsent"), "Events to send", &status, "unsent", None),
            "dropped": figure(&id("dropped"), "Events dropped", &status, "dropped", None),
            "free": figure(&id("free"), "Free space", &status, "free_bytes", Some(("data_size", "B"))),
        },
    });
    Ok((format!("{discovery_prefix}/device/{OURS}_{unit}/config"), payload))
}

fn figure(id: &str, name: &str, topic: &str, member: &str, unit: Option<(&str, &str)>) -> Value {
    // Without figures the unit is offline: Home Assistant then shows nothing in any case.
    let mut sensor = json!({
        "platform": "sensor",
        "unique_id": id,
        "name": name,
        "state_topic": topic,
        "value_template": format!("{{{{ value_json.{member} | default(none) }}}}"),
        "state_class": "measurement",
        "entity_category": "diagnostic",
    });
    if let Some((class, unit)) = unit {
        sensor["device_class"] = class.into();
        sensor["unit_of_measurement"] = unit.into();
    }
    sensor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entity_has_what_home_assistant_requires() {
        let about = About { version: "1.2".into(), model: "ab".into(), ..About::default() };
        let (topic, payload) = discovery("unit_7", &about, "site", "homeassistant").unwrap();
        assert_eq!(topic, "homeassistant/device/anchorwatch_unit_7/config");
        assert_eq!(payload["availability_topic"], "site/unit_7/status");
        let mut ids = std::collections::BTreeSet::new();
        for (name, component) in payload["components"].as_object().unwrap() {
            assert!(component["platform"].is_string(), "{name}");
            assert!(ids.insert(component["unique_id"].as_str().unwrap().to_string()), "{name}");
            let source = if name == "picture" { "image_topic" } else { "state_topic" };
            assert!(component[source].as_str().unwrap().starts_with("site/unit_7/"), "{name}");
            if let Some(template) = component["value_template"].as_str() {
                assert_eq!(template.matches("{{").count(), template.matches("}}").count(), "{template}");
            }
        }
        assert_eq!(
            payload["components"]["unsent"]["value_template"],
            "{{ value_json.unsent | default(none) }}"
        );
        assert!(discovery("unit", &about, "a/#", "homeassistant").is_err());
    }
}
