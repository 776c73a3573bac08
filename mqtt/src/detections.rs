//! Events in the shape of ROS 2's `vision_msgs/Detection2DArray`, for bridges that turn JSON into
//! messages of that type.

use anchorwatch_store::{Event, Kind};
use serde_json::{Value, json};

/// The class of what is unknown.
const UNKNOWN: &str = "unknown";

/// The members of a `vision_msgs/msg/Detection2DArray`. An event of something that is gone, or of a
/// camera, has no detections.
///
/// The first hypothesis is `unknown`, with the rejection score ÷ the threshold as its score: above 1 is
/// unknown, larger is more unknown; it is no probability. The second is the known class that it is most
/// like, with the inverse.
pub fn detections(event: &Event) -> Value {
    let facts = &event.facts;
    let header = json!({
        "stamp": {
            "sec": facts.moment.utc_ms.div_euclid(1000),
            "nanosec": facts.moment.utc_ms.rem_euclid(1000) * 1_000_000,
        },
        "frame_id": event.unit,
    });
    let is_seen = matches!(facts.kind, Kind::Single | Kind::Started);
    let detections = if is_seen { vec![detection(event, &header)] } else { Vec::new() };
    json!({ "header": header, "detections": detections })
}

fn detection(event: &Event, header: &Value) -> Value {
    let [x, y, width, height] = event.facts.region_box.map(f64::from);
    let score = f64::from(event.relative_score().unwrap_or(0.0));
    let mut results = vec![hypothesis(UNKNOWN, score)];
    if let Some(class) = &event.facts.class {
        results.push(hypothesis(class, if score > 0.0 { 1.0 / score } else { 0.0 }));
    }
    json!({
        "header": header,
        "results": results,
        "bbox": {
            "center": { "position": { "x": x + width / 2.0, "y": y + height / 2.0 }, "theta": 0.0 },
            "size_x": width,
            "size_y": height,
        },
        "id": event.id,
    })
}

/// A `vision_msgs/msg/ObjectHypothesisWithPose`; the pose is not known.
fn hypothesis(class: &str, score: f64) -> Value {
    let position = json!({ "x": 0.0, "y": 0.0, "z": 0.0 });
    let orientation = json!({ "x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0 });
    json!({
        "hypothesis": { "class_id": class, "score": score },
        "pose": {
            "pose": { "position": position, "orientation": orientation },
            "covariance": vec![0.0; 36],
        },
    })
}
