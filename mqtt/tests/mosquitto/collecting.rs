//! What comes home, from whom, and what does not.

use crate::broker::{Broker, until};
use crate::made::{Home, Unit, collecting, picture, sending};
use anchorwatch_mqtt::{CollectOptions, Collector};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn what_was_not_kept_comes_again_and_what_came_while_away_is_there() {
    let broker = Broker::started();
    let mut unit = Unit::new("u");
    let ids = unit.record(50, 10, 24);
    let home = Home::new();
    let failures = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&failures);
    let options = CollectOptions { at_once: 8, ..collecting(&broker.url(), "home") };
    let collector = home.collect(options.clone(), move |_| counted.fetch_add(1, Ordering::SeqCst) % 4 == 1);
    let sender = unit.send(sending(&broker.url()));
    until("all is home", || home.different() == 50);
    assert_eq!(home.first_came()["u"], ids);
    assert!(
        failures.load(Ordering::SeqCst) > 4
            && collector.report().last_error.unwrap().contains("disk is full")
    );
    until("all is sent", || unit.unsent() == 0);
    collector.stop();
    // Away: the broker keeps more than a thousand messages for it.
    let later = unit.record(1200, 0, 0);
    sender.wake();
    until("all is sent to the broker", || unit.unsent() == 0);
    assert_eq!(home.different(), 50);
    let collector = home.collect(CollectOptions { at_once: 64, ..options }, |_| false);
    until("all is home", || home.different() == 1250);
    assert_eq!(home.first_came()["u"][50..], later);
    assert_eq!(collector.stop().refused, 0);
}

#[test]
fn two_collectors_share_what_comes() {
    let broker = Broker::started();
    let home = [Home::new(), Home::new()];
    let collectors = ["a", "b"].map(|name| {
        let options = collecting(&broker.url(), name);
        let place = usize::from(name == "b");
        let options = CollectOptions { group: Some("homes".into()), pictures: false, ..options };
        home[place].collect(options, |_| false)
    });
    until("both listen", || collectors.iter().all(|collector| collector.report().connected));
    let mut units = ["u", "v"].map(Unit::new);
    let mut ids: Vec<String> = units.iter_mut().flat_map(|unit| unit.record(100, 0, 0)).collect();
    let senders = units.each_ref().map(|unit| unit.send(sending(&broker.url())));
    until("all is sent", || units.iter().all(|unit| unit.unsent() == 0));
    until("all is home", || home[0].different() + home[1].different() >= 200);
    drop(senders);
    drop(collectors);
    let mut came: Vec<String> = home.iter().flat_map(Home::came).map(|(_, id)| id).collect();
    came.sort();
    ids.sort();
    assert_eq!(came, ids, "everything once");
    assert!(home.iter().all(|home| home.different() > 0), "each has its share");
}

#[test]
fn hostile_messages_are_counted_and_harm_nothing() {
    let broker = Broker::started();
    let home = Home::new();
    let options = CollectOptions { max_bytes: 400_000, ..collecting(&broker.url(), "home") };
    let collector = home.collect(options, |_| false);
    until("it listens", || collector.report().connected);
    let good = |id: &str, unit: &str| {
        format!(
            r#"{{"schema":1,"id":"{id}","unit":"{unit}","phase":"camera-lost","time":"2026-01-01T00:00:00Z",
                "uptime":1.5,"boot":"b","clock_set":true,"source":"s"}}"#
        )
    };
    let deep = "[".repeat(100_000);
    let long = format!(r#"{{"schema":1,"id":"{}"}}"#, "x".repeat(300_000));
    let newer = good("u-1", "u").replace("\"schema\":1", "\"schema\":2");
    let in_1e400 = good("u-1", "u").replace("1.5", "1e400");
    let crop = picture(1, 16).bytes;
    let hostile: &[(&str, &[u8])] = &[
        ("u/event", b""),
        ("u/event", b"\xff\xfe"),
        ("u/event", b"[1, 2]"),
        ("u/event", deep.as_bytes()),
        ("u/event", long.as_bytes()),
        ("u/event", newer.as_bytes()),
        ("u/event", in_1e400.as_bytes()),
        ("u/event", &good("../../../etc/passwd", "u").into_bytes()),
        ("u/event", &good("u-../../x", "u").into_bytes()),
        ("u/event", &good("v-1", "v").into_bytes()),
        ("u/event", &good("v-1", "u").into_bytes()),
        ("u u/event", &good("u u-1", "u u").into_bytes()),
        ("../event", &good("..-1", "..").into_bytes()),
        ("u/thumbnail/v-1", &crop),
        ("u/crop/..", &crop),
        ("u/crop/u-1", b"\xff\xd8\xffno picture"),
        ("u/thumbnail/u-1", b"GIF89a\x01\x00\x01\x00"),
    ];
    for (topic, payload) in hostile {
        broker.publish(&["-t", &format!("anchorwatch/{topic}")], payload);
    }
    // The broker does not even deliver what is larger than this collector takes.
    broker.publish(&["-t", "anchorwatch/u/crop/u-1"], &vec![0; 500_000]);
    // A crop of an event that never came, and then an event.
    broker.publish(&["-t", "anchorwatch/u/crop/u-7"], &crop);
    broker.publish(&["-t", "anchorwatch/u/event"], good("u-1", "u").as_bytes());
    until("the event is home", || home.came().contains(&("u".to_string(), "u-1".to_string())));
    let report = collector.stop();
    // A unit may be named '..': it is never a path.
    assert_eq!(report.refused as usize, hostile.len() - 1, "{report:?}");
    assert_eq!(home.store().totals().unwrap().crop_bytes, 0);
}

#[test]
fn a_collector_without_a_name_is_refused() {
    let mut options = collecting("mqtt://127.0.0.1:1", "home");
    options.broker.client_id = None;
    let error = Collector::start(options, |_| Ok(())).err().unwrap();
    assert!(error.to_string().contains("client-id"), "{error}");
}
