//! What a unit sends, and what it does when it may not.

use crate::broker::{Broker, free_port, run, until};
use crate::made::{Home, Unit, about, collecting, event, picture, sending};
use anchorwatch_mqtt::{MqttError, SendOptions, Stop, send_all};
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn send_once(unit: &Unit, options: SendOptions) -> Result<anchorwatch_mqtt::Sent, MqttError> {
    send_all(unit.folder.path(), &unit.name, options, about(), &Stop::default())
}

#[test]
fn events_wait_until_somebody_listens() {
    let broker = Broker::started();
    let mut unit = Unit::new("u");
    let ids = unit.record(30, 0, 0);
    let error = send_once(&unit, sending(&broker.url())).unwrap_err();
    assert!(matches!(&error, MqttError::NoSubscriber { topic } if topic == "anchorwatch/u/event"), "{error}");
    assert_eq!(unit.unsent(), 30);
    // The service waits, and goes on by itself.
    let sender = unit.send(sending(&broker.url()));
    until("it says why it waits", || {
        sender.report().problem.is_some_and(|problem| problem.contains("subscribed"))
    });
    let home = Home::new();
    let _collector = home.collect(collecting(&broker.url(), "home"), |_| false);
    until("all is sent", || unit.unsent() == 0 && home.different() == 30);
    until("no problem is left", || sender.report().problem.is_none());
    assert_eq!(home.first_came()["u"], ids);
    assert_eq!(sender.stop().events, 30);
    // Who does not care about that says so.
    let mut other = Unit::new("other");
    other.record(3, 0, 0);
    let options = SendOptions { without_subscriber: true, prefix: "else".into(), ..sending(&broker.url()) };
    assert_eq!(send_once(&other, options).unwrap().events, 3);
    assert_eq!(other.unsent(), 0);
}

#[test]
fn no_broker_and_a_refusal_are_clear_errors_and_nothing_is_marked() {
    let mut unit = Unit::new("u");
    unit.record(3, 0, 0);
    let nobody = format!("mqtt://127.0.0.1:{}", free_port());
    let error = send_once(&unit, sending(&nobody)).unwrap_err();
    assert!(matches!(error, MqttError::Unreachable { .. }), "{error}");
    // An access list that lets this unit tell its status only.
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("acl");
    std::fs::write(&list, "topic write anchorwatch/u/status\n").unwrap();
    let port = free_port();
    let listener = format!("listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {}\n", list.display());
    let mut broker = Broker::with(port, &listener);
    broker.start();
    let error = send_once(&unit, sending(&broker.url())).unwrap_err();
    assert!(
        matches!(&error, MqttError::NotAllowed { topic, .. } if topic == "anchorwatch/u/event"),
        "{error}: {}",
        broker.log()
    );
    assert_eq!(unit.unsent(), 3);
}

#[test]
fn a_wrong_password_is_said_and_tried_slowly_until_it_is_right() {
    let folder = tempfile::tempdir().unwrap();
    run("mosquitto_passwd", &["-b", "-c", "users", "u", "another"], folder.path());
    let users = folder.path().join("users");
    let port = free_port();
    let listener =
        format!("listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\n", users.display());
    let mut broker = Broker::with(port, &listener);
    broker.start();
    let mut unit = Unit::new("u");
    unit.record(3, 0, 0);
    let password = folder.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let mut options = SendOptions { without_subscriber: true, ..sending(&broker.url()) };
    options.broker.user = Some("u".into());
    options.broker.password_file = Some(password);
    let error = send_once(&unit, options.clone()).unwrap_err();
    assert!(matches!(error, MqttError::Credentials { .. }) && error.needs_a_change(), "{error}");
    let sender = unit.send(options);
    until("it says so", || {
        sender.report().problem.is_some_and(|problem| problem.contains("user or password"))
    });
    assert_eq!(unit.unsent(), 3);
    run("mosquitto_passwd", &["-b", "users", "u", "secret"], folder.path());
    broker.reload();
    until("it is sent", || unit.unsent() == 0);
    until("the problem is gone", || sender.report().problem.is_none());
}

#[test]
fn whole_crops_come_after_all_events_and_a_damaged_one_holds_up_nothing() {
    let broker = Broker::started();
    let mut unit = Unit::new("u");
    let ids = unit.record(20, 2, 300);
    let path = |id: &str| unit.folder.path().join(unit.store.event(id).unwrap().unwrap().crop.unwrap());
    std::fs::write(path(&ids[2]), b"torn").unwrap();
    std::fs::remove_file(path(&ids[4])).unwrap();
    // Whole by its length, and yet no picture.
    let length = std::fs::metadata(path(&ids[6])).unwrap().len();
    std::fs::write(path(&ids[6]), vec![0; length as usize]).unwrap();
    let mut order = Command::new("mosquitto_sub")
        .args(["-p", &broker.port.to_string(), "-q", "1", "-W", "60", "-F", "%t", "-t", "anchorwatch/u/#"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let home = Home::new();
    let collector = home.collect(collecting(&broker.url(), "home"), |_| false);
    until("home listens", || collector.report().connected);
    let sent =
        send_once(&unit, SendOptions { crops: true, thumbnail_side: 64, ..sending(&broker.url()) }).unwrap();
    assert_eq!((sent.events, sent.crops, sent.unsent), (20, 7, 0));
    let whole = |id: &str| home.store().event(id).unwrap().is_some_and(|event| event.crop_size == [300, 300]);
    // A crop that comes in one group with its event is kept before the others of that group.
    let good = || (0..ids.len()).step_by(2).filter(|number| ![2, 4, 6].contains(number));
    until("all whole crops are home", || good().all(|number| whole(&ids[number])));
    let here = |id: &String| unit.store.crop(&unit.store.event(id).unwrap().unwrap()).unwrap();
    for (number, id) in ids.iter().enumerate() {
        let event = home.store().event(id).unwrap().unwrap();
        let has_crop = number % 2 == 0 && ![2, 4, 6].contains(&number);
        assert_eq!(event.crop.is_some(), has_crop, "{id}");
        if has_crop {
            assert_eq!(home.store().crop(&event).unwrap(), here(id), "{id} is whole");
        }
    }
    // Nothing is sent again.
    let again = send_once(&unit, SendOptions { crops: true, ..sending(&broker.url()) }).unwrap();
    assert_eq!((again.events, again.crops), (0, 0));
    order.kill().unwrap();
    let topics = String::from_utf8(order.wait_with_output().unwrap().stdout).unwrap();
    let place = |what: &str| topics.lines().position(|topic| topic.contains(what));
    let last = topics.lines().collect::<Vec<_>>().iter().rposition(|topic| topic.ends_with("/event"));
    assert!(place("/thumbnail/").is_some() && last < place("/crop/"), "{topics}");
}

#[test]
fn a_unit_says_that_it_is_there_and_the_broker_that_it_is_gone() {
    let broker = Broker::started();
    let mut unit = Unit::new("u");
    unit.record(5, 1, 400);
    let status = || serde_json::from_slice::<Value>(&broker.next("anchorwatch/u/status")).unwrap();
    let options =
        SendOptions { discovery: true, detections: true, without_subscriber: true, ..sending(&broker.url()) };
    let sender = unit.send(options);
    until("all is sent", || sender.report().events == 5);
    until("the figures are told", || status()["unsent"] == 0);
    let online = status();
    assert_eq!(
        (&online["state"], &online["version"], &online["dropped"]),
        (&"online".into(), &"1.2.3".into(), &7.into())
    );
    let found: Value =
        serde_json::from_slice(&broker.next("homeassistant/device/anchorwatch_u/config")).unwrap();
    assert_eq!(found["components"]["event"]["state_topic"], "anchorwatch/u/event");
    // Another client takes its name: the broker breaks its connection, as a dead network would in time.
    let mut states = Command::new("mosquitto_sub")
        .args([
            "-p",
            &broker.port.to_string(),
            "-q",
            "1",
            "-W",
            "60",
            "-C",
            "4",
            "-t",
            "anchorwatch/u/status",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    until("it listens", || {
        broker.log().matches("Sending SUBACK").count() >= 1
            && broker.log().contains("anchorwatch/u/status (QoS 1)")
    });
    std::thread::sleep(Duration::from_millis(200));
    broker.publish(&["-i", "anchorwatch-u", "-t", "x"], b"x");
    until("it is back", || sender.report().connections == 2 && sender.report().connected);
    std::thread::sleep(Duration::from_millis(200));
    sender.stop();
    until("four states came", || states.try_wait().unwrap().is_some());
    let states = String::from_utf8(states.wait_with_output().unwrap().stdout).unwrap();
    let states: Vec<Value> =
        states.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["state"].clone()).collect();
    assert_eq!(states, ["online", "offline", "online", "offline"]);
    assert_eq!(status()["state"], "offline");
}

#[test]
fn thumbnails_and_detections_are_what_they_say() {
    let broker = Broker::started();
    let mut unit = Unit::new("u");
    unit.store.record(&[event(1, Some(picture(1, 400)))]);
    let heard = |topic: &'static str| {
        let port = broker.port.to_string();
        let arguments = ["-p", &port, "-q", "1", "-C", "1", "-W", "30", "-N", "-t", topic];
        Command::new("mosquitto_sub").args(arguments).stdout(Stdio::piped()).spawn().unwrap()
    };
    let listening =
        ["anchorwatch/u/thumbnail/+", "anchorwatch/u/detections", "anchorwatch/u/event"].map(heard);
    until("all listen", || broker.log().matches("Sending SUBACK").count() == 3);
    let options = SendOptions { detections: true, thumbnail_side: 100, ..sending(&broker.url()) };
    send_once(&unit, options).unwrap();
    let [small, shaped, told] = listening.map(|child| child.wait_with_output().unwrap().stdout);
    let small = image::load_from_memory_with_format(&small, image::ImageFormat::Jpeg).unwrap();
    assert_eq!((small.width(), small.height()), (100, 100));
    let shaped: Value = serde_json::from_slice(&shaped).unwrap();
    let told: Value = serde_json::from_slice(&told).unwrap();
    let detection = &shaped["detections"][0];
    assert_eq!(detection["id"], told["id"]);
    assert_eq!(detection["bbox"]["center"]["position"], serde_json::json!({ "x": 20.0, "y": 16.0 }));
    assert_eq!(
        detection["results"][0]["hypothesis"],
        serde_json::json!({ "class_id": "unknown", "score": 1.25 })
    );
    assert_eq!((&told["schema"], &told["relative_score"]), (&1.into(), &1.25.into()));
}

#[test]
fn one_sends_at_a_time_and_a_service_waits_for_its_turn() {
    let broker = Broker::started();
    let mut unit = Unit::new("u");
    unit.record(5, 0, 0);
    let options = SendOptions { without_subscriber: true, ..sending(&broker.url()) };
    // Another program has the turn, as it would tell it.
    let turn = std::fs::File::create(unit.folder.path().join("send.lock")).unwrap();
    turn.try_lock().unwrap();
    std::fs::write(unit.folder.path().join("send.lock"), "process 7 (send)\n").unwrap();
    let error = send_once(&unit, options.clone()).unwrap_err();
    assert!(matches!(&error, MqttError::BeingSent { who, .. } if who == "process 7 (send)"), "{error}");
    let sender = unit.send(options.clone());
    until("it says who has the turn", || {
        sender.report().problem.is_some_and(|problem| problem.contains("by process 7 (send)"))
    });
    assert_eq!((unit.unsent(), sender.report().connections), (5, 0));
    turn.unlock().unwrap();
    until("it has the turn, and sends", || unit.unsent() == 0);
    // Now it is the other that is told.
    let error = send_once(&unit, options.clone()).unwrap_err().to_string();
    assert!(error.contains(&format!("process {} (run --mqtt)", std::process::id())), "{error}");
    sender.stop();
    assert_eq!(send_once(&unit, options).unwrap().events, 0);
}

#[test]
fn the_bandwidth_is_not_exceeded() {
    let broker = Broker::started();
    let mut unit = Unit::new("u");
    unit.record(40, 0, 0);
    let options = SendOptions { without_subscriber: true, bandwidth: 20_000, ..sending(&broker.url()) };
    let start = Instant::now();
    let sent = send_once(&unit, options).unwrap();
    let took = start.elapsed().as_secs_f64();
    assert_eq!(sent.events, 40);
    // A slow machine takes longer, which is no fault; the last messages are on their way for nothing.
    assert!(
        sent.bytes > 10_000 && took > (sent.bytes as f64 - 3_000.0) / 20_000.0,
        "{} bytes in {took} s",
        sent.bytes
    );
}
