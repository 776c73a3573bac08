//! A broker that comes, goes, and is killed.

use crate::broker::{Broker, until};
use crate::made::{Home, Unit, collecting, sending};
use std::time::Duration;

const EVENTS: i64 = 500;

/// Two units have 500 events each from when there was no network. The broker then comes, goes twice,
/// and is killed ten times, whenever some more events are marked as sent.
#[test]
fn every_event_comes_home_in_order_though_the_broker_is_killed_ten_times() {
    let mut broker = Broker::new();
    let mut units = [Unit::new("north"), Unit::new("south")];
    let ids: Vec<Vec<String>> = units.iter_mut().map(|unit| unit.record(EVENTS, 5, 24)).collect();
    let home = Home::new();
    let collector = home.collect(collecting(&broker.url(), "home"), |_| false);
    let senders: Vec<_> = units.iter().map(|unit| unit.send(sending(&broker.url()))).collect();
    // Both have tried, and there was nobody.
    until("senders notice that there is no broker", || {
        senders.iter().all(|sender| sender.report().problem.is_some())
    });
    broker.start();
    let step = 2 * EVENTS as usize / 16;
    for cut in 1..=12 {
        let enough = cut * step;
        let sent = || senders.iter().map(|sender| sender.report().events as usize).sum::<usize>();
        until(&format!("{enough} events are sent"), || sent() >= enough);
        assert!(sent() < 2 * EVENTS as usize, "it is killed while they send");
        if cut % 6 == 0 {
            broker.stop();
        } else {
            broker.kill();
        }
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..60)));
        broker.start();
    }
    until("all is sent", || units.iter().all(|unit| unit.unsent() == 0));
    until("all is home", || home.different() == 2 * EVENTS as usize);
    let reports: Vec<_> = senders.into_iter().map(|sender| sender.stop()).collect();
    let collected = collector.stop();
    let first_came = home.first_came();
    for (unit, ids) in units.iter().zip(&ids) {
        assert_eq!(&first_came[&unit.name], ids, "none is missing, and their order is kept");
    }
    // Those that came twice are known by their identifier: the store has each once.
    let totals = home.store().totals().unwrap();
    assert_eq!((totals.events, totals.lost_events), (2 * EVENTS as u64, 0));
    for id in ids.iter().flat_map(|ids| ids.iter().step_by(5)) {
        let event = home.store().event(id).unwrap().unwrap();
        assert_eq!(event.crop_size, [24, 24], "{id} has its thumbnail");
    }
    println!(
        "{} messages of {} events came; sent {:?} in connections: {:?}, home {}",
        home.came().len(),
        home.different(),
        reports.iter().map(|sent| (sent.events, sent.bytes)).collect::<Vec<_>>(),
        reports.iter().map(|sent| sent.connections).collect::<Vec<_>>(),
        collected.connections
    );
    assert!(reports.iter().all(|sent| sent.connections > 5), "the broker was gone: {reports:?}");
}

/// While the collector is away, only the broker's disk has what it acknowledged. It is killed right after
/// acknowledgements: what is marked as sent must be there when the collector is back.
#[test]
fn what_is_marked_survives_the_broker_though_nobody_is_connected() {
    let mut broker = Broker::started();
    let home = Home::new();
    let collector = home.collect(collecting(&broker.url(), "home"), |_| false);
    until("its session is there", || collector.report().connected);
    collector.stop();
    let mut unit = Unit::new("u");
    let ids = unit.record(300, 0, 0);
    let sender = unit.send(sending(&broker.url()));
    for cut in 1..=10 {
        until("more is sent", || sender.report().events >= cut * 25);
        broker.kill();
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..30)));
        broker.start();
    }
    until("all is sent", || unit.unsent() == 0);
    broker.kill();
    broker.start();
    let _collector = home.collect(collecting(&broker.url(), "home"), |_| false);
    until("all is home", || home.different() == ids.len());
    assert_eq!(home.first_came()["u"], ids);
}
