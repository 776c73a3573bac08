//! With Debian's gpsd: the fix comes, goes stale when gpsd or the satellites are gone, and comes back.

use crate::gpsd::{Gpsd, Receiver, free_port};
use crate::track::{HEIGHT, START};
use anchorwatch_position::{FixMode, GpsdSettings, Locator};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Waits for something that comes after some seconds. Not a measure: only a hung test takes so long.
fn wait_for(what: &str, locator: &Locator, mut is_so: impl FnMut(&Locator) -> bool) {
    let begin = Instant::now();
    while !is_so(locator) {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}: {:?}", locator.status());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_fix_comes_goes_stale_and_comes_back() {
    let (port, receiver_port) = (free_port(), free_port());
    let settings =
        GpsdSettings { address: format!("127.0.0.1:{port}"), max_age: 1.5, ..GpsdSettings::default() };
    // It may start before gpsd does.
    let locator = Locator::start(&settings).unwrap();
    assert_eq!(locator.position(), None);
    wait_for("it is told that there is no gpsd", &locator, |locator| {
        locator.status().trouble.is_some_and(|trouble| trouble.contains("no gpsd at '127.0.0.1"))
    });

    let receiver = Receiver::start(receiver_port);
    let gpsd = Gpsd::start(port, receiver_port);
    wait_for("a fix in three dimensions", &locator, |locator| {
        locator.fix().is_some_and(|fix| fix.mode == FixMode::ThreeD && fix.horizontal_error.is_some())
    });
    let fix = locator.fix().unwrap();
    let position = locator.position().unwrap();
    assert!((position.latitude - START.0).abs() < 0.01, "{position:?}");
    assert!((position.longitude - START.1).abs() < 1e-5, "{position:?}");
    assert!((position.altitude.unwrap() - HEIGHT.0 - HEIGHT.1).abs() < 1.0, "{position:?}");
    assert!((fix.altitude_msl.unwrap() - HEIGHT.0).abs() < 0.1, "{fix:?}");
    assert!((fix.speed.unwrap() - 1.0).abs() < 0.01, "{fix:?}");
    let now = time::OffsetDateTime::now_utc().unix_timestamp() * 1000;
    assert!((fix.time_ms.unwrap() - now).abs() < 60_000, "{fix:?}");
    // It is the newest that is kept.
    wait_for("it walks north", &locator, |locator| {
        locator.position().is_some_and(|now| now.latitude > position.latitude)
    });

    drop(gpsd);
    wait_for("the fix goes stale", &locator, |locator| locator.position().is_none());
    let status = locator.status();
    assert!(!status.connected && status.trouble.is_some(), "{status:?}");
    assert!(status.age.unwrap() > Duration::from_millis(1500), "{status:?}");

    let _gpsd = Gpsd::start(port, receiver_port);
    wait_for("the fix is back", &locator, |locator| locator.position().is_some());
    assert_eq!(locator.status().trouble, None);

    receiver.indoors.store(true, Ordering::Relaxed);
    wait_for("no satellites, no fix", &locator, |locator| locator.position().is_none());
    assert!(locator.status().connected, "gpsd itself is well");
    receiver.indoors.store(false, Ordering::Relaxed);
    wait_for("out of doors again", &locator, |locator| locator.position().is_some());
}
